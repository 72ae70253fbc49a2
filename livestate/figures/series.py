"""Figures over a range of time, as lists of a few hundred values: for charts, sparklines and the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from livestate.figures.columns import decode
from livestate.figures.condensation import halves
from livestate.models import Figure, FigureBlock, HostFigures, ServerFigures
from servers.models import Host, Server


class Range(Enum):
    """A length of time back from now, and the length of a chart's step: 720 steps or fewer."""

    HOUR = ("1h", _("1 hour"), timedelta(hours=1), 10)
    HOURS = ("6h", _("6 hours"), timedelta(hours=6), 30)
    DAY = ("24h", _("24 hours"), timedelta(hours=24), 120)
    WEEK = ("7d", _("7 days"), timedelta(days=7), 900)
    MONTH = ("30d", _("30 days"), timedelta(days=30), 3600)

    def __init__(self, code: str, title: Promise, length: timedelta, step: int) -> None:
        self.code = code
        self.title = title
        self.length = length
        self.step = step

    @classmethod
    def of(cls, code: str) -> Range:
        """The range with this code; 24 hours for any other text."""
        return next((one for one in cls if one.code == code), cls.DAY)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure over a range: of each step the mean and the highest value; None where nothing was measured."""

    figure: Figure
    mean: list[float | None]
    high: list[float | None]

    @property
    def now(self) -> float | None:
        """The newest value."""
        values = self.high if self.figure.is_peak else self.mean
        return next((value for value in reversed(values) if value is not None), None)

    @property
    def average(self) -> float | None:
        known = [value for value in self.mean if value is not None]
        return sum(known) / len(known) if known else None

    @property
    def highest(self) -> float | None:
        return max((value for value in self.high if value is not None), default=None)


@dataclass(frozen=True, slots=True)
class Series:
    """All figures of one server or host. `start` is the first step with a value, so that an axis begins with data."""

    range: Range
    start: datetime
    end: datetime
    lines: list[Line]

    @property
    def step(self) -> int:
        return self.range.step

    @property
    def steps(self) -> int:
        return len(self.lines[0].mean)

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.figure.name == name)


def of_server(server: Server, *, range_: Range, now: datetime) -> Series:
    blocks = ServerFigures.objects.filter(server=server, start__gt=_earliest(range_, now))
    return _series(ServerFigures.FIGURES, blocks, range_, now)


def of_host(host: Host, *, range_: Range, now: datetime) -> Series:
    blocks = HostFigures.objects.filter(host=host, start__gt=_earliest(range_, now))
    return _series(HostFigures.FIGURES, blocks, range_, now)


def players(servers: Sequence[Server], *, range_: Range, now: datetime) -> dict[int, Line]:
    """The line of players of each server that has one, in one query."""
    figure = next(figure for figure in ServerFigures.FIGURES if figure.name == "players")
    rows = ServerFigures.objects.filter(server__in=servers, start__gt=_earliest(range_, now)).defer(
        *(other.name for other in ServerFigures.FIGURES if other != figure)
    )
    by_server: dict[int, list[ServerFigures]] = {}
    for row in rows:
        by_server.setdefault(row.server_id, []).append(row)
    first, count = _grid(range_, now)
    return {server_id: _line(figure, blocks, range_.step, first, count) for server_id, blocks in by_server.items()}


def _earliest(range_: Range, now: datetime) -> datetime:
    # A coarse block that began a day before the range may reach into it.
    return now - range_.length - FigureBlock.LENGTH[FigureBlock.COARSE]


def _grid(range_: Range, now: datetime) -> tuple[int, int]:
    """The first step, counted from 1970, and the number of steps; the last one is that of `now`."""
    last = int(now.timestamp()) // range_.step
    count = int(range_.length.total_seconds()) // range_.step
    return last - count + 1, count


def _series(figures: Iterable[Figure], rows: Iterable[FigureBlock], range_: Range, now: datetime) -> Series:
    first, count = _grid(range_, now)
    blocks = list(rows)
    lines = [_line(figure, blocks, range_.step, first, count) for figure in figures]
    # Without data the axis shows the whole range.
    empty = min((leading(line.high) for line in lines), default=count) % count
    return Series(
        range=range_,
        start=_time((first + empty) * range_.step),
        end=_time((first + count) * range_.step),
        lines=[Line(line.figure, line.mean[empty:], line.high[empty:]) for line in lines],
    )


def leading(values: Sequence[float | None]) -> int:
    """The number of steps before the first one with a value."""
    return next((index for index, value in enumerate(values) if value is not None), len(values))


def _line(figure: Figure, blocks: Iterable[FigureBlock], step: int, first: int, count: int) -> Line:
    totals, counts, highest = [0] * count, [0] * count, [-1] * count
    for block in blocks:
        column = decode(getattr(block, figure.name))
        means, highs = halves(column) if block.step == FigureBlock.COARSE else (column, column)
        seconds = int(block.start.timestamp()) - first * step
        for index, (mean, high) in enumerate(zip(means, highs, strict=True)):
            if mean is None or high is None:
                continue
            at = (seconds + index * block.step) // step
            if 0 <= at < count:
                # A coarse step stands for as many fine ones as it was made of.
                totals[at] += mean * block.step
                counts[at] += block.step
                highest[at] = max(highest[at], high)
    return Line(
        figure,
        [figure.shown(total / of) if of else None for total, of in zip(totals, counts, strict=True)],
        [figure.shown(high) if high >= 0 else None for high in highest],
    )


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
