"""Limits for all processes of a server together, where this machine allows a cgroup for it.

LEFT4ME_CGROUP names a directory of cgroup v2 that was delegated to the application. Without one only the limits per
process apply; under systemd the unit has its own.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from servers.gamehost.spec import Limits

VARIABLE: Final = "LEFT4ME_CGROUP"
_CONTROLLERS: Final = "+memory +pids +cpu"


def parent() -> Path | None:
    """The delegated cgroup below which servers get theirs."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def place(pid: int, *, server_id: int, limits: Limits) -> bool:
    """Put `pid`, before it starts anything, under the limits; False where that is not possible."""
    above = parent()
    if above is None:
        return False
    own = above / f"left4me-{server_id}"
    try:
        with contextlib.suppress(OSError):
            (above / "cgroup.subtree_control").write_text(_CONTROLLERS)
        own.mkdir(exist_ok=True)
        (own / "memory.max").write_text(str(limits.memory))
        (own / "pids.max").write_text(str(limits.tasks))
        (own / "cpu.weight").write_text(str(limits.cpu_weight))
        (own / "cgroup.procs").write_text(str(pid))
    except OSError:
        return False
    return True


def remove(server_id: int) -> None:
    """Remove the empty cgroup of an ended server."""
    above = parent()
    if above is not None:
        with contextlib.suppress(OSError):
            (above / f"left4me-{server_id}").rmdir()
