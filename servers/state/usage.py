"""CPU, memory and disk usage of servers: measured on their host, kept in Redis for two minutes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import redis

from left4me.core.redis import keys, signals
from left4me.core.redis.client import client
from servers.gamehost.port import Resources, ServerRuntime

DISK_EVERY = timedelta(minutes=1)
KEPT = timedelta(minutes=2)
_NOTABLE = 0.05
_TOLD_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One measurement. Values are None for a server that does not run, and where the host does not report them."""

    at: datetime
    cpu_percent: float | None  # of one core, since the previous measurement
    memory_bytes: int | None
    tasks: int | None
    disk_bytes: int | None  # of the writable layer
    # Kept for the next measurement:
    cpu_seconds: float | None
    disk_at: datetime


class ToldFigures:
    """The figures that open pages were last told of, by what they are about.

    Figures waver all the time. Pages are told of those that changed by more than a twentieth, at most twice a minute,
    and when one appears or disappears.
    """

    def __init__(self) -> None:
        self._told: dict[int, tuple[datetime, tuple[float | None, ...]]] = {}

    def differ(self, about: int, figures: tuple[float | None, ...], *, now: datetime) -> bool:
        """Whether pages are to be told of `figures` now; then they count as told."""
        told_at, told = self._told.get(about, (None, ()))
        has_same = [figure is None for figure in figures] == [figure is None for figure in told]
        if told_at is not None and has_same:
            pairs = [(old, new) for old, new in zip(told, figures, strict=True) if old is not None and new is not None]
            wavers = all(abs(new - old) <= max(1, abs(old)) * _NOTABLE for old, new in pairs)
            if wavers or now - told_at < _TOLD_EVERY:
                return False
        self._told[about] = (now, figures)
        return True


_told = ToldFigures()


def sample(server_ids: Iterable[int], *, running: set[int], runtime: ServerRuntime, now: datetime) -> None:
    """Measure these servers and store the results; for those that do not run only the disk.

    Raises RedisError, RuntimeFault.
    """
    ids = list(server_ids)
    previous = of(ids)
    with_disk = {pk for pk in ids if pk not in previous or now - previous[pk].disk_at >= DISK_EVERY}
    # Measured once more, so that the figures of the ended game are replaced.
    have_just_ended = {pk for pk, usage in previous.items() if usage.tasks is not None}
    measured = [pk for pk in ids if pk in running | with_disk | have_just_ended]
    used = runtime.resources(measured, with_disk=with_disk)
    with client().pipeline(transaction=False) as pipe:
        measured_now = {
            server_id: _usage(previous.get(server_id), resources, with_disk=server_id in with_disk, now=now)
            for server_id, resources in used.items()
        }
        for server_id, usage in measured_now.items():
            pipe.set(keys.server_usage(server_id), json.dumps(asdict(usage), default=str), ex=KEPT)
        pipe.execute()
    signals.send(
        f"{signals.USAGE}:{server_id}"
        for server_id, usage in measured_now.items()
        if _told.differ(server_id, (usage.cpu_percent, usage.memory_bytes, usage.tasks, usage.disk_bytes), now=now)
    )


def of(server_ids: Sequence[int]) -> Mapping[int, Usage]:
    """The newest measurement of each server that has one. Raises RedisError."""
    if not server_ids:
        return {}
    stored = cast("list[bytes | None]", client().mget([keys.server_usage(server_id) for server_id in server_ids]))
    return {
        server_id: _read(json.loads(raw)) for server_id, raw in zip(server_ids, stored, strict=True) if raw is not None
    }


def of_one(server_id: int) -> Usage | None:
    """The newest measurement; None when there is none, or Redis does not answer."""
    try:
        return of([server_id]).get(server_id)
    except redis.RedisError:
        return None


def _usage(old: Usage | None, used: Resources, *, with_disk: bool, now: datetime) -> Usage:
    return Usage(
        at=now,
        cpu_percent=_percent(old, used.cpu_seconds, now),
        memory_bytes=used.memory_bytes,
        tasks=used.tasks,
        disk_bytes=used.disk_bytes if with_disk or old is None else old.disk_bytes,
        cpu_seconds=used.cpu_seconds,
        disk_at=now if with_disk or old is None else old.disk_at,
    )


def _percent(old: Usage | None, cpu_seconds: float | None, now: datetime) -> float | None:
    if old is None or old.cpu_seconds is None or cpu_seconds is None or now <= old.at:
        return None
    # Less than before: the game was restarted between the two measurements.
    spent = cpu_seconds - old.cpu_seconds if cpu_seconds >= old.cpu_seconds else cpu_seconds
    return round(100 * spent / (now - old.at).total_seconds(), 1)


def _read(stored: dict[str, Any]) -> Usage:
    times = {name: datetime.fromisoformat(stored[name]) for name in ("at", "disk_at")}
    return Usage(**{**stored, **times})
