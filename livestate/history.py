"""History of servers over a span of time: players over time, maps, players; its CSV export and its deletion."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef, QuerySet, Sum
from django.db.models.functions import Coalesce, Greatest, Least
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.core.rows import delete_in_steps
from livestate import totals
from livestate.campaigns import Chapter, MapTitles
from livestate.live import ShownPlayer, with_profiles
from livestate.models import Order, PlayerSession, Snapshot, SteamProfile
from livestate.totals import Milliseconds
from servers.models import Server

MOST_PLAYERS = 20
ROWS_AT_ONCE = 1_000
CSV_HEADINGS = ["steam_id_64", "name", "name_at_join", "joined_at", "left_at", "seconds", "min_ping", "max_ping"]
# A spreadsheet treats a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# In milliseconds.
_INSTANT = 0.001
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


# A time in which a server was seen: from and until, in milliseconds since the span began, with players and map.
Seen = tuple[int, int, int, str]


def of(server: Server, *, span: Span, now: datetime) -> History:
    start = now - span.length
    rows = Snapshot.objects.during(start, now).filter(server=server).order_by()
    begin, length = _milliseconds(start), span.length // _MILLISECOND
    seen = [
        # Only the part of a snapshot that lies within the span counts.
        (max(since - begin, 0), min(until - begin, length), players, map_)
        for since, until, players, map_ in rows.values_list(
            Milliseconds("started_at"), Milliseconds("last_seen_at"), "players", "map"
        )
    ]
    found = steps(seen, start=start, end=now, count=span.steps)
    return History(
        span=span,
        start=start,
        end=now,
        steps=found,
        table=_wider(found, span.steps // span.rows),
        maps=maps_played(server, seen),
        regulars=regulars(PlayerSession.objects.during(start, now).filter(server=server), start=start, end=now),
    )


def steps(seen: Iterable[Seen], *, start: datetime, end: datetime, count: int) -> list[Step]:
    """Divide the span into `count` equal steps."""
    width = (end - start) / _MILLISECOND / count
    most, weighted, covered = [0] * count, [0.0] * count, [0.0] * count
    for since, until, players, _map in seen:
        first = min(int(since / width), count - 1)
        if until <= (first + 1) * width:
            # Most snapshots lie within one step.
            time = max(until - since, _INSTANT)
            most[first] = max(most[first], players)
            weighted[first] += players * time
            covered[first] += time
            continue
        last = max(first, min(math.ceil(until / width), count) - 1)
        for index in range(first, last + 1):
            # A snapshot of a single poll has no duration, but the step must not count as one without data.
            time = max(min(until, (index + 1) * width) - max(since, index * width), _INSTANT)
            most[index] = max(most[index], players)
            weighted[index] += players * time
            covered[index] += time
    return [
        Step(
            start + timedelta(milliseconds=index * width),
            most[index],
            weighted[index] / covered[index] if covered[index] else 0.0,
            timedelta(milliseconds=covered[index]),
        )
        for index in range(count)
    ]


def _wider(narrow: Sequence[Step], together: int) -> list[Step]:
    """Steps that are each as wide as so many of these."""
    groups = [narrow[first : first + together] for first in range(0, len(narrow), together)]
    return [
        Step(
            group[0].start,
            max(step.most for step in group),
            sum(step.mean * step.seen.total_seconds() for step in group) / seen.total_seconds() if seen else 0.0,
            seen,
        )
        for group in groups
        for seen in [sum((step.seen for step in group), timedelta())]
    ]


def maps_played(server: Server, seen: Iterable[Seen]) -> list[MapPlayed]:
    """The maps that were loaded, sorted by the time during which players were on them."""
    loaded: dict[str, int] = defaultdict(int)
    played: dict[str, int] = defaultdict(int)
    for since, until, players, map_ in seen:
        loaded[map_] += until - since
        if players:
            played[map_] += until - since
    titles = MapTitles([server])
    maps = [
        MapPlayed(name, titles.chapter(server.pk, name), time * _MILLISECOND, played[name] * _MILLISECOND)
        for name, time in loaded.items()
        if name
    ]
    return sorted(maps, key=lambda map_: (-map_.played, -map_.time, map_.map))


def regulars(sessions: QuerySet[PlayerSession], *, start: datetime, end: datetime) -> list[Regular]:
    """The players with the longest total time within the span."""
    begin, now = _milliseconds(start), _milliseconds(end)
    until = Least(Coalesce(Milliseconds("left_at"), now), now)
    since = Greatest(Milliseconds("joined_at"), begin)
    longest = (
        sessions.order_by()
        .values("steam_id_64")
        .annotate(time=Sum(Greatest(until - since, 0)), visits=Count("pk"), joined=Max("joined_at"))
        .order_by("-time", "steam_id_64")[:MOST_PLAYERS]
    )
    rows = list(longest)
    latest = {
        row.steam_id_64: row
        for row in sessions.filter(
            steam_id_64__in=[row["steam_id_64"] for row in rows], joined_at__in=[row["joined"] for row in rows]
        ).order_by("joined_at", "pk")
    }
    players = with_profiles([latest[row["steam_id_64"]] for row in rows])
    return [
        Regular(player, int(row["time"]) * _MILLISECOND, row["visits"])
        for row, player in zip(rows, players, strict=True)
    ]


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


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
    deleted = _prune_visits(before)
    expired: list[QuerySet[Any]] = [
        Snapshot.objects.filter(last_seen_at__lt=before),
        Order.objects.filter(created_at__lt=before),
        # After the visits: what a profile is kept for may have gone with them.
        SteamProfile.objects.filter(~Exists(sessions), fetched_at__lt=before),
        *(rows(before) for rows in _expiring),
    ]
    return deleted + sum(delete_in_steps(rows, at_once=ROWS_AT_ONCE) for rows in expired)


def _prune_visits(before: datetime) -> int:
    """Delete the visits that ended before that, in steps, each with what the visits of its players add up to."""
    deleted = 0
    old = PlayerSession.objects.filter(left_at__lt=before).order_by("left_at")
    while some := list(old.values_list("pk", "server_id", "steam_id_64")[:ROWS_AT_ONCE]):
        with transaction.atomic():
            deleted += PlayerSession.objects.filter(pk__in=[pk for pk, *_pair in some]).delete()[0]
            totals.refresh_after_deletion({(server, account) for _pk, server, account in some})
    return deleted
