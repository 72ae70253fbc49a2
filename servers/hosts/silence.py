"""Raises and clears the alert "host not reachable", on one host for all others."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from left4me.core.redis import signals
from servers.models import Host
from servers.state import usage

# Longer than the time after which pages show a host as down, so that short network breaks do not alert.
_ALERT_AFTER = timedelta(minutes=1)
# After a longer pause between two checks the earlier ones do not count.
_GAP = timedelta(seconds=45)


def troubles() -> dict[str, str]:
    """What is wrong with each host that jobs cannot run on now, by its name."""
    now = timezone.now()
    return {host.name: trouble for host in Host.objects.all() if (trouble := host.trouble(now))}


_told = usage.ToldFigures()


class SilenceMonitor:
    """Checks the hosts repeatedly and knows since when it has done so without a gap.

    Silence during a gap means nothing: after the database or this worker was down, or the machine slept, the hosts
    first get the usual time to report.
    """

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._checked_at: datetime | None = None
        self._was_down: dict[int, bool] = {}

    def check(self, *, here: str, now: datetime) -> None:
        """Check every host except the one named `here`, on which this runs."""
        if self._since is None or self._checked_at is None or not timedelta(0) <= now - self._checked_at <= _GAP:
            self._since = now
        self._checked_at = now
        for host in Host.objects.exclude(name=here):
            is_down = host.is_down(now)
            if self._was_down.setdefault(host.pk, is_down) != is_down:
                self._was_down[host.pk] = is_down
                _announce(host)
            if host.last_seen_at is None:
                continue
            if not is_down:
                _clear_silence(host, now=now)
            elif min(now - self._since, now - host.last_seen_at) > _ALERT_AFTER:
                _report_silence(host, now=now)


def host_has_reported(before: Host, *, version: str, game_version: str, facts: dict[str, Any], now: datetime) -> None:
    """Tell open pages what is new about a host that has just reported; `before` is its row of the last report."""
    if before.is_down(now):
        _announce(before)
        return
    after = Host(pk=before.pk, version=version, game_version=game_version, facts=facts)
    new, old = (
        (each.version, each.game_version, each.refusal, each.disk_is_low, each.facts.get("versions"))
        for each in (after, before)
    )
    memory, disk = facts.get("memory", {}), facts.get("disk", {})
    dropped = (facts.get("floods") or {}).get("total", {})
    figures = (facts.get("load"), memory.get("available"), disk.get("free"), sum(dropped.values()))
    if new != old:
        signals.send([f"{signals.HOST}:{before.pk}"])
    if _told.differ(before.pk, figures, now=now):
        signals.send([f"{signals.LOAD}:{before.pk}"])


def _announce(host: Host) -> None:
    """Tell open pages that a host went offline or is back, with its servers, whose state is unknown meanwhile."""
    servers = host.servers.values_list("pk", flat=True)
    signals.send([f"{signals.HOST}:{host.pk}", *(f"{signals.SERVER}:{pk}" for pk in servers)])


def _report_silence(host: Host, *, now: datetime) -> None:
    last_seen = host.last_seen_at
    text = _(
        "No data since %(moment)s UTC. The state of its servers is unknown. Check the machine and its worker."
    ) % {"moment": f"{last_seen:%H:%M:%S}" if last_seen else "–"}
    incidents.report(
        ProblemReport(
            event=Event.HOST_SILENT,
            key=f"host:{host.pk}",
            subject=f"host:{host.pk}",
            title=_("Host “%(name)s” is offline") % {"name": host.name},
            text=text,
            path=host.get_absolute_url(),
            recovered=Event.HOST_RECOVERED,
            recovered_title=_("Host “%(name)s” is online again") % {"name": host.name},
        ),
        now=now,
    )


def _clear_silence(host: Host, *, now: datetime) -> None:
    incidents.mark_recovered(f"host:{host.pk}", now=now)
