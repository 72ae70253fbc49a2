"""What of servers and hosts somebody wants to be told of.

Log lines are left out on purpose: players' addresses stand in them, and alerts leave the house.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from servers.gamehost.port import Observed
from servers.models import Host, Server

_GB = 1_000_000_000
# Full, cleared a little, full again: that is one incident.
_ROOM_AGAIN = 1.2


def server_was_seen(server: Server, state: Server.State, *, detail: str, now: datetime) -> None:
    """Call in the transaction that writes `state` as the server's new one."""
    if state == Server.State.CRASHED:
        server_crashed(server, detail=detail, now=now)
    elif state == Server.State.GAVE_UP:
        words = detail or _("It ended too often.")
        text = _("%(words)s It stays down until somebody starts it.") % {"words": f"{words.rstrip('.')}."}
        title = _("“%(name)s” gave up") % {"name": server.name}
        incidents.report(_of_server(server, Event.SERVER_GAVE_UP, title=title, text=text), now=now)
    elif state == Server.State.RUNNING:
        incidents.mark_recovered(server.resource, now=now)
    elif state == Server.State.STOPPED:
        # Somebody has stopped it, or it waits for its next start: neither is news.
        incidents.close([server.resource], now=now)


def server_crashed(server: Server, *, detail: str, now: datetime) -> None:
    title = _("“%(name)s” crashed") % {"name": server.name}
    incidents.report(_of_server(server, Event.SERVER_CRASHED, title=title, text=detail), now=now)


def crash_between(server: Server, seen: Observed) -> str:
    """In words, a crash since the last look that was mended before this one; empty when there was none."""
    if not seen.restarts or seen.last_exit is None or seen.last_exit.at is None or server.actual_state_at is None:
        return ""
    # systemd tells whole seconds.
    if seen.last_exit.at < server.actual_state_at - timedelta(seconds=1):
        return ""
    return _("It ended with %(exit)s and was started again.") % {"exit": seen.last_exit}


def server_is_gone(server: Server, *, now: datetime) -> None:
    incidents.close([server.resource], now=now)


def disk_was_seen(host: Host, *, free: int, now: datetime) -> None:
    """Call with what is free of the disk that holds a host's data."""
    low = settings.LEFT4ME_DISK_LOW_GB * _GB
    key = f"host:{host.pk}:disk"
    if free >= low:
        if free >= low * _ROOM_AGAIN:
            incidents.mark_recovered(key, now=now)
        return
    text = _("%(free).1f GB are left. Games, logs and the database fail when it is full.") % {"free": free / _GB}
    incidents.report(
        ProblemReport(
            event=Event.DISK_LOW,
            key=key,
            subject=f"host:{host.pk}",
            title=_("The disk of host “%(name)s” is nearly full") % {"name": host.name},
            text=text,
            path=host.get_absolute_url(),
            recovered=Event.HOST_RECOVERED,
            recovered_title=_("The disk of host “%(name)s” has room again") % {"name": host.name},
        ),
        now=now,
    )


def host_is_silent(host: Host, *, now: datetime) -> None:
    seen = host.last_seen_at
    text = _("Nothing was heard of it since %(moment)s UTC. What its servers do is not known.") % {
        "moment": f"{seen:%H:%M:%S}" if seen else "–"
    }
    incidents.report(
        ProblemReport(
            event=Event.HOST_SILENT,
            key=f"host:{host.pk}",
            subject=f"host:{host.pk}",
            title=_("Host “%(name)s” is silent") % {"name": host.name},
            text=text,
            path=host.get_absolute_url(),
            recovered=Event.HOST_RECOVERED,
            recovered_title=_("Host “%(name)s” is back") % {"name": host.name},
        ),
        now=now,
    )


def host_is_heard(host: Host, *, now: datetime) -> None:
    incidents.mark_recovered(f"host:{host.pk}", now=now)


def _of_server(server: Server, event: Event, *, title: str, text: str) -> ProblemReport:
    return ProblemReport(
        event=event,
        key=server.resource,
        subject=server.resource,
        title=title,
        text=text,
        path=server.get_absolute_url(),
        owners=[server.owner_id],
        recovered=Event.SERVER_RECOVERED,
        recovered_title=_("“%(name)s” runs again") % {"name": server.name},
    )
