"""Reads /proc: whether a process is still the same one, its children, its process group, and what it uses.

Standard library only, since the guard of running programs loads this without anything else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat, counted from behind the program's name (the last one is where the arguments lie in memory),
# and the states of a process that has ended.
STATE, PARENT, GROUP, STARTED, ARGUMENTS = 0, 1, 2, 19, 45
DEAD = "ZX"


# Not a dataclass: their module takes a MiB of each process that needs nothing else.
class Usage(NamedTuple):
    cpu_seconds: float
    memory_bytes: int
    tasks: int


@cache
def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def started(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; pid and start time together are never used twice.

    None when there is no such process, or only its zombie.
    """
    fields = _stat(pid)
    if fields is None or fields[STATE] in DEAD:
        return None
    return int(fields[STARTED])


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not only its zombie."""
    return started(pid) is not None


def living_groups() -> set[int]:
    """The process groups that have a member which is no zombie."""
    groups = set()
    for entry in _PROC.iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else None
        if fields is not None and fields[STATE] not in DEAD:
            groups.add(int(fields[GROUP]))
    return groups


def named(pid: int) -> dict[str, int | None]:
    """The process as it is written in state files: its pid and start time."""
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


def usage(pid: int) -> Usage | None:
    """The resources of the process and all its descendants; None when it is gone."""
    cpu, memory, tasks = 0.0, 0, 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        fields = _stat(one)
        if fields is None:
            continue
        # Include the times of children that were waited for: short-lived helpers would never show otherwise.
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


def name(pid: int) -> str:
    """The program's short name; empty when the process is gone."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the program's name, the state first. Raises OSError.

    FileNotFoundError and ProcessLookupError mean that there is no such process.
    """
    # The program's name stands in parentheses and may itself contain blanks and parentheses.
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _stat(pid: int) -> list[str] | None:
    try:
        return stat_fields(pid)
    except OSError:
        return None
