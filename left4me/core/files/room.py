"""Free space on the disk, less what has to stay free: logs and databases grow, and a full disk stops both."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

KEEP_FREE: Final = 512 * 1024**2


def free(path: Path) -> int:
    """The free bytes of the file system that holds `path`, or would hold it: it need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def used(path: Path) -> int:
    """The bytes of the file system that holds `path` which are not free, blocks reserved for root among them."""
    usage = shutil.disk_usage(path)
    return usage.total - usage.free


def shortage(path: Path, *, size: int, files: int) -> str:
    """“space” with fewer than `size` bytes free, “inodes” with room for fewer than `files` files, else empty."""
    place = os.statvfs(path)
    if place.f_bavail * place.f_frsize < size:
        return "space"
    # Some file systems make inodes as they are needed, and count none.
    return "inodes" if place.f_files and place.f_favail < files else ""


def left(path: Path, *, keep: int = KEEP_FREE) -> int:
    """How many bytes may be written at `path` when `keep` bytes are to stay free; never less than 0."""
    return max(0, free(path) - keep)


class TooFull(Exception):
    """There is not enough room: `left` bytes of the `needed` ones."""

    def __init__(self, needed: int, left: int) -> None:
        self.needed, self.left = needed, left
        super().__init__(f"{needed / 1_000_000:,.1f} MB are needed, {left / 1_000_000:,.1f} MB are free")


class Reservations:
    """Room for several files that are written side by side, so that no two count on the same free space."""

    def __init__(self, path: Path, *, keep: int = KEEP_FREE) -> None:
        self._path = path
        self._keep = keep
        self._missing: dict[object, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def reserved(self, key: object, missing: int) -> Iterator[None]:
        """Hold room for the `missing` bytes of one file, named by `key`. Raises TooFull."""
        with self._lock:
            available = max(0, left(self._path, keep=self._keep) - sum(self._missing.values()))
            if missing > available:
                raise TooFull(missing, available)
            self._missing[key] = missing
        try:
            yield
        finally:
            with self._lock:
                del self._missing[key]

    def filled(self, key: object, missing: int) -> None:
        """Note that only `missing` bytes of the file are not on the disk yet."""
        with self._lock:
            self._missing[key] = max(0, missing)
