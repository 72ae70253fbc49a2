"""What the rows tell about a span of time: players over time, maps, people. Rows in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from livestate.campaigns import Chapter, Words
from livestate.live import Person, people
from livestate.models import PlayerSession, Snapshot
from servers.models import Server

MOST_PEOPLE = 20
_INSTANT = timedelta(microseconds=1)


class Span(Enum):
    """How far back, in how many steps the chart shows it, and in how many the table beside it."""

    DAY = ("24h", _("24 hours"), timedelta(hours=24), 288, 24)
    WEEK = ("7d", _("7 days"), timedelta(days=7), 336, 7)
    MONTH = ("30d", _("30 days"), timedelta(days=30), 360, 30)

    def __init__(self, code: str, title: Promise, length: timedelta, steps: int, rows: int) -> None:
        self.code = code
        self.title = title
        self.length = length
        self.steps = steps
        self.rows = rows

    @classmethod
    def of(cls, code: str) -> Span:
        """The span of this code; the shortest for any other text."""
        return next((span for span in cls if span.code == code), cls.DAY)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of time: the most players seen in it, their mean, and for how long anything was seen at all."""

    start: datetime
    most: int
    mean: float
    seen: timedelta


@dataclass(frozen=True, slots=True)
class MapPlayed:
    map: str
    chapter: Chapter | None
    time: timedelta
    played: timedelta


@dataclass(frozen=True, slots=True)
class Regular:
    """Somebody's time here, with their latest stay standing for name and picture."""

    person: Person
    time: timedelta
    visits: int


@dataclass(frozen=True, slots=True)
class History:
    span: Span
    start: datetime
    end: datetime
    steps: list[Step]
    table: list[Step]
    maps: list[MapPlayed]
    regulars: list[Regular]

    @property
    def most(self) -> int:
        return max((step.most for step in self.steps), default=0)


def of(server: Server, *, span: Span, now: datetime) -> History:
    start = now - span.length
    snapshots = list(Snapshot.objects.during(start, now).filter(server=server).order_by("started_at", "pk"))
    return History(
        span=span,
        start=start,
        end=now,
        steps=steps(snapshots, start=start, end=now, count=span.steps),
        table=steps(snapshots, start=start, end=now, count=span.rows),
        maps=maps_played(server, snapshots, start=start, end=now),
        regulars=regulars(PlayerSession.objects.during(start, now).filter(server=server), start=start, end=now),
    )


def steps(snapshots: Iterable[Snapshot], *, start: datetime, end: datetime, count: int) -> list[Step]:
    """The span in `count` equal steps."""
    width = (end - start) / count
    most, weighted, seen = [0] * count, [0.0] * count, [timedelta()] * count
    for row in snapshots:
        since, until = max(row.started_at, start), min(row.last_seen_at, end)
        first = min(int((since - start) / width), count - 1)
        for index in range(first, count):
            begin = start + index * width
            if index > first and begin >= until:
                break
            # A snapshot seen only once lasts no time, and yet something was seen.
            part = max(min(until, begin + width) - max(since, begin), _INSTANT)
            most[index] = max(most[index], row.players)
            weighted[index] += row.players * part.total_seconds()
            seen[index] += part
    return [
        Step(start + index * width, most[index], weighted[index] / seen[index].total_seconds(), seen[index])
        if seen[index]
        else Step(start + index * width, 0, 0.0, timedelta())
        for index in range(count)
    ]


def maps_played(server: Server, snapshots: Iterable[Snapshot], *, start: datetime, end: datetime) -> list[MapPlayed]:
    """The maps that were on, by the time that somebody played them."""
    on: dict[str, timedelta] = {}
    played: dict[str, timedelta] = {}
    for row in snapshots:
        time = min(row.last_seen_at, end) - max(row.started_at, start)
        on[row.map] = on.get(row.map, timedelta()) + time
        played[row.map] = played.get(row.map, timedelta()) + (time if row.players else timedelta())
    words = Words([server])
    found = [MapPlayed(name, words.chapter(server.pk, name), on[name], played[name]) for name in on if name]
    return sorted(found, key=lambda each: (-each.played, -each.time, each.map))


def regulars(sessions: QuerySet[PlayerSession], *, start: datetime, end: datetime) -> list[Regular]:
    """Who was here longest within the span."""
    times: dict[int, timedelta] = {}
    visits: dict[int, int] = {}
    latest: dict[int, PlayerSession] = {}
    for row in sessions.order_by("joined_at", "pk"):
        account = row.steam_id_64
        times[account] = times.get(account, timedelta()) + within(row, start=start, end=end)
        visits[account] = visits.get(account, 0) + 1
        latest[account] = row
    first = sorted(times, key=lambda account: (-times[account], account))[:MOST_PEOPLE]
    shown = people([latest[account] for account in first])
    return [Regular(person, times[account], visits[account]) for account, person in zip(first, shown, strict=True)]


def within(session: PlayerSession, *, start: datetime, end: datetime) -> timedelta:
    """How long a stay lasted inside a span."""
    return max(min(session.left_at or end, end) - max(session.joined_at, start), timedelta())


def visits(steam_id_64: int, servers: QuerySet[Server]) -> QuerySet[PlayerSession]:
    """One player's stays on these servers, the latest first."""
    rows = PlayerSession.objects.filter(steam_id_64=steam_id_64, server__in=servers.values("pk"))
    return rows.select_related("server").order_by("-joined_at", "-pk")


def total(sessions: Sequence[PlayerSession], *, now: datetime) -> timedelta:
    return sum(((row.left_at or now) - row.joined_at for row in sessions), timedelta())
