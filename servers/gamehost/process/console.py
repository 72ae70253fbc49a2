"""The log file of a server in the process runtime. Its supervisor writes it; any process reads it.

`log/console.log` and its rotations `.1` (newest) … `.5`; a line is `2026-11-21T09:10:11.123Z text`. A start never
truncates it. A cursor is `inode:offset`, which survives the renames of a rotation.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NAME: Final = "console.log"
LAST_LINES: Final = 50

KEPT_ROTATIONS: Final = 5
ROTATE_AT: Final = 8 * 1024**2
_LONGEST_LINE: Final = 4096
_BLOCK: Final = 65_536
_MOST_BLOCKS: Final = 16
_LISTINGS: Final = 10

# A stored line: its text, its time stamp, and the cursor behind it.
Stored = tuple[str, str, str]


class Writer:
    """Writes lines with a time stamp. Output beyond `most_per_second` bytes is dropped, and a line says how much."""

    def __init__(self, directory: Path, *, rotate_at: int = ROTATE_AT, most_per_second: int = 1024**2) -> None:
        self._path = directory / NAME
        self._rotate_at = rotate_at
        self._most_per_second = most_per_second
        self._partial = b""
        self._second = 0
        self._left = most_per_second
        self._dropped = 0
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._open()

    def feed(self, data: bytes) -> None:
        """Take a piece of output. Complete lines are stored; an endless line is stored in pieces."""
        *complete, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _LONGEST_LINE:
            complete.append(self._partial)
            self._partial = b""
        if complete:
            self._store(complete, within_budget=True)

    def event(self, text: str) -> None:
        """Write a line of the supervisor itself, which the limit does not apply to."""
        self._store([f"left4me: {text}".encode()], within_budget=False)

    def finish(self) -> None:
        """Store the last output of the game, even if it did not end the line."""
        if self._partial:
            self._store([self._partial], within_budget=True)
            self._partial = b""
        self._tell_dropped()

    def _store(self, lines: list[bytes], *, within_budget: bool) -> None:
        now = time.time()
        if within_budget:
            lines = self._affordable(lines, int(now))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z "
        head = stamp.encode()
        block = bytearray()
        for line in lines:
            cut = line.rstrip(b"\r")[:_LONGEST_LINE]
            block += head + cut + b"\n"
            self.last_lines.append(cut.decode("utf-8", "replace"))
        if block:
            self._write(bytes(block))

    def _affordable(self, lines: list[bytes], second: int) -> list[bytes]:
        if second != self._second:
            self._second = second
            self._left = self._most_per_second
            self._tell_dropped()
        for index, line in enumerate(lines):
            self._left -= len(line) + 1
            if self._left < 0:
                self._dropped += len(lines) - index
                return lines[:index]
        return lines

    def _tell_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self.event(f"{dropped} lines skipped: the game writes too fast")

    def _write(self, block: bytes) -> None:
        if self._size and self._size + len(block) > self._rotate_at:
            self._rotate()
        try:
            os.write(self._fd, block)
        except OSError:
            return  # a full disk costs log lines, and must not end the game
        self._size += len(block)

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        os.close(self._fd)
        for number in range(KEPT_ROTATIONS, 0, -1):
            older = self._path.with_name(f"{NAME}.{number - 1}") if number > 1 else self._path
            if older.exists():
                older.replace(self._path.with_name(f"{NAME}.{number}"))
        self._open()


def files(directory: Path) -> list[Path]:
    """The log and its rotations, oldest first."""
    names = [f"{NAME}.{number}" for number in range(KEPT_ROTATIONS, 0, -1)] + [NAME]
    return [directory / name for name in names if (directory / name).exists()]


def tail(directory: Path, lines: int) -> list[Stored]:
    """The last `lines`, oldest first, going back over rotations."""
    tail_lines: list[Stored] = []
    for path in reversed(files(directory)):
        if len(tail_lines) >= lines:
            break
        try:
            tail_lines = _last_of(path, lines - len(tail_lines)) + tail_lines
        except FileNotFoundError:
            continue  # rotated away between listing and reading
    return tail_lines


class Follower:
    """Reads the log on after a cursor, across rotations; see the port."""

    def __init__(self, directory: Path, cursor: str | None) -> None:
        self._newest = directory / NAME
        self._inode, self._offset = _parse(cursor) if cursor else _end(directory)

    def stored(self) -> list[Stored]:
        """The next lines. Blocks of a flood are read one after another, so that it does not run away."""
        lines: list[Stored] = []
        for _block in range(_MOST_BLOCKS):
            batch, self._inode, self._offset = _read_on(self._newest, self._inode, self._offset)
            if not batch:
                break
            lines += batch
        return lines

    def close(self) -> None:
        """Nothing is open between two calls."""


def _read_on(newest: Path, inode: int, offset: int) -> tuple[list[Stored], int, int]:
    """The next batch after the cursor, and the cursor behind it; nothing when the log was rotated meanwhile."""
    # Mostly there was no rotation, and nothing is new: a worker asks this of each server several times a second.
    with contextlib.suppress(FileNotFoundError):
        found = newest.stat()
        if found.st_ino == inode:
            batch, offset = _lines_after(newest, inode, offset) if found.st_size > offset else ([], offset)
            return batch, inode, offset
    try:
        present = _present(newest.parent)
    except FileNotFoundError:
        return [], inode, offset
    if not present:
        return [], 0, 0
    index = next((n for n, (_, number) in enumerate(present) if number == inode), None)
    if index is None:
        index, offset = 0, 0
    while index < len(present):
        path, inode = present[index]
        try:
            batch, offset = _lines_after(path, inode, offset)
        except FileNotFoundError:
            return [], inode, offset
        if batch or index == len(present) - 1:
            return batch, inode, offset
        index, offset = index + 1, 0
    return [], inode, offset


def _present(directory: Path) -> list[tuple[Path, int]]:
    """The files and their inodes, oldest first, as they were at one moment.

    A rotation that comes while they are listed hides one of them: lines would be read again, or not at all. Raises
    FileNotFoundError during a rotation.
    """
    before: list[tuple[Path, int]] | None = None
    for _again in range(_LISTINGS):
        found = [(path, path.stat().st_ino) for path in files(directory)]
        if found == before:
            return found
        before = found
    raise FileNotFoundError(directory)


def _lines_after(path: Path, inode: int, offset: int) -> tuple[list[Stored], int]:
    """The lines of this file from `offset` on. Raises FileNotFoundError when it has another name by now."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_ino != inode:
            raise FileNotFoundError(path)
        file.seek(offset)
        block = file.read(_BLOCK)
    end = block.rfind(b"\n") + 1
    return list(_stored(block[:end], inode, offset)), offset + end


def _last_of(path: Path, count: int) -> list[Stored]:
    with path.open("rb") as file:
        inode = os.fstat(file.fileno()).st_ino
        start = file.seek(0, os.SEEK_END)
        block = b""
        while start > 0 and block.count(b"\n") <= count:
            step = min(_BLOCK, start)
            start -= step
            file.seek(start)
            block = file.read(step) + block
    if start > 0:
        first = block.find(b"\n") + 1
        start, block = start + first, block[first:]
    return list(_stored(block[: block.rfind(b"\n") + 1], inode, start))[-count:]


def _stored(block: bytes, inode: int, offset: int) -> Iterator[Stored]:
    # Not splitlines: it also splits at a bare carriage return, which belongs to the line.
    for raw in block.split(b"\n")[:-1]:
        offset += len(raw) + 1
        stamp, _, text = raw.decode("utf-8", "replace").partition(" ")
        yield text, stamp, f"{inode}:{offset}"


def _parse(cursor: str) -> tuple[int, int]:
    inode, _, offset = cursor.partition(":")
    return (int(inode), int(offset)) if inode.isdigit() and offset.isdigit() else (0, 0)


def _end(directory: Path) -> tuple[int, int]:
    try:
        stat = (directory / NAME).stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_ino, stat.st_size
