"""Demos for tests: rows, and files of the shape that the game writes."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from livestate.demos import header
from livestate.demos.models import Demo
from servers.models import Server


def make_demo(server: Server, started_at: datetime, length: timedelta = timedelta(minutes=20), **fields: Any) -> Demo:
    given = {
        "path": f"left4dead2/auto-{started_at:%Y%m%d-%H%M}-c1m1_hotel.dem",
        "size": 12_000_000,
        "changed": 1,
        "state": Demo.State.COMPLETE,
        "map": "c1m1_hotel",
        "network_protocol": 2100,
        "ticks": 36_000,
        "started_at": started_at,
        "ended_at": started_at + length,
        **fields,
    }
    return Demo.objects.create(server=server, **given)


def content(*, map_: str = "c1m1_hotel", seconds: float = 0, ticks: int | None = None, body: bytes = b"") -> bytes:
    """A demo; without `seconds` one whose recording has not ended."""
    ticks = int(seconds * 30) if ticks is None else ticks
    names = (b"Friday", b"SourceTV Demo", map_.encode(), b"left4dead2")
    return header.FORM.pack(header.MAGIC, 4, 2100, *names, seconds, ticks, ticks, 60_000) + body


def write(upper: Path, name: str, data: bytes, *, changed_at: datetime) -> Path:
    """Write a file below a server's writable layer."""
    path = upper / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (changed_at.timestamp(), changed_at.timestamp()))
    return path
