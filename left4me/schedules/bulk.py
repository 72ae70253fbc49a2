"""One action on many servers: which ones, what will happen to each and why not, and its request."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from django.db import IntegrityError, transaction
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from left4me.audit import record
from left4me.core.natural_order import natural_key
from left4me.core.web.refusals import Refused
from left4me.schedules.models import Action, BulkAction, Condition, Run
from livestate import live
from servers import lookups, permissions
from servers.actions import interruptions, moves
from servers.actions.interruptions import Hold
from servers.lifecycle import pending_changes
from servers.models import Blueprint, Host, Server

ACTIONS: Final = (Action.RESTART, Action.START, Action.STOP, Action.MOVE)
MOST_SERVERS: Final = 500
MOST_AT_ONCE: Final = 50


class Verdict(StrEnum):
    """What happens to a server."""

    ACTS = "acts"
    WAITS = "waits"
    LEFT_OUT = "left out"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One server of a plan: what happens to it, and why."""

    server: Server
    verdict: Verdict
    text: str
    players: int = 0

    @property
    def is_included(self) -> bool:
        return self.verdict is not Verdict.LEFT_OUT


@dataclass(frozen=True, kw_only=True)
class Target:
    """The servers that an action is for: those of a blueprint, those of a host, or these."""

    blueprint: Blueprint | None = None
    host: Host | None = None
    ids: Sequence[int] = ()

    @property
    def origin(self) -> BulkAction.Origin:
        if self.blueprint is not None:
            return BulkAction.Origin.BLUEPRINT
        return BulkAction.Origin.HOST if self.host is not None else BulkAction.Origin.SELECTION

    def servers(self, user: User) -> list[Server]:
        """Those of them that the user may see."""
        rows = Server.objects.visible_to(user).with_blueprint().with_role(user)
        if self.blueprint is not None:
            rows = rows.filter(blueprint=self.blueprint)
        elif self.host is not None:
            rows = rows.filter(host=self.host)
        else:
            rows = rows.filter(pk__in=self.ids)
        return list(rows[:MOST_SERVERS])


def target(user: User, *, blueprint: int | None, host: int | None, ids: Sequence[int]) -> Target:
    """The target that these ids name. Raises Http404 for what the user may not see."""
    if blueprint is not None:
        return Target(blueprint=lookups.blueprint_or_404(user, blueprint))
    if host is not None:
        row = Host.objects.filter(pk=host).first()
        if row is None:
            raise Http404(_("Host not found."))
        return Target(host=row)
    return Target(ids=ids)


def destination(name: str) -> Host | None:
    """The host of this name, to which servers shall move; None for the empty name. Raises Refused."""
    host = Host.objects.filter(name=name).first() if name else None
    if name and host is None:
        raise Refused(_("There is no host named “%s”.") % name)
    return host


def plan(
    servers: Sequence[Server],
    *,
    action: str,
    condition: str,
    only_changed: bool,
    by: User | None,
    now: datetime,
    to_host: Host | None = None,
) -> list[Planned]:
    """What `action` will do to each server, in the order in which they have their turns: empty ones first.

    `by=None` is left4me itself. Needs rows from `with_blueprint()`. A move needs `to_host`; raises Refused without.
    """
    if action == Action.MOVE and to_host is None:
        raise Refused(_("Choose the host to which the servers move."))
    taken = set(Run.objects.waiting().of_many().filter(server__in=servers).values_list("server_id", flat=True))
    holds = {} if action == Action.START else interruptions.of_servers([server.pk for server in servers])
    planned = [
        _planned(
            state,
            condition=condition,
            hold=holds.get(state.server.pk),
            refusal=_refusal(
                state.server, action, only_changed=only_changed, by=by, taken=taken, to_host=to_host, now=now
            ),
            now=now,
        )
        for state in live.of_servers(servers, now=now)
    ]
    return sorted(planned, key=lambda each: (not each.is_included, each.players, natural_key(each.server.name)))


@transaction.atomic
def start(
    *,
    target: Target,
    action: str,
    by: User | None,
    condition: str = Condition.ALWAYS,
    at_once: int = 2,
    only_changed: bool = False,
    to_host: Host | None = None,
) -> BulkAction:
    """Begin an action on every server of the target that the plan includes. Raises Refused if there is none."""
    if action not in ACTIONS:
        raise Refused(_("“%s” is not available for several servers at once.") % action)
    if condition not in (Condition.ALWAYS, Condition.WAIT_SKIP):
        raise Refused(_("Choose whether to act now, or when each server is empty."))
    if not 1 <= at_once <= MOST_AT_ONCE:
        raise Refused(_("Choose from 1 to %d servers at once.") % MOST_AT_ONCE)
    now = timezone.now()
    servers = target.servers(by) if by is not None else []
    planned = plan(
        servers, action=action, condition=condition, only_changed=only_changed, by=by, now=now, to_host=to_host
    )
    bulk = BulkAction(
        user=by,
        origin=target.origin,
        blueprint=target.blueprint,
        host=target.host,
        to_host=to_host if action == Action.MOVE else None,
        action=action,
        condition=condition,
        at_once=at_once,
        created_at=now,
    )
    begin(bulk, planned, due_at=now)
    return bulk


