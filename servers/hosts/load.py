"""What this machine uses in all: CPU, memory, disk and network, read from /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from left4me.core.files import room

_PROC = Path("/proc")
_DEFAULT_ROUTE = "00000000"
# The places of idle and iowait in the first line of /proc/stat, and of the bytes in a line of /proc/net/dev.
_IDLE, _IOWAIT = 3, 4
_RECEIVED, _SENT = 0, 8


@dataclass(frozen=True, slots=True)
class Load:
    """One measurement. Rates are since the measurement before; None for the first one."""

    cpu: float | None  # percent of all cores together
    memory: int  # bytes that are not available to programs
    disk: int  # bytes in use
    received: float | None  # bytes in a second
    sent: float | None


@dataclass(frozen=True, slots=True)
class _Counters:
    at: float
    busy: int
    ticks: int
    received: int
    sent: int


class Meter:
    """Measures the load of the machine; `root` is on the disk that counts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before: _Counters | None = None

    def measure(self) -> Load:
        """Raises OSError where /proc is not readable."""
        now, before = _counters(), self._before
        self._before = now
        total, available = memory()
        cpu = received = sent = None
        if before is not None and now.ticks > before.ticks and now.at > before.at:
            seconds = now.at - before.at
            cpu = 100 * (now.busy - before.busy) / (now.ticks - before.ticks)
            # A counter starts again at 0 when its interface is set up again.
            received = max(0, now.received - before.received) / seconds
            sent = max(0, now.sent - before.sent) / seconds
        return Load(cpu, total - available, room.used(self._root), received, sent)


def cores() -> int:
    return os.cpu_count() or 1


def average() -> float:
    """Processes that run or wait for a core, on average of the last minute."""
    return round(os.getloadavg()[0], 2)


def memory() -> tuple[int, int]:
    """The bytes of memory in all, and those that programs can still get."""
    lines = dict(line.split(":", 1) for line in (_PROC / "meminfo").read_text().splitlines())
    total, available = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return total, available


def _counters() -> _Counters:
    ticks = [int(field) for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    received = sent = 0
    for fields in _interfaces().values():
        received += int(fields[_RECEIVED])
        sent += int(fields[_SENT])
    return _Counters(time.monotonic(), sum(ticks) - ticks[_IDLE] - ticks[_IOWAIT], sum(ticks), received, sent)


def _interfaces() -> dict[str, list[str]]:
    """The interfaces that lead out of the machine; bridges and containers would count the same bytes again."""
    lines = [line.split(":", 1) for line in (_PROC / "net/dev").read_text().splitlines() if ":" in line]
    all_of_them = {name.strip(): fields.split() for name, fields in lines if name.strip() != "lo"}
    routes = [line.split() for line in (_PROC / "net/route").read_text().splitlines()[1:]]
    outward = {route[0] for route in routes if route[1] == _DEFAULT_ROUTE}
    return {name: fields for name, fields in all_of_them.items() if name in outward} or all_of_them
