"""What the firewalls of hosts have dropped, for pages, API and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from servers.models import Host

_HOUR: Final = 3600
# Some packets are dropped on every machine of the internet all the time. Above this many a second it is a flood.
_FLOOD_RATE: Final = 20.0

REASONS: Final[dict[str, Promise]] = {
    "queries": _("Queries above the limit of one address"),
    "connections": _("Requests to join above the limit of one address"),
    "strangers": _("Packets of nobody's game"),
    "storms": _("Requests above the limit of all addresses together"),
    "players": _("Packets above the limit of one player"),
    "malformed": _("Packets that are too short"),
    "rcon": _("RCON from outside"),
}
# Scanners look for open ports everywhere; these alone are no flood of a game.
_OF_SCANNERS: Final = frozenset({"rcon"})


@dataclass(frozen=True)
class Dropped:
    """The packets that were dropped for one reason."""

    reason: str
    hour: int
    total: int

    @property
    def label(self) -> Promise | str:
        return REASONS.get(self.reason, self.reason)


@dataclass(frozen=True)
class Floods:
    """What the firewall of a host does and did. `limits` is None where floods are not limited."""

    host: Host
    is_known: bool  # whether the host ever had left4me's firewall
    is_loaded: bool
    limits: dict[str, int] | None
    rate: float  # packets a second that are dropped now, RCON aside
    dropped: list[Dropped]

    @property
    def is_shown(self) -> bool:
        """Whether its page speaks of the firewall: not for hosts that `deploy/install` did not set up."""
        return self.is_known or self.host.facts.get("runtime") == "systemd"

    @property
    def is_flooded(self) -> bool:
        return self.rate >= _FLOOD_RATE


def of(host: Host, *, now: datetime) -> Floods:
    told: dict[str, Any] = host.facts.get("floods") or {}
    # What a host told before it went offline is no flood of now.
    rate = sum(value for name, value in told.get("rate", {}).items() if name not in _OF_SCANNERS)
    total: dict[str, int] = told.get("total", {})
    before = _an_hour_ago(told.get("marks", []), now.timestamp())
    names = [name for name in REASONS if name in total] + sorted(total.keys() - REASONS.keys())
    return Floods(
        host=host,
        is_known=bool(told),
        is_loaded=bool(told.get("is_loaded")),
        limits=told.get("limits"),
        rate=0.0 if host.is_down(now) else rate,
        dropped=[Dropped(name, max(0, total[name] - before.get(name, 0)), total[name]) for name in names],
    )


def _an_hour_ago(marks: list[dict[str, Any]], now: float) -> dict[str, int]:
    """The totals of about an hour ago: those of the last mark before that, else of the first one."""
    older = [mark for mark in marks if now - mark["at"] >= _HOUR]
    found = older[-1:] or marks[:1]
    totals: dict[str, int] = found[0]["total"] if found else {}
    return totals