def begin(bulk: BulkAction, planned: Sequence[Planned], *, due_at: datetime, warn_minutes: Sequence[int] = ()) -> None:
    """Store the action with a run for each server that the plan includes. Raises Refused if there is none."""
    included = [each.server for each in planned if each.is_included]
    if not included:
        raise Refused(_("There is nothing to do on any of these servers."))
    try:
        with transaction.atomic():
            bulk.save()
            Run.objects.bulk_create(
                Run(
                    bulk=bulk,
                    position=position,
                    server=server,
                    user=bulk.user,
                    action=bulk.action,
                    condition=bulk.condition,
                    due_at=due_at,
                    warn_minutes=list(warn_minutes),
                )
                for position, server in enumerate(included)
            )
    except IntegrityError as fault:
        raise Refused(
            _("Another action on one of these servers was begun just now. Look at the plan again.")
        ) from fault
    record.write(
        action="bulk.start",
        by=bulk.user,
        target=bulk.resource,
        operation=bulk.action,
        origin=bulk.origin,
        servers=len(included),
    )


@transaction.atomic
def cancel(*, bulk: BulkAction, by: User) -> None:
    """Cancel what has not begun; jobs that run go on. Raises Refused if it has ended."""
    now = timezone.now()
    changes = {"state": BulkAction.State.CANCELLED, "ended_at": now}
    if not BulkAction.objects.active().filter(pk=bulk.pk).update(**changes):
        raise Refused(_("This action has ended."))
    bulk.runs.waiting().update(state=Run.State.CANCELLED, ended_at=now)
    record.write(action="bulk.cancel", by=by, target=bulk.resource, operation=bulk.action)


def visible(user: User, pk: int) -> BulkAction:
    """The bulk action. Raises Http404 for users who did not start it and are no admins."""
    rows = BulkAction.objects.visible_to(user).select_related("user", "blueprint", "host")
    bulk = rows.filter(pk=pk).first()
    if bulk is None or not user.is_active:
        raise Http404(_("There is no such action."))
    return bulk


def players_in_words(state: live.Live) -> str:
    """How many players are online, for a server that runs."""
    if not state.is_current or state.snapshot is None:
        return _("The game does not answer: players may be online.")
    players = state.snapshot.players
    return ngettext("%d player online.", "%d players online.", players) % players if players else ""


def _planned(state: live.Live, *, condition: str, refusal: str, hold: Hold | None, now: datetime) -> Planned:
    server = state.server
    players = state.snapshot.players if state.snapshot and state.is_current else 0
    if refusal:
        return Planned(server=server, verdict=Verdict.LEFT_OUT, text=refusal, players=players)
    if hold is not None:
        verdict = Verdict.WAITS if Condition(condition).waits else Verdict.LEFT_OUT
        return Planned(server=server, verdict=verdict, text=interruptions.describe(hold), players=players)
    is_empty = state.kind in (live.Kind.OFF, live.Kind.IDLE)
    note = "" if is_empty else players_in_words(state)
    if server.host.is_down(now):
        note = _("Its host is offline: it has its turn when the host is back.")
    if Condition(condition).waits and not is_empty:
        text = _("Waits until it is empty. %(note)s") % {"note": note}
        return Planned(server=server, verdict=Verdict.WAITS, text=text, players=players)
    return Planned(server=server, verdict=Verdict.ACTS, text=note, players=players)


def _refusal(
    server: Server,
    action: str,
    *,
    only_changed: bool,
    by: User | None,
    taken: Collection[int],
    to_host: Host | None,
    now: datetime,
) -> str:
    """Why nothing happens to the server; empty if something does."""
    if by is not None and not permissions.can_operate_server(by, server):
        return _("You can view this server but not operate it.")
    if server.pk in taken:
        return _("It waits for its turn in another action on several servers.")
    if action == Action.MOVE and to_host is not None:
        if by is not None and not permissions.can_edit_server(by, server):
            return _("Only the owner can change this server.")
        return moves.obstacle(server, to_host, now=now)
    is_wanted = server.desired_state == Server.Desired.RUNNING
    if action == Action.START:
        is_up = server.actual_state in (Server.State.RUNNING, Server.State.STARTING)
        return _("It runs already.") if is_wanted and is_up else ""
    if not is_wanted:
        return _("It is stopped.")
    if only_changed and not pending_changes.restart_needed(server):
        return _("It runs with the present settings already.")
    return ""
