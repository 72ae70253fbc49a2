"""Which process runs a job, written so that another process of the same machine can prove it dead.

A worker counts as dead once its guard is gone too: only then have the programs that it ran been ended.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from left4me.core.processes import procfs


def of_this_process(host: str, *, guard: int | None = None) -> str:
    """A new identity; two of them differ even in one process. `guard` is the pid of this process's guard."""
    processes = [f"{pid}.{_started_at(pid)}" for pid in (os.getpid(), guard) if pid is not None]
    return "/".join([host, _machine(), "+".join(processes), secrets.token_hex(4)])


def is_provably_dead(identity: str) -> bool:
    """True only when that process and its guard ran under this very kernel and process table, and are gone from it."""
    parts = identity.split("/")
    if len(parts) != 4 or parts[1] != _machine():
        return False
    return not any(_is_alive(process) for process in parts[2].split("+"))


def _is_alive(process: str) -> bool:
    pid, _, started_at = process.partition(".")
    return _started_at(int(pid)) == started_at


def _machine() -> str:
    """The running kernel and its process table: a container's pid 7 is not the host's."""
    boot = procfs.boot_id().replace("-", "")[:12]
    table = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{boot}.{table}"


def _started_at(pid: int) -> str | None:
    """Clock ticks since boot; with the pid this names a process for good. None when there is none, or a dead one."""
    try:
        fields = procfs.stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        # Nothing else means that it is gone: not, for one, that this process has too many files open.
        return None
    return None if fields[procfs.STATE] in procfs.DEAD else fields[procfs.STARTED]
