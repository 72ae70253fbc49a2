"""Removal of files that a game has written, also while it runs.

The kernel allows no change of a layer that is mounted, and a file that is removed from it anyway keeps its room on the
disk. While a game runs, its files are therefore named in a list, which process 1 of the sandbox reads: it sees the
tree as the game does and removes them as the game's own user. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core.files import atomic, walk
from servers.gamehost.directory import ServerDirectory

# Each file by its path below the game, with the time of its last change in nanoseconds: one that the game has written
# again since is left alone.
Named = Mapping[str, int]

LIST: Final = "list.json"
MOST: Final = 2_000
_LONGEST_LIST: Final = 1024**2


def remove(directory: ServerDirectory, files: Named) -> None:
    """Remove these files of a server at once if no game of it runs; otherwise within seconds. Raises OSError."""
    wanted = {**_still_there(directory.upper, _read(directory.removals / LIST)), **files}
    if (lock := directory.try_lock()) is None:
        # By its worker: a game of an older release reads no list, and its files go when it ends.
        _write(directory, dict(list(wanted.items())[-MOST:]))
        return
    try:
        _carry_out(directory.upper, wanted)
        _write(directory, {})
    finally:
        os.close(lock)


def settle(directory: ServerDirectory) -> None:
    """Remove what is still on the list. The caller holds the lock of the directory. Raises OSError."""
    if wanted := _read(directory.removals / LIST):
        _carry_out(directory.upper, wanted)
        _write(directory, {})


class Errand:
    """The work of process 1: looks into the list, and removes what it names from the tree that the game sees."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self._list = folder / LIST
        self._tree = tree
        self._seen = 0

    def run(self) -> None:
        """Costs one system call while the list stays as it is. Raises nothing."""
        with contextlib.suppress(OSError):
            changed = self._list.stat().st_mtime_ns
            if changed != self._seen:
                self._seen = changed
                _carry_out(self._tree, _read(self._list))


def _carry_out(tree: Path, files: Named) -> None:
    for name, changed in files.items():
        *above, last = PurePosixPath(name).parts
        # What is gone, or cannot be removed, must not keep the others.
        with contextlib.suppress(OSError), walk.folder(tree, above) as handle:
            found = walk.status(last, at=handle)
            if found is not None and found.st_mtime_ns == changed:
                walk.unlink(last, at=handle)


def _still_there(tree: Path, files: Named) -> dict[str, int]:
    return {name: changed for name, changed in files.items() if changed_at(tree, name) == changed}


def changed_at(tree: Path, name: str) -> int | None:
    """When a file below `tree` was changed last, in nanoseconds; None when there is none."""
    *above, last = PurePosixPath(name).parts
    try:
        with walk.folder(tree, above) as handle:
            found = walk.status(last, at=handle)
    except OSError:
        return None
    return found.st_mtime_ns if found else None


def left(directory: ServerDirectory, names: Iterable[str]) -> list[str]:
    """Those of these files that are still there."""
    return [name for name in names if changed_at(directory.upper, name) is not None]


def _read(path: Path) -> dict[str, int]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LONGEST_LIST))
        return {str(name): int(changed) for name, changed in found.items() if PurePosixPath(name).name}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(directory: ServerDirectory, files: Named) -> None:
    path = directory.removals / LIST
    if not files and not path.exists():
        return
    directory.removals.mkdir(exist_ok=True, mode=0o700)
    # The game's own user reads it, and it holds no secret.
    atomic.write(path, json.dumps(dict(files)), mode=0o644, durable=False)
