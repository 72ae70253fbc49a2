"""Room that is kept for the day on which the disk is full: ending a game and noting it down must still be possible."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from left4me.core.files import room

SIZE: Final = 64 * 1024**2
# Kept for a disk without free inodes: state files and journals are new files.
_FILES: Final = 64
# Taken only from plenty.
_PLENTY: Final = 16 * SIZE


def keep(root: Path) -> None:
    """Set the reserve below `root` aside, if it is not there and there is plenty of room. Raises OSError."""
    place = root / "reserve"
    block = place / "room"
    if block.exists() or room.free(root) < _PLENTY:
        return
    place.mkdir(mode=0o700, exist_ok=True)
    for number in range(_FILES):
        (place / str(number)).touch()
    fresh = place / "fresh"
    with fresh.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, SIZE)
    fresh.rename(block)


def give_up(root: Path) -> bool:
    """Free the reserve; return whether there was one."""
    there = (root / "reserve").exists()
    shutil.rmtree(root / "reserve", ignore_errors=True)
    return there
