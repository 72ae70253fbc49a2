"""A disk of its own for `bench/faults all`, with means to spoil it, and a lock on a database."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

DISK_MB = 3_000


class Disk:
    """An ext4 in a file, mounted."""

    def __init__(self, base: Path) -> None:
        self.place = base / "disk"
        self.place.mkdir()
        image = base / "image"
        with image.open("wb") as file:
            file.truncate(DISK_MB * 1024**2)
        subprocess.run(["mkfs.ext4", "-q", "-N", "30000", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.place], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.place], check=True)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        ballast = self.place / "ballast"
        try:
            with ballast.open("wb") as file:
                size, piece = 0, 64 * 1024**2
                while piece >= 4096:
                    try:
                        os.posix_fallocate(file.fileno(), size, piece)
                        size += piece
                    except OSError:
                        piece //= 2
            yield
        finally:
            ballast.unlink(missing_ok=True)

    @contextlib.contextmanager
    def without_inodes(self) -> Iterator[None]:
        crumbs = self.place / "crumbs"
        crumbs.mkdir(exist_ok=True)
        try:
            with contextlib.suppress(OSError):
                for number in range(100_000):
                    (crumbs / str(number)).touch()
            yield
        finally:
            shutil.rmtree(crumbs)

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be opened for writing any more; files that are open can still be written.

        The kernel refuses to make a disk read-only while files are open for writing, so a second mount covers it.
        """
        subprocess.run(["mount", "--bind", self.place, self.place], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", self.place], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", self.place], check=True)

    def freeze(self, seconds: float) -> None:
        """Every write waits for so long, as on a disk that does not answer, and so does who asks meanwhile."""
        subprocess.run(["fsfreeze", "--freeze", self.place], check=True)
        try:
            time.sleep(seconds)
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", self.place], check=True)


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, timeout=5, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            yield
            return
        yield
        other.execute("ROLLBACK")
