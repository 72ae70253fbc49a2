"""One published file into the shared cache: whole and checked under its final name, or not there at all.

The cache holds `<steam_id>.vpk`, whose time of change is Steam's `time_updated`, and beside them the
partial files `.<steam_id>-<time_updated>-<size>.part`. A partial file is locked by whoever fills it, so
that processes which want the same version fetch it once, and it stays after a failure, so that the next
attempt continues it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from left4me.core.net import fetch
from workshop import vpk

ATTEMPTS = 3
_WAITS = (1.0, 2.0)
_POLL_SECONDS = 0.2
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True)
class Wanted:
    """A published file in one version; a size of 0 means that Steam did not say."""

    steam_id: int
    url: str
    size: int
    version: int


class DownloadFailed(Exception):
    """The file is not in the cache; the message is fit for an operator."""

    again = True


class NotPossible(DownloadFailed):
    """The same attempt would fail in the same way: a refused host, a full disk."""

    again = False


class Refused(DownloadFailed):
    """The whole file came and is not what it should be; this version of it will not become so."""


def cached_path(steam_id: int, cache: Path) -> Path:
    # Steam's own "filename" is whatever the author typed; it is never part of a path.
    return cache / f"{int(steam_id)}.vpk"


def is_cached(wanted: Wanted, cache: Path) -> bool:
    """Whether the cache holds this very version."""
    try:
        found = cached_path(wanted.steam_id, cache).lstat()
    except FileNotFoundError:
        return False
    same_size = found.st_size == wanted.size if wanted.size else found.st_size > 0
    return stat.S_ISREG(found.st_mode) and int(found.st_mtime) == wanted.version and same_size


def pause(seconds: float, cancelled: Callable[[], bool]) -> None:
    """Wait. Raises fetch.Cancelled within a moment of `cancelled` turning true."""
    deadline = time.monotonic() + seconds
    while not cancelled() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _POLL_SECONDS))
    if cancelled():
        raise fetch.Cancelled("cancelled")


def download(
    wanted: Wanted,
    cache: Path,
    *,
    client: fetch.Client,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> bool:
    """`download_to_cache` with a second and a third attempt. Raises DownloadFailed and fetch.Cancelled."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return download_to_cache(wanted, cache, client=client, cancelled=cancelled, progress=progress)
        except DownloadFailed as failure:
            log(f"workshop {wanted.steam_id} attempt {attempt}/{ATTEMPTS} failed: {failure}")
            if attempt == ATTEMPTS or not failure.again:
                raise
        pause(_WAITS[attempt - 1], cancelled)
    raise AssertionError("the last attempt either returns or raises")


def download_to_cache(
    wanted: Wanted,
    cache: Path,
    *,
    client: fetch.Client,
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> bool:
    """One attempt. True when this call fetched the file, False when it was there, perhaps by another's doing.

    `progress` is told the bytes that are there so far. Raises DownloadFailed and fetch.Cancelled.
    """
    try:
        with _claim(wanted, cache, cancelled) as part:
            if part is None:
                return False
            resumed = _fill(part, wanted, client, progress)
            _verify(part, wanted, resumed=resumed)
            _publish(part, wanted, cache)
            return True
    except fetch.Cancelled:
        raise
    except fetch.HostRefused as refusal:
        raise NotPossible(str(refusal)) from refusal
    except fetch.FetchError as error:
        raise DownloadFailed(str(error)) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = NotPossible if full else DownloadFailed
        raise kind("the disk is full" if full else f"cannot write into the cache: {error.strerror}") from error


def partial_bytes(wanted: Wanted, cache: Path) -> int:
    """How much of this version is already there."""
    try:
        return _partial_path(wanted, cache).stat().st_size
    except FileNotFoundError:
        return 0


def _partial_path(wanted: Wanted, cache: Path) -> Path:
    return cache / f".{int(wanted.steam_id)}-{int(wanted.version)}-{int(wanted.size)}.part"


@dataclass(frozen=True)
class _Part:
    path: Path
    fd: int

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def start_over(self) -> None:
        os.ftruncate(self.fd, 0)


@contextlib.contextmanager
def _claim(wanted: Wanted, cache: Path, cancelled: Callable[[], bool]) -> Iterator[_Part | None]:
    """The locked partial file, or None once the version is in the cache."""
    path = _partial_path(wanted, cache)
    while not is_cached(wanted, cache):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            if _lock(fd) and _is_still(path, fd):
                if not is_cached(wanted, cache):
                    _remove_other_versions(wanted, cache, path)
                    yield _Part(path, fd)
                    return
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)
        pause(_POLL_SECONDS, cancelled)
    yield None


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, fd: int) -> bool:
    # The name may have been published or removed between open and lock; then this lock guards nothing.
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _remove_other_versions(wanted: Wanted, cache: Path, own: Path) -> None:
    for path in cache.glob(f".{int(wanted.steam_id)}-*.part"):
        if path == own:
            continue
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if _lock(fd):
                    path.unlink()
            finally:
                os.close(fd)


