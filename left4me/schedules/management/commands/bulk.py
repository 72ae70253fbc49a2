"""Start, stop, restart or move several servers, a few at a time, with a plan first."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import User
from left4me.core.web.refusals import Refused
from left4me.schedules import bulk
from left4me.schedules.models import Condition
from servers.models import Blueprint, Host


class Command(BaseCommand):
    help = "Print what an action would do to each server; with --yes, begin it. It goes on without this command."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=[each.value for each in bulk.ACTIONS])
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--server", type=int, action="append", default=[], metavar="ID")
        which.add_argument("--blueprint", metavar="ID", type=int)
        which.add_argument("--host", metavar="NAME")
        parser.add_argument("--as", dest="user", metavar="USERNAME", help="act as this user; an admin without it")
        parser.add_argument("--when-empty", action="store_true", help="each server waits until nobody plays")
        parser.add_argument("--only-changed", action="store_true", help="restart only those with changes to apply")
        parser.add_argument("--to", default="", metavar="HOST", help="the host to which servers move")
        parser.add_argument("--at-once", type=int, default=2, metavar="N")
        parser.add_argument("--yes", action="store_true", help="begin, instead of only printing the plan")

    def handle(self, *_: Any, **given: Any) -> None:
        user = _user(given["user"])
        try:
            self._carry_out(user, _target(given), given)
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal

    def _carry_out(self, user: User, target: bulk.Target, given: dict[str, Any]) -> None:
        chosen: dict[str, Any] = {
            "action": given["action"],
            "condition": Condition.WAIT_SKIP if given["when_empty"] else Condition.ALWAYS,
            "only_changed": given["only_changed"],
            "to_host": bulk.destination(given["to"]),
        }
        for each in bulk.plan(target.servers(user), by=user, now=timezone.now(), **chosen):
            self.stdout.write(f"{each.server.pk}  {each.server.name}: {each.verdict}. {each.text}".rstrip())
        if not given["yes"]:
            self.stdout.write("Nothing was done. Add --yes to begin.")
            return
        action = bulk.start(target=target, by=user, at_once=given["at_once"], **chosen)
        self.stdout.write(f"Begun: {action.get_absolute_url()}")


def _user(name: str | None) -> User:
    rows = User.objects.filter(is_active=True)
    user: User | None = (rows.filter(username=name) if name else rows.filter(is_admin=True).order_by("pk")).first()
    if user is None:
        raise CommandError(f"There is no active user {name}." if name else "There is no active admin.")
    return user


def _target(given: dict[str, Any]) -> bulk.Target:
    if given["blueprint"] is not None:
        blueprint = Blueprint.objects.filter(pk=given["blueprint"]).first()
        if blueprint is None:
            raise CommandError(f"There is no blueprint {given['blueprint']}.")
        return bulk.Target(blueprint=blueprint)
    if given["host"] is not None:
        host = Host.objects.filter(name=given["host"]).first()
        if host is None:
            raise CommandError(f"There is no host {given['host']}.")
        return bulk.Target(host=host)
    return bulk.Target(ids=given["server"])
