"""The identity of a worker process, from which other processes of the same machine can prove that it is dead.

A worker counts as dead once its guard has ended too: only then have the programs that it ran been killed.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from left4me.core.processes import procfs


def of_this_process(host: str, *, guard: int | None = None) -> str:
    """Return a new identity, unique even within one process. `guard` is the pid of this process's guard."""
    processes = [f"{pid}.{_started_at(pid)}" for pid in (os.getpid(), guard) if pid is not None]
    return "/".join([host, _machine(), "+".join(processes), secrets.token_hex(4)])


def is_provably_dead(identity: str) -> bool:
    """True if that process and its guard ran under this boot of the kernel and PID namespace, and no longer do."""
    parts = identity.split("/")
    if len(parts) != 4 or parts[1] != _machine():
        return False
    return not any(_is_alive(process) for process in parts[2].split("+"))


def _is_alive(process: str) -> bool:
    pid, _, started_at = process.partition(".")
    return _started_at(int(pid)) == started_at


def _machine() -> str:
    """The boot of the kernel and the PID namespace: pid 7 of a container is not pid 7 of its host."""
    boot = procfs.boot_id().replace("-", "")[:12]
    table = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{boot}.{table}"


def _started_at(pid: int) -> str | None:
    """Start time in clock ticks since boot, which with the pid identifies a process; None if it is dead or absent."""
    try:
        fields = procfs.stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        # Other errors do not prove that it is gone; this process may have too many files open.
        return None
    return None if fields[procfs.STATE] in procfs.DEAD else fields[procfs.STARTED]
