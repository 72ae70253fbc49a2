"""A layer of one server in which files of its other layers are at other paths, such as plugins that it has disabled.

It lies above the overlays, which are shared, and below what the game writes: the new path holds a copy, and a mark of
deletion hides the old one. It is made anew before each start, from the layers as they are then. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core.files import walk
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.sandbox.identity import Identity

LARGEST: Final = 64 * 1024**2
_PIECE: Final = 1024**2


def lay(directory: ServerDirectory, moved: Mapping[str, str], layers: Sequence[str], *, who: Identity) -> Path | None:
    """Make the layer; returns its directory, or None if nothing moves. Raises OSError.

    `moved` maps paths to new ones. A path that no layer has is left out. What the server has of its own at a path is
    moved in its writable layer. Called while no game of the server runs, before the layers are mounted.
    """
    place = directory.moved
    if place.exists():
        shutil.rmtree(place)
    if not moved:
        return None
    place.mkdir(mode=0o755)
    for old, new in moved.items():
        _move_own(directory.upper, _parts(old), _parts(new), who)
        _move_below(place, _parts(old), _parts(new), layers)
    return place


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts


def _move_own(upper: Path, old: tuple[str, ...], new: tuple[str, ...], who: Identity) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), walk.folder(upper, old[:-1]) as source:
        status = walk.status(old[-1], at=source)
        if status is None or not stat.S_ISREG(status.st_mode):
            return
        with walk.folder(upper, new[:-1], make=0o755) as target:
            walk.move(old[-1], at=source, to=target, new_name=new[-1])
        if who.by_root:
            _give(upper, new[:-1], who)


def _give(upper: Path, parts: tuple[str, ...], who: Identity) -> None:
    """Give the folders on the way that were made just now to the game's user."""
    for number, part in enumerate(parts):
        with walk.folder(upper, parts[:number]) as above:
            status = walk.status(part, at=above)
            if status is not None and status.st_uid == os.geteuid():
                walk.give(part, (who.uid, who.gid), at=above)


def _move_below(place: Path, old: tuple[str, ...], new: tuple[str, ...], layers: Sequence[str]) -> None:
    """Copy the file of the topmost layer that has it, and hide it at its old path."""
    for layer in layers:
        try:
            with walk.open_below(Path(layer), old) as source:
                if os.fstat(source.fileno()).st_size > LARGEST:
                    return
                with walk.folder(place, new[:-1], make=0o755) as folder:
                    walk.delete(new[-1], at=folder)
                    with walk.create_file(new[-1], 0o644, at=folder) as target:
                        shutil.copyfileobj(source, target, _PIECE)
                        # What is written after it would change the time again.
                        target.flush()
                        os.utime(target.fileno(), ns=_times(source.fileno()))
        except OSError as fault:
            if isinstance(fault, FileNotFoundError | NotADirectoryError | walk.NotRegular):
                continue
            raise
        with walk.folder(place, old[:-1], make=0o755) as folder:
            if walk.status(old[-1], at=folder) is None:
                walk.mark_deleted(old[-1], at=folder)
        return


def _times(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_atime_ns, status.st_mtime_ns
