"""Sees which hosts have fallen silent. Runs on one host and says of the others what they cannot say themselves."""

from __future__ import annotations

from datetime import datetime, timedelta

from servers.models import Host
from servers.state import crash_alerts

# Longer than a page waits before it calls a host down: a short break of the line gets nobody out of bed.
_TOLD_AFTER = timedelta(minutes=1)
# A pause between two looks after which what was seen before counts for nothing.
_GAP = timedelta(seconds=45)


class Watch:
    """Looks again and again; keeps since when it has done so without a gap.

    Where nobody looked, silence means nothing: after the database or this worker was away, or the machine slept, the
    hosts first get the time that they always have to report.
    """

    def __init__(self) -> None:
        self._began: datetime | None = None
        self._looked: datetime | None = None

    def look(self, *, here: str, now: datetime) -> None:
        """Look at every host but the one named `here`: whoever looks is not silent."""
        if self._began is None or self._looked is None or not timedelta(0) <= now - self._looked <= _GAP:
            self._began = now
        self._looked = now
        for host in Host.objects.exclude(name=here):
            if host.last_seen_at is None:
                continue
            if not host.is_down(now):
                crash_alerts.host_is_heard(host, now=now)
            elif min(now - self._began, now - host.last_seen_at) > _TOLD_AFTER:
                crash_alerts.host_is_silent(host, now=now)
