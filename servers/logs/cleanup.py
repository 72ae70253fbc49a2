"""Deletes the old logs and crash dumps that a game has left in its writable layer: nothing else would ever do so.

Only while no game runs. The kernel allows no change of a layer that is mounted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from left4me.core.files import walk
from servers.gamehost.directory import ServerDirectory
from servers.logs import crash_dumps, stored


def remove_old(directory: ServerDirectory, *, now: datetime, days: int) -> int:
    """Delete logs older than `days`, and so old dumps and those beyond the newest; return how many files.

    With 0 days nothing is deleted, nor while a game of this server runs or starts. Raises OSError.
    """
    if not days or not directory.upper.is_dir() or (lock := directory.try_lock()) is None:
        return 0
    try:
        outdated = list(_outdated(directory.upper, (now - timedelta(days=days)).timestamp()))
        for path in outdated:
            with walk.folder(directory.upper, path.parent.parts) as handle:
                walk.unlink(path.name, at=handle)
    finally:
        os.close(lock)
    return len(outdated)


def _outdated(upper: Path, before: float) -> Iterator[PurePosixPath]:
    for folder, pattern in stored.LOG_FOLDERS:
        for name, status in walk.list_files(upper, folder.parts).items():
            if fnmatchcase(name, pattern) and status.st_mtime < before:
                yield folder / name
    dumps = [
        (status.st_mtime, folder / name)
        for folder in crash_dumps.FOLDERS
        for name, status in walk.list_files(upper, folder.parts).items()
        if name.endswith(crash_dumps.ENDS)
    ]
    newest_first = sorted(dumps, key=lambda dump: dump[0], reverse=True)
    for number, (modified, path) in enumerate(newest_first):
        if number >= crash_dumps.MOST_DUMPS or modified < before:
            yield path
