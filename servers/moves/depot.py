"""The place on the web's machine through which the files of a server go: one file for each server."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from django.conf import settings

from left4me.core.files import room

_READ: Final = 1024 * 1024


class WrongPlace(Exception):
    """Bytes were sent for another place than the end of what has arrived; `received` says how much that is."""

    def __init__(self, received: int) -> None:
        self.received = received
        super().__init__(f"{received} bytes have arrived")


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "transfers"


def folder(server_id: int) -> Path:
    return root() / str(server_id)


def left() -> int:
    """How many bytes fit on the disk of this machine, less what has to stay free."""
    return room.left(root())


class Staged:
    """What has arrived of one server. Each move has a file of its own, so that nothing of an earlier one is sent."""

    def __init__(self, server_id: int, move: str) -> None:
        self._folder = folder(server_id)
        self._path = self._folder / f"{move}.parcel"

    @property
    def size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, piece: bytes, *, at: int) -> int:
        """Add bytes at the end; returns how many there are then. Raises WrongPlace and OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.open("ab", buffering=0) as file:
            # A worker that has lost its job may still be sending.
            fcntl.flock(file, fcntl.LOCK_EX)
            os.fchmod(file.fileno(), 0o600)
            if (size := os.fstat(file.fileno()).st_size) != at:
                raise WrongPlace(size)
            rest = memoryview(piece)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(at)
                raise
            return at + len(piece)

    def open(self) -> BinaryIO:
        """Raises OSError where nothing has arrived."""
        return self._path.open("rb")

    def read(self, at: int) -> Iterator[bytes]:
        with self.open() as file:
            file.seek(at)
            while piece := file.read(_READ):
                yield piece


def drop(server_id: int) -> None:
    """Remove all that has arrived of a server."""
    shutil.rmtree(folder(server_id), ignore_errors=True)


def ids() -> list[int]:
    """The servers of which something has arrived."""
    return sorted(int(path.name) for path in root().glob("*") if path.name.isdigit())
