"""Small drawings of the players of the last day, for lists of servers. Made once in five minutes for all viewers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import redis
from django.core.cache import cache

from livestate.figures import series
from livestate.figures.series import Line, Range
from servers.models import Server

WIDTH, HEIGHT = 96, 24
POINTS = 48
KEPT_SECONDS = 300
# A line of one player is not to fill the height.
LEAST_HEIGHT = 4


@dataclass(frozen=True, slots=True)
class Sparkline:
    """`line` and `area` are SVG path data; `highest` is the most players at once."""

    line: str
    area: str
    highest: int

    width, height = WIDTH, HEIGHT


def of_servers(servers: Sequence[Server], *, now: datetime) -> dict[int, Sparkline]:
    """The sparkline of each server that had players in the last 24 hours; none while Redis is away."""
    keys = {server.pk: f"sparkline:{server.pk}" for server in servers}
    try:
        cached = cache.get_many(keys.values())
        missing = [server for server in servers if keys[server.pk] not in cached]
        if missing:
            lines = series.players(missing, range_=Range.DAY, now=now)
            made = {keys[server.pk]: _paths(lines.get(server.pk)) for server in missing}
            cache.set_many(made, KEPT_SECONDS)
            cached |= made
    except redis.RedisError:
        return {}
    return {server_id: Sparkline(*cached[key]) for server_id, key in keys.items() if cached[key]}


def _paths(line: Line | None) -> tuple[str, str, int] | None:
    """The fields of a sparkline; None when nobody played."""
    if line is None or not line.highest:
        return None
    # As in a chart, the axis begins where the data begins.
    values = line.high[series.leading(line.high) :]
    size = -(-len(values) // POINTS)
    steps = [
        max((value for value in values[first : first + size] if value is not None), default=None)
        for first in range(0, len(values), size)
    ]
    scale = (HEIGHT - 2) / max(line.highest, LEAST_HEIGHT)
    width = WIDTH / max(len(steps) - 1, 1)
    lines, areas = [], []
    for first, last in _runs(steps):
        path = " ".join(
            f"{index * width:.1f} {HEIGHT - 1 - (steps[index] or 0) * scale:.1f}" for index in range(first, last)
        )
        lines.append(f"M{path}")
        areas.append(f"M{first * width:.1f} {HEIGHT} L{path} {(last - 1) * width:.1f} {HEIGHT}Z")
    return "".join(lines), "".join(areas), round(line.highest)


def _runs(steps: Sequence[float | None]) -> list[tuple[int, int]]:
    """The stretches with data, as (first index, index after the last)."""
    runs: list[tuple[int, int]] = []
    for index, value in enumerate(steps):
        if value is None:
            continue
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
