"""What the firewall of this host has dropped, as the host reports it in `Host.facts`.

Root writes the counters of the rules to a file (`left4me-firewall-counters.timer`). They begin at 0 whenever the rules
are loaded; what is reported goes on from where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.conf import settings

from left4me.core import floods

# The file is written every 15 seconds, as long as the rules are loaded.
_STALE_SECONDS: Final = 120
_MARK_EVERY: Final = 300
_KEPT: Final = 3600


def observe(before: dict[str, Any] | None, *, now: float, file: Path = floods.COUNTERS_FILE) -> dict[str, Any] | None:
    """What is known of the firewall, from its counters and from what was known `before`; None if there never was one.

    `total` counts packets by reason. `marks` are totals of earlier times, from which the last hour is counted, and
    `rate` is how many packets a second were dropped between the last two readings.
    """
    counters, read_at = floods.read(file)
    known = before or {"total": {}, "counters": {}, "marks": [], "rate": {}, "read_at": 0.0}
    # While the file is being written, and once the rules are gone, it holds no counters.
    if counters and read_at != known["read_at"]:
        known = _counted(known, counters, read_at=read_at, now=now)
    if not known["read_at"]:
        return None
    is_loaded = abs(now - known["read_at"]) < _STALE_SECONDS
    return {**known, "is_loaded": is_loaded, "limits": _limits(), "rate": known["rate"] if is_loaded else {}}


def _counted(known: dict[str, Any], counters: dict[str, int], *, read_at: float, now: float) -> dict[str, Any]:
    before, total = known["counters"], known["total"]
    # A counter that is smaller than before began again.
    new = {
        name: value - before.get(name, 0) if value >= before.get(name, 0) else value
        for name, value in counters.items()
    }
    # Nothing is known about the time between two readings with the clock set back in between.
    seconds = read_at - known["read_at"] if known["read_at"] else 0.0
    total = {**total, **{name: total.get(name, 0) + value for name, value in new.items()}}
    return {
        "counters": counters,
        "read_at": read_at,
        "total": total,
        "marks": _marks(known["marks"], total, now=now),
        "rate": {name: round(value / seconds, 1) for name, value in new.items()} if seconds > 0 else {},
    }


def _limits() -> dict[str, int] | None:
    """The limits that the rules of this host are made with; None where floods are not limited."""
    if not settings.LEFT4ME_FLOOD_LIMITS:
        return None
    return {
        "requests": settings.LEFT4ME_FLOOD_REQUESTS,
        "requests_in_all": settings.LEFT4ME_FLOOD_REQUESTS_IN_ALL,
        "packets": settings.LEFT4ME_FLOOD_PACKETS,
    }


def _marks(marks: list[dict[str, Any]], total: dict[str, int], *, now: float) -> list[dict[str, Any]]:
    """Totals of the last hour, one for every few minutes, and the last one before that."""
    # The clock may have been set back since.
    kept = [mark for mark in marks if mark["at"] <= now]
    if not kept or now - kept[-1]["at"] >= _MARK_EVERY:
        kept = [*kept, {"at": now, "total": total}]
    older = [mark for mark in kept if now - mark["at"] > _KEPT]
    return kept[max(0, len(older) - 1) :]
