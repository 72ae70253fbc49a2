"""The chart of players over time as SVG coordinates; the template only prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format

from livestate.history import History, Step

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 28, 8, 10, 24


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`line` and `area` are SVG path data; `gaps` are the (x, width) of periods without a snapshot."""

    line: str
    area: str
    gaps: list[tuple[float, float]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


def of(history: History) -> Chart:
    highest = max(history.most, 4)
    runs = _runs(history.steps)
    step = Chart.plot_width / max(len(history.steps), 1)

    def x(index: int) -> float:
        return round(LEFT + index * step, 1)

    def y(players: int) -> float:
        return round(Chart.bottom - players / highest * Chart.plot_height, 1)

    lines, areas, gaps = [], [], []
    for first, last, is_seen in runs:
        if not is_seen:
            gaps.append((x(first), round(x(last) - x(first), 1)))
            continue
        path = " ".join(f"H{x(index)} V{y(history.steps[index].most)} H{x(index + 1)}" for index in range(first, last))
        lines.append(f"M{x(first)} {y(history.steps[first].most)} {path}")
        areas.append(f"M{x(first)} {Chart.bottom} {path} V{Chart.bottom} Z")
    return Chart(
        line=" ".join(lines),
        area=" ".join(areas),
        gaps=gaps,
        x_ticks=[Tick(_x_of(moment, history), label) for moment, label in _moments(history)],
        y_ticks=[Tick(y(players), str(players)) for players in _levels(highest)],
    )


def _runs(steps: Sequence[Step]) -> list[tuple[int, int, bool]]:
    """Consecutive steps with or without snapshots, as (first index, index after the last, has snapshots)."""
    runs: list[tuple[int, int, bool]] = []
    for index, step in enumerate(steps):
        is_seen = bool(step.seen)
        if runs and runs[-1][2] == is_seen:
            runs[-1] = (runs[-1][0], index + 1, is_seen)
        else:
            runs.append((index, index + 1, is_seen))
    return runs


def _levels(highest: int) -> list[int]:
    gap = max(1, -(-highest // 4))
    return list(range(0, highest + 1, gap))


def _moments(history: History) -> list[tuple[datetime, str]]:
    """Ticks of the time axis, with labels: every fourth local hour of a day, local midnights of longer spans."""
    local = timezone.localtime(history.start)
    if history.span.length <= timedelta(days=1):
        step, form = timedelta(hours=4), "TIME_FORMAT"
        first = local.replace(minute=0, second=0, microsecond=0) + timedelta(hours=4 - local.hour % 4)
    else:
        step, form = timedelta(days=max(1, history.span.length.days // 6)), "SHORT_DATE_FORMAT"
        first = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    moments = []
    while first < history.end:
        moments.append((first, date_format(first, form)))
        first += step
    return moments


def _x_of(moment: datetime, history: History) -> float:
    return round(LEFT + (moment - history.start) / (history.end - history.start) * Chart.plot_width, 1)