def _fill(part: _Part, wanted: Wanted, client: fetch.Client, progress: Callable[[int], None]) -> bool:
    """Fetch what is missing; True when an earlier attempt's bytes were continued."""
    done = part.size
    if wanted.size and done == wanted.size:
        return True
    if not wanted.size or done > wanted.size:
        part.start_over()
        done = 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    with client.get(wanted.url, headers=headers) as answer:
        done = _continue_at(part, wanted, answer, done)
        resumed = done > 0
        os.lseek(part.fd, done, os.SEEK_SET)
        for chunk in answer.chunks():
            if not done:
                _check_start(chunk, answer, wanted)
            done += len(chunk)
            if wanted.size and done > wanted.size:
                part.start_over()
                raise DownloadFailed(f"sent more than the {wanted.size} bytes that Steam announced")
            _write(part.fd, chunk)
            progress(done)
    return resumed


def _continue_at(part: _Part, wanted: Wanted, answer: fetch.Answer, done: int) -> int:
    """The offset at which the body of `answer` goes on.

    Raises DownloadFailed when it is none of this file.
    """
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadFailed(f"{answer.host} sent the file in an encoding that was not asked for")
    if answer.status == 206 and done:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match and int(match[1]) == done and int(match[3]) == wanted.size:
            return done
    if answer.status in (206, 416):
        part.start_over()
        raise DownloadFailed(f"{answer.host} does not continue where the last attempt ended; it starts over")
    if answer.status != 200:
        raise DownloadFailed(f"{answer.host} answered with HTTP status {answer.status}")
    part.start_over()
    return 0


def _check_start(chunk: bytes, answer: fetch.Answer, wanted: Wanted) -> None:
    """Stop at the first bytes when they show that the rest is not worth its while."""
    if len(chunk) >= 4 and (words := vpk.what_is_it(chunk)):
        raise DownloadFailed(f"got {words} instead of a VPK")
    offered = answer.headers.get("Content-Length", "")
    if wanted.size and offered.isdecimal() and int(offered) != wanted.size:
        raise DownloadFailed(f"the server offers {offered} bytes, Steam announced {wanted.size}")


def _write(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]


def _verify(part: _Part, wanted: Wanted, *, resumed: bool) -> None:
    size = part.size
    if size < wanted.size:
        raise DownloadFailed(f"the connection ended after {size} of {wanted.size} bytes")
    try:
        vpk.check(part.path)
    except vpk.NotValid as reason:
        part.start_over()
        raise Refused(f"the file {reason}") from reason
    # Bytes of an earlier attempt may have been lost by a power cut that kept their length.
    if resumed and not vpk.is_intact(part.path):
        part.start_over()
        raise DownloadFailed("the continued file is damaged; it starts over")


def _publish(part: _Part, wanted: Wanted, cache: Path) -> None:
    # Games run as another user, whatever the umask of the one who downloads.
    os.fchmod(part.fd, 0o644)
    os.utime(part.fd, (wanted.version, wanted.version))
    os.fsync(part.fd)
    part.path.replace(cached_path(wanted.steam_id, cache))
    folder = os.open(cache, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
