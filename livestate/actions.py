"""Gives orders to running games: validates, stores and audits an order, then sends it to the server's host."""

from __future__ import annotations

import functools
import logging

from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import steam_ids
from left4me.core.redis import hosts, rate_limit
from left4me.core.web import refusals
from left4me.core.web.ids import parse_id
from left4me.core.web.refusals import Cure
from livestate import campaigns, tasks
from livestate.models import Order
from livestate.orders import commands, completion, plugins
from servers import permissions
from servers.actions import interruptions
from servers.blueprints.checks import console
from servers.gamehost import rcon
from servers.models import Server

logger = logging.getLogger(__name__)

Refused = refusals.Refused

ORDERS = rate_limit.Limit("orders", 60, 60)

_MESSAGE_SECONDS = 20


def give_order(
    *,
    server: Server,
    by: User | None,
    kind: str,
    value: str,
    request: HttpRequest | None = None,
    is_scheduled: bool = False,
    interrupting: str = "",
) -> Order:
    """Store an order and notify its host. Raises Refused, PermissionDenied, Http404 or rate_limit.RateLimited.

    `interrupting` names what the order may interrupt, such as a live match (`servers.actions.interruptions`).

    `by=None` is left4me itself. Orders of schedules are not limited in number: one schedule may act on many servers
    at the same moment.
    """
    if by is not None:
        permissions.check_can_operate_server(by, server)
    if by is not None and not is_scheduled:
        rate_limit.enforce(ORDERS, f"user:{by.pk}")
    if server.actual_state != Server.State.RUNNING:
        cure = Cure(label=_("Start"), url=reverse("servers:action", args=[server.pk]), operation="start")
        raise Refused(_("The server is not running."), cure=cure if server.is_at_rest else None)
    if kind not in Order.Kind.values or kind == Order.Kind.BAN:
        raise Refused(_("Entry not found."))
    value = _checked(server, kind, value.strip())
    if commands.interrupts(kind, value):
        retry = f"{reverse('livestate:give_order', args=[server.pk])}?{urlencode({'kind': kind, 'value': value})}"
        interruptions.check(server, confirmed=interrupting, retry=retry, operation="order")
    with transaction.atomic():
        order = Order.objects.create(server=server, user=by, kind=kind, value=value, created_at=timezone.now())
        record.write(action=f"console.{kind}", by=by, target=server.resource, request=request, value=value)
        order.announce()
        transaction.on_commit(functools.partial(_send, order))
    return order


def learn_commands(server: Server) -> None:
    """Request the command names of the running game for the completion, once per start, in the background."""
    if server.actual_state != Server.State.RUNNING or completion.has_commands(server):
        return
    hosts.send(server.host.name, tasks.learn_commands.name, server.pk, expires=_MESSAGE_SECONDS)


def _checked(server: Server, kind: str, value: str) -> str:
    """The argument in the form in which it is sent. Raises Refused."""
    match kind:
        case Order.Kind.COMMAND:
            _check_command(server, value)
        case Order.Kind.SAY:
            value = commands.sayable(value)
        case Order.Kind.KICK:
            if not steam_ids.is_account(parse_id(value) or 0):
                raise Refused(_("This is not a player's Steam ID."))
        case Order.Kind.MAP:
            if value not in campaigns.playable(server):
                raise Refused(
                    _("This map is not on the server. Choose another one."),
                    cure=Cure(label=_("Choose a map"), url=reverse("livestate:console", args=[server.pk])),
                )
        case Order.Kind.DIFFICULTY:
            if value not in commands.DIFFICULTIES:
                raise Refused(_("Unknown difficulty. Choose one from the list."))
        case Order.Kind.MODE:
            if value not in commands.MODES:
                raise Refused(_("Unknown game mode. Choose one from the list."))
        case Order.Kind.LOAD_PLUGIN | Order.Kind.UNLOAD_PLUGIN | Order.Kind.RELOAD_PLUGIN:
            if not plugins.is_path(value):
                raise Refused(_("This is not the path of a plugin. Choose one from the list."))
    if not value:
        raise Refused(_("Enter a message."))
    return value


def _check_command(server: Server, text: str) -> None:
    try:
        rcon.check(text)
    except rcon.InvalidCommand as fault:
        raise Refused(str(fault)) from fault
    if any("password" in word.lower() for word in text.replace(";", " ").split()):
        raise Refused(_("Do not enter passwords here. Commands are visible to everyone with console access."))
    if reason := console.refusal(text):
        raise Refused(reason, cure=_mend_command(server, text))


def _mend_command(server: Server, text: str) -> Cure | None:
    """The button of the page that does what a refused command would do."""
    name = text.split()[0].lower() if text.split() else ""
    url = reverse("servers:action", args=[server.pk])
    if name in {"quit", "exit", "killserver"}:
        return Cure(label=_("Stop"), url=url, operation="stop")
    return Cure(label=_("Restart"), url=url, operation="restart") if name in {"restart", "_restart"} else None


def _send(order: Order) -> None:
    if not hosts.send(order.server.host.name, tasks.carry_out.name, order.pk, expires=_MESSAGE_SECONDS):
        logger.warning("Order %s could not be sent to its host", order.pk)
        Order.objects.filter(pk=order.pk, state=Order.State.QUEUED).update(
            state=Order.State.FAILED,
            note=_("The server's host is not responding. Try again in a moment."),
            finished_at=timezone.now(),
        )
        order.announce()
