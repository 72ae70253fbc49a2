"""What /proc tells about processes: who is still the same, who belongs to whom, what they use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Usage:
    cpu_seconds: float
    memory_bytes: int
    tasks: int


@cache
def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def started(pid: int) -> int | None:
    """When the process started, in clock ticks since boot: with the pid it names a process for good.

    None when there is no such process, or only its zombie.
    """
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return int(fields[19])


def named(pid: int) -> dict[str, int | None]:
    """A process as state files name it."""
    return {"pid": pid, "start": started(pid)}


def same(process: Mapping[str, int] | None) -> int | None:
    """The pid of a process that `named` described, if it still lives."""
    if process and started(process["pid"]) == process["start"]:
        return process["pid"]
    return None


def children(pid: int) -> list[int]:
    """The direct children, oldest first; empty when there is no such process."""
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        return found
    return found


def game_of(init: int) -> int | None:
    """The game below process 1 of a sandbox; beside it may stand the daemon of the fallback mount."""
    return next((child for child in children(init) if _name(child) != "fuse-overlayfs"), None)


def usage(pid: int) -> Usage | None:
    """What the process and everything below it uses; None when it is gone."""
    cpu, memory, tasks = 0.0, 0, 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        fields = _stat(one)
        if fields is None:
            continue
        # Times of children that were waited for count too, or a short-lived helper would never show.
        cpu += sum(int(fields[n]) for n in (11, 12, 13, 14)) / _TICKS
        memory += _private_bytes(one)
        tasks += int(fields[17])
        waiting += children(one)
    return Usage(cpu_seconds=cpu, memory_bytes=memory, tasks=tasks) if tasks else None


def _private_bytes(pid: int) -> int:
    try:
        _, resident, shared = (_PROC / str(pid) / "statm").read_text().split()[:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE


def _name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    # The program's name stands in parentheses and may itself hold blanks and parentheses.
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
