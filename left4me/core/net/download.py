"""Resumable downloads: partial files that survive a failure, and the HTTP request that continues one.

A partial file lies beside its target and is named `….part`. Whatever interrupts a transfer (the server, the network,
a cancel, a killed process), what has arrived stays and the next attempt asks for the rest only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from left4me.core.files import atomic
from left4me.core.net import fetch

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = 1024 * 1024
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

# Called with the answer and its first bytes; raises to refuse a body that is not what was asked for.
CheckStart = Callable[[fetch.Answer, bytes], None]


class WrongAnswer(fetch.FetchError):
    """The server answered, but not with the file that was asked for."""


class PartialFile:
    """An open partial file. Made by `open` or `claim`."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[PartialFile]:
        """The partial file at `path`, made if there is none. The caller sees to it that no other process writes it."""
        fd = os.open(path, _FLAGS, 0o644)
        try:
            yield cls(path, fd)
        finally:
            os.close(fd)

    @classmethod
    @contextlib.contextmanager
    def claim(cls, path: Path) -> Iterator[PartialFile | None]:
        """`open` with a lock against other processes; None while another process holds it."""
        with cls.open(path) as part:
            yield part if part._lock() else None

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The name may have been published or removed between open and lock; then this lock guards nothing.
            return self.path.stat().st_ino == os.fstat(self._fd).st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def start_over(self) -> None:
        os.ftruncate(self._fd, 0)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def append(self, pieces: Iterable[bytes], *, offset: int) -> None:
        """Write `pieces` from `offset` on; what was behind it is dropped."""
        os.ftruncate(self._fd, offset)
        os.lseek(self._fd, offset, os.SEEK_SET)
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(self._fd, left) :]

    def sha256(self, length: int) -> hashlib._Hash:
        """The hash of the first `length` bytes, to be updated with those that follow."""
        digest = hashlib.sha256()
        os.lseek(self._fd, 0, os.SEEK_SET)
        while length and (chunk := os.read(self._fd, min(_READ, length))):
            digest.update(chunk)
            length -= len(chunk)
        return digest

    def publish(self, path: Path, *, mode: int, durable: bool, mtime: int | None = None) -> None:
        """Give the finished file its name. With `durable` it is on the disk before this returns."""
        # Set here, because games read it as another user, whatever the umask of the downloading process.
        os.fchmod(self._fd, mode)
        if mtime is not None:
            os.utime(self._fd, (mtime, mtime))
        if durable:
            os.fsync(self._fd)
        atomic.publish(self.path, path, durable=durable)


def fill(
    part: PartialFile,
    url: str,
    *,
    size: int,
    client: fetch.Client,
    progress: Callable[[int], None],
    check_start: CheckStart,
) -> bool:
    """Fetch what `part` lacks of the file at `url`; return whether bytes of an earlier attempt were continued.

    A size of 0 means that it is not known: then the file is fetched as a whole. `progress` is called with the number
    of bytes that are there. The caller checks that the result is complete. Raises FetchError, Cancelled and OSError.
    """
    done = part.size
    if size and done == size:
        return True
    if not size or done > size:
        part.start_over()
        done = 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    with client.get(url, headers=headers) as answer:
        start = _start_of(answer, part, asked=done, size=size)
        part.append(_checked(answer, part, start, size=size, progress=progress, check_start=check_start), offset=start)
    return start > 0


def _start_of(answer: fetch.Answer, part: PartialFile, *, asked: int, size: int) -> int:
    """The offset of the answer's first byte. Raises WrongAnswer."""
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise WrongAnswer(f"{answer.host} sent the file in an unexpected encoding")
    if answer.status == 206 and asked:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match and int(match[1]) == asked and int(match[3]) == size:
            return asked
    if answer.status in (206, 416):
        part.start_over()
        raise WrongAnswer(f"{answer.host} can't resume the download; starting over")
    if answer.status != 200:
        raise WrongAnswer(f"{answer.host} answered with HTTP status {answer.status}")
    return 0


def _checked(
    answer: fetch.Answer,
    part: PartialFile,
    done: int,
    *,
    size: int,
    progress: Callable[[int], None],
    check_start: CheckStart,
) -> Iterator[bytes]:
    """The pieces of the body; each is on the disk when `progress` is called with it."""
    for chunk in answer.chunks():
        if not done:
            check_start(answer, chunk)
        done += len(chunk)
        if size and done > size:
            part.start_over()
            raise WrongAnswer(f"{answer.host} sent more than the announced {size} bytes")
        yield chunk
        progress(done)
