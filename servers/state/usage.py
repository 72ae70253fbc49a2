"""What servers use of their host: measured there, kept in Redis for as long as it is news."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import redis

from left4me.core.redis import keys
from left4me.core.redis.client import client
from servers.gamehost.port import Resources, ServerRuntime

DISK_EVERY = timedelta(minutes=1)
_KEPT = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Nones for what is not running, or what the host does not tell."""

    at: datetime
    cpu_percent: float | None  # of one core, since the measurement before
    memory_bytes: int | None
    tasks: int | None
    disk_bytes: int | None  # of the writable layer
    # For the next measurement.
    cpu_seconds: float | None
    disk_at: datetime


def sample(server_ids: Iterable[int], *, running: set[int], runtime: ServerRuntime, now: datetime) -> None:
    """Measure these servers; of those that do not run only the disk is of interest.

    Raises RedisError, RuntimeFault.
    """
    wanted = list(server_ids)
    before = of(wanted)
    with_disk = {one for one in wanted if one not in before or now - before[one].disk_at >= DISK_EVERY}
    have_just_ended = {one for one, old in before.items() if old.tasks is not None}
    used = runtime.resources(
        [one for one in wanted if one in running | with_disk | have_just_ended], with_disk=with_disk
    )
    with client().pipeline(transaction=False) as pipe:
        for server_id, resources in used.items():
            usage = _usage(before.get(server_id), resources, with_disk=server_id in with_disk, now=now)
            pipe.set(keys.server_usage(server_id), json.dumps(asdict(usage), default=str), ex=_KEPT)
        pipe.execute()


def of(server_ids: Sequence[int]) -> Mapping[int, Usage]:
    """The newest figures of those that have some. Raises RedisError."""
    if not server_ids:
        return {}
    found = cast("list[bytes | None]", client().mget([keys.server_usage(server_id) for server_id in server_ids]))
    return {
        server_id: _read(json.loads(raw)) for server_id, raw in zip(server_ids, found, strict=True) if raw is not None
    }


def of_one(server_id: int) -> Usage | None:
    """The newest figures; None when there are none, or nobody can be asked."""
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
    # Less than before: the game was started anew meanwhile.
    spent = cpu_seconds - old.cpu_seconds if cpu_seconds >= old.cpu_seconds else cpu_seconds
    return round(100 * spent / (now - old.at).total_seconds(), 1)


def _read(stored: dict[str, Any]) -> Usage:
    times = {name: datetime.fromisoformat(stored[name]) for name in ("at", "disk_at")}
    return Usage(**{**stored, **times})
