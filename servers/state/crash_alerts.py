"""Reports problems of servers, nearly full disks of hosts, missed backups and missed copies to the alerts.

Log lines are left out on purpose: they contain players' addresses, and alerts are sent to other services.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from servers.gamehost.port import Observed
from servers.models import Host, Server
from servers.models.hosts import low_disk_bytes
from servers.state import news

_GB = 1_000_000_000
_MOST_NAMED = 5
# The disk has recovered only well above the limit, so that one which stays near it is one incident.
_RECOVERED_AT = 1.2


def server_was_seen(server: Server, state: Server.State, *, before: Server.State, detail: str, now: datetime) -> None:
    """Report or close the incident that `state` means, or tell of a start or stop.

    Call it in the transaction that stores the new state.
    """
    if state == Server.State.CRASHED:
        server_crashed(server, detail=detail, now=now)
    elif state == Server.State.GAVE_UP:
        reason = detail or _("The game crashed too often.")
        text = _("%(words)s It stays stopped until you start it.") % {"words": f"{reason.rstrip('.')}."}
        title = _("“%(name)s” keeps crashing") % {"name": server.name}
        incidents.report(_problem_of_server(server, Event.SERVER_GAVE_UP, title=title, text=text), now=now)
    elif state == Server.State.RUNNING:
        had_crashed = incidents.mark_recovered(server.resource, now=now)
        # From an unknown state it comes back when its host does, which is no start.
        if not had_crashed and before != Server.State.UNKNOWN:
            news.server_started(server, now=now)
    elif state == Server.State.STOPPED:
        # It was stopped on request, or waits for its next start: neither is a problem.
        incidents.close([server.resource], now=now)
        if before in (Server.State.RUNNING, Server.State.STOPPING):
            news.server_stopped(server, now=now)


def server_crashed(server: Server, *, detail: str, now: datetime) -> None:
    title = _("“%(name)s” crashed") % {"name": server.name}
    incidents.report(_problem_of_server(server, Event.SERVER_CRASHED, title=title, text=detail), now=now)


def crash_between(server: Server, observed: Observed) -> str:
    """A message about a crash since the last observation after which the game was restarted; empty without one."""
    last_exit = observed.last_exit
    if not observed.restarts or last_exit is None or last_exit.at is None or server.actual_state_at is None:
        return ""
    # systemd reports whole seconds.
    if last_exit.at < server.actual_state_at - timedelta(seconds=1):
        return ""
    return _("The game ended with %(exit)s and was restarted.") % {"exit": last_exit}


def server_is_gone(server: Server, *, now: datetime) -> None:
    incidents.close([server.resource], now=now)


def disk_was_seen(host: Host, *, free: int, now: datetime) -> None:
    """Report or close the incident of a nearly full disk. `free` is in bytes."""
    low = low_disk_bytes()
    key = f"host:{host.pk}:disk"
    if free >= low:
        if free >= low * _RECOVERED_AT:
            incidents.mark_recovered(key, now=now)
        return
    text = _(
        "Only %(free).1f GB are free. Games, logs and the database fail when the disk is full. Free some space."
    ) % {"free": free / _GB}
    incidents.report(
        ProblemReport(
            event=Event.DISK_LOW,
            key=key,
            subject=f"host:{host.pk}",
            title=_("Disk almost full on host “%(name)s”") % {"name": host.name},
            text=text,
            path=host.get_absolute_url(),
            recovered=Event.HOST_RECOVERED,
            recovered_title=_("Disk space available again on host “%(name)s”") % {"name": host.name},
        ),
        now=now,
    )


def backup_was_seen(host: Host, *, now: datetime) -> None:
    """Report or close the incident of a nightly backup that was missed."""
    key = f"host:{host.pk}:backup"
    if not host.backup_is_late(now):
        incidents.mark_recovered(key, now=now)
        return
    incidents.report(
        ProblemReport(
            event=Event.BACKUP_LATE,
            key=key,
            subject=f"host:{host.pk}",
            title=_("No recent backup of host “%(name)s”") % {"name": host.name},
            text=_(
                "No backup of the machine was made in the last 36 hours, although the timer makes one every night."
            ),
            path=reverse("backups:machine"),
            recovered=Event.HOST_RECOVERED,
            recovered_title=_("There is a backup of host “%(name)s” again") % {"name": host.name},
        ),
        now=now,
    )


def copies_were_seen(host: Host, late: Sequence[str], *, now: datetime) -> None:
    """Report or close the incident of servers of a worker host that were not copied; `late` are their names."""
    key = f"host:{host.pk}:copies"
    if not late:
        incidents.mark_recovered(key, now=now)
        return
    incidents.report(
        ProblemReport(
            event=Event.COPIES_LATE,
            key=key,
            subject=f"host:{host.pk}",
            title=_("Servers of host “%(name)s” were not copied") % {"name": host.name},
            text=late_copies(late),
            path=host.get_absolute_url(),
            recovered=Event.HOST_RECOVERED,
            recovered_title=_("There are copies of all servers of host “%(name)s” again") % {"name": host.name},
        ),
        now=now,
    )


def late_copies(names: Sequence[str]) -> str:
    """Which servers have no recent copy, in words."""
    shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return _(
        "What games have written there is copied to the web server's machine every night. For two days this did not "
        "succeed for: %(names)s."
    ) % {"names": shown}


def _problem_of_server(server: Server, event: Event, *, title: str, text: str) -> ProblemReport:
    return ProblemReport(
        event=event,
        key=server.resource,
        subject=server.resource,
        title=title,
        text=text,
        path=server.get_absolute_url(),
        owners=[server.owner_id],
        recovered=Event.SERVER_RECOVERED,
        recovered_title=_("“%(name)s” recovered") % {"name": server.name},
    )
