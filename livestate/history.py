"""History of servers over a span of time: players over time, maps, players; its CSV export and its deletion."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from django.db.models import Exists, OuterRef, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.core.rows import delete_in_steps
from livestate.campaigns import Chapter, MapTitles
from livestate.live import ShownPlayer, with_profiles
from livestate.models import Order, PlayerSession, Snapshot, SteamProfile
from servers.models import Server

MOST_PLAYERS = 20
ROWS_AT_ONCE = 1_000
CSV_HEADINGS = ["steam_id_64", "name", "name_at_join", "joined_at", "left_at", "seconds", "min_ping", "max_ping"]
# A spreadsheet treats a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_INSTANT = timedelta(microseconds=1)


class Span(Enum):
    """A length of time back from now, with its number of steps in the chart and of rows in the table."""

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
        """The span with this code; the shortest one for any other text."""
        return next((span for span in cls if span.code == code), cls.DAY)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of time: maximum and mean number of players, and for how long snapshots cover it."""

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
    """A player's total time on the server; name and picture come from the latest session."""

    player: ShownPlayer
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
    """Divide the span into `count` equal steps."""
    width = (end - start) / count
    most, weighted, seen = [0] * count, [0.0] * count, [timedelta()] * count
    for row in snapshots:
        # Only the part of the snapshot that lies within the span counts.
        since, until = max(row.started_at, start), min(row.last_seen_at, end)
        first = min(int((since - start) / width), count - 1)
        for index in range(first, count):
            begin = start + index * width
            if index > first and begin >= until:
                break
            # A snapshot of a single poll has no duration, but the step must not count as one without data.
            covered = max(min(until, begin + width) - max(since, begin), _INSTANT)
            most[index] = max(most[index], row.players)
            weighted[index] += row.players * covered.total_seconds()
            seen[index] += covered
    return [
        Step(start + index * width, most[index], weighted[index] / seen[index].total_seconds(), seen[index])
        if seen[index]
        else Step(start + index * width, 0, 0.0, timedelta())
        for index in range(count)
    ]


def maps_played(server: Server, snapshots: Iterable[Snapshot], *, start: datetime, end: datetime) -> list[MapPlayed]:
    """The maps that were loaded, sorted by the time during which players were on them."""
    loaded: dict[str, timedelta] = {}
    played: dict[str, timedelta] = {}
    for row in snapshots:
        time = min(row.last_seen_at, end) - max(row.started_at, start)
        loaded[row.map] = loaded.get(row.map, timedelta()) + time
        played[row.map] = played.get(row.map, timedelta()) + (time if row.players else timedelta())
    titles = MapTitles([server])
    maps = [MapPlayed(name, titles.chapter(server.pk, name), loaded[name], played[name]) for name in loaded if name]
    return sorted(maps, key=lambda map_: (-map_.played, -map_.time, map_.map))


def regulars(sessions: QuerySet[PlayerSession], *, start: datetime, end: datetime) -> list[Regular]:
    """The players with the longest total time within the span."""
    times: dict[int, timedelta] = {}
    visits: dict[int, int] = {}
    latest: dict[int, PlayerSession] = {}
    for row in sessions.order_by("joined_at", "pk"):
        account = row.steam_id_64
        times[account] = times.get(account, timedelta()) + within(row, start=start, end=end)
        visits[account] = visits.get(account, 0) + 1
        latest[account] = row
    longest = sorted(times, key=lambda account: (-times[account], account))[:MOST_PLAYERS]
    players = with_profiles([latest[account] for account in longest])
    return [Regular(player, times[account], visits[account]) for account, player in zip(longest, players, strict=True)]


def within(session: PlayerSession, *, start: datetime, end: datetime) -> timedelta:
    """How long a session lasted inside a span."""
    return max(min(session.left_at or end, end) - max(session.joined_at, start), timedelta())


class _Writable(Protocol):
    def write(self, text: str, /) -> object: ...


def write_sessions_csv(target: _Writable, server: Server, *, span: Span, now: datetime) -> None:
    """Write one CSV row per session that overlaps the span, the earliest first."""
    rows = PlayerSession.objects.during(now - span.length, now).filter(server=server).order_by("joined_at", "pk")
    writer = csv.writer(target)
    writer.writerow(CSV_HEADINGS)
    for player in with_profiles(list(rows)):
        session = player.session
        writer.writerow(
            [
                session.steam_id_64,
                csv_cell(player.name),
                csv_cell(session.name_at_join),
                session.joined_at.isoformat(),
                session.left_at.isoformat() if session.left_at else "",
                int(((session.left_at or now) - session.joined_at).total_seconds()),
                "" if session.min_ping is None else session.min_ping,
                "" if session.max_ping is None else session.max_ping,
            ]
        )


def csv_cell(text: str) -> str:
    """The text as a cell that no spreadsheet executes."""
    return f"'{text}" if text.startswith(_FORMULA) else text


# Rows of other apps with their history, as `expire` adds them.
_expiring: list[Callable[[datetime], QuerySet[Any]]] = []


def expire(rows: Callable[[datetime], QuerySet[Any]]) -> None:
    """Have `prune` delete the rows that this returns for a moment, which ended before it. Called once by `ready`."""
    _expiring.append(rows)


def prune(*, now: datetime, days: int) -> int:
    """Delete snapshots, sessions and orders that ended `days` ago, and profiles of accounts without a session.

    Returns the number of deleted rows. Deletes in steps, so that no transaction holds the database for long.
    """
    before = now - timedelta(days=days)
    sessions = PlayerSession.objects.filter(steam_id_64=OuterRef("pk"))
    expired: list[QuerySet[Any]] = [
        Snapshot.objects.filter(last_seen_at__lt=before),
        PlayerSession.objects.filter(left_at__lt=before),
        Order.objects.filter(created_at__lt=before),
        SteamProfile.objects.filter(~Exists(sessions), fetched_at__lt=before),
        *(rows(before) for rows in _expiring),
    ]
    return sum(delete_in_steps(rows, at_once=ROWS_AT_ONCE) for rows in expired)
