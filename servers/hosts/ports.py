"""Choosing ports for servers: of the host's range, of no other server, and free on the host itself.

Pages ask the host with `ask`, since only its own kernel knows; its worker looks with `busy_here`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from left4me.core.net import ports
from servers.hosts import rpc
from servers.models import Host, Server

# A page waits for this long; without an answer the port counts as free, and the start looks again.
_PATIENCE_SECONDS = 3
_ASKED_AT_ONCE = 32

# The ports that other programs have, each with what is known of its holder.
Busy = dict[int, str]


def reserved(host: Host, *, besides: Server | None = None) -> set[int]:
    """The ports that the rows of the host's servers name."""
    rows = Server.objects.filter(host=host)
    if besides is not None and besides.pk:
        rows = rows.exclude(pk=besides.pk)
    return {port for pair in rows.values_list("port", "tv_port") for port in pair if port is not None}


def busy_here(asked: Iterable[int]) -> Busy:
    """Those of these ports that a program of this machine has, over UDP or TCP."""
    return {port: ports.holder(port) for port in asked if not ports.is_free(port)}


def ask(host: Host, asked: Iterable[int]) -> Busy:
    """`busy_here`, of another machine; nothing when it does not answer."""
    try:
        reply = rpc.call(host, "busy_ports", patience=_PATIENCE_SECONDS, ports=list(asked))
    except (rpc.HostSilent, rpc.NotFound):
        return {}
    return {int(port): str(holder) for port, holder in reply.facts.items()}


def choose(
    host: Host, *, besides: Server | None = None, find_busy: Callable[[list[int]], Busy], highest: bool = False
) -> int | None:
    """The lowest free port of the host's range, or the highest; None when there is none."""
    taken = reserved(host, besides=besides)
    candidates = (port for port in (reversed(host.ports) if highest else host.ports) if port not in taken)
    while batch := list(islice(candidates, _ASKED_AT_ONCE)):
        busy = find_busy(batch)
        if free := next((port for port in batch if port not in busy), None):
            return free
    return None


def refuse_busy(server: Server, port: int) -> None:
    """Raise ValidationError, with the next free port as `params["free"]`, if the host says that `port` is taken."""
    busy = ask(server.host, [port])
    if port not in busy:
        return
    free = choose(server.host, besides=server, find_busy=lambda batch: ask(server.host, batch))
    message = _("Port %(port)d on this host is in use by %(holder)s.") % {"port": port, "holder": named(busy[port])}
    if free:
        message += " " + _("Port %d is free.") % free
    raise ValidationError({"port": ValidationError(message, code="port_busy", params={"free": free})})


def named(holder: str) -> str:
    return holder or _("another program")
