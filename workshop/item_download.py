"""Downloads a published file into the shared cache. A file gets its final name only when it is complete and valid.

The cache contains `<steam_id>.vpk` with Steam's `time_updated` as its mtime, and partial files named
`.<steam_id>-<time_updated>-<size>.part`. A process locks the partial file that it fills, so that several processes
download a version only once. After a failure the partial file stays, and the next attempt resumes it.
"""

from __future__ import annotations

import contextlib
import errno
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from left4me.core import concurrency
from left4me.core.net import fetch
from left4me.core.net.download import PartialFile, WrongAnswer, fill
from workshop import vpk

# Pauses before the second attempt, the third …
_WAITS = (1.0, 2.0)
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class PublishedFile:
    """One version of a published file; a size of 0 means unknown."""

    steam_id: int
    url: str
    size: int
    version: int


class DownloadFailed(Exception):
    """The file was not downloaded; the message gives the operator the reason."""

    again = True


class NotPossible(DownloadFailed):
    """Another attempt would fail in the same way: a refused host, a full disk."""

    again = False


class InvalidFile(DownloadFailed):
    """The file was downloaded completely and is not a valid VPK; this version of it stays invalid."""


def cached_path(steam_id: int, cache: Path) -> Path:
    # Steam's "filename" is untrusted text of the author; it is never part of a path.
    return cache / f"{int(steam_id)}.vpk"


def is_cached(file: PublishedFile, cache: Path) -> bool:
    """Whether the cache contains this version of the file."""
    try:
        status = cached_path(file.steam_id, cache).lstat()
    except FileNotFoundError:
        return False
    same_size = status.st_size == file.size if file.size else status.st_size > 0
    return stat.S_ISREG(status.st_mode) and int(status.st_mtime) == file.version and same_size


def download(
    file: PublishedFile,
    cache: Path,
    *,
    client: fetch.Client,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> bool:
    """Call `download_once`, up to three times. Raises DownloadFailed and Cancelled."""
    for attempt, wait in enumerate((*_WAITS, None), start=1):
        try:
            return download_once(file, cache, client=client, cancelled=cancelled, progress=progress)
        except DownloadFailed as failure:
            log(f"workshop {file.steam_id} attempt {attempt}/{len(_WAITS) + 1} failed: {failure}")
            if wait is None or not failure.again:
                raise
        concurrency.pause(wait, cancelled)
    raise AssertionError("the last attempt either returns or raises")


def download_once(
    file: PublishedFile,
    cache: Path,
    *,
    client: fetch.Client,
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> bool:
    """Try once to download a file. Returns False if it was in the cache already, or another process downloaded it.

    `progress` is called with the number of bytes received so far. Raises DownloadFailed and Cancelled.
    """
    try:
        with _claim(file, cache, cancelled) as part:
            if part is None:
                return False
            resumed = fill(
                part,
                file.url,
                size=file.size,
                client=client,
                progress=progress,
                check_start=partial(_check_start, file),
            )
            _verify(part, file, resumed=resumed)
            part.publish(cached_path(file.steam_id, cache), mode=0o644, mtime=file.version, durable=True)
            return True
    except fetch.HostRefused as refusal:
        raise NotPossible(str(refusal)) from refusal
    except fetch.FetchError as error:
        raise DownloadFailed(str(error)) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = NotPossible if full else DownloadFailed
        raise kind("the disk is full" if full else f"cannot write to the cache: {error.strerror}") from error


def partial_bytes(file: PublishedFile, cache: Path) -> int:
    """The size of the partial file of this version."""
    try:
        return _partial_path(file, cache).stat().st_size
    except FileNotFoundError:
        return 0


def _partial_path(file: PublishedFile, cache: Path) -> Path:
    return cache / f".{int(file.steam_id)}-{int(file.version)}-{int(file.size)}.part"


@contextlib.contextmanager
def _claim(file: PublishedFile, cache: Path, cancelled: Callable[[], bool]) -> Iterator[PartialFile | None]:
    """The locked partial file, or None once the version is in the cache."""
    path = _partial_path(file, cache)
    while not is_cached(file, cache):
        with PartialFile.claim(path) as part:
            if part is not None:
                if not is_cached(file, cache):
                    _remove_other_versions(file, cache, path)
                    yield part
                    return
                part.remove()
        concurrency.pause(_POLL_SECONDS, cancelled)
    yield None


def _remove_other_versions(file: PublishedFile, cache: Path, own: Path) -> None:
    for path in cache.glob(f".{int(file.steam_id)}-*.part"):
        if path != own:
            with PartialFile.claim(path) as other:
                if other is not None:
                    other.remove()


def _check_start(file: PublishedFile, answer: fetch.Answer, chunk: bytes) -> None:
    """Refuse an answer whose first bytes or length show that it is not the file."""
    if len(chunk) >= 4 and (kind := vpk.what_is_it(chunk)):
        raise WrongAnswer(f"Steam returned {kind}, not a VPK")
    offered = answer.headers.get("Content-Length", "")
    if file.size and offered.isdecimal() and int(offered) != file.size:
        raise WrongAnswer(f"the download has {offered} bytes, Steam announced {file.size}")


def _verify(part: PartialFile, file: PublishedFile, *, resumed: bool) -> None:
    size = part.size
    if size < file.size:
        raise DownloadFailed(f"the connection ended after {size} of {file.size} bytes")
    try:
        vpk.check(part.path)
    except vpk.NotValid as reason:
        part.start_over()
        raise InvalidFile(f"the file {reason}") from reason
    # A power failure may have lost the bytes of an earlier attempt but kept the length of the file.
    if resumed and not vpk.is_intact(part.path):
        part.start_over()
        raise DownloadFailed("the resumed file is damaged; the download restarts")
