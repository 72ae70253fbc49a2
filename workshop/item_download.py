"""One published file into the shared cache: whole and checked under its final name, or not there at all.

The cache holds `<steam_id>.vpk`, whose time of change is Steam's `time_updated`, and beside them the
partial files `.<steam_id>-<time_updated>-<size>.part`. A partial file is locked by whoever fills it, so
that processes which want the same version fetch it once, and it stays after a failure, so that the next
attempt continues it.
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


def download(
    wanted: Wanted,
    cache: Path,
    *,
    client: fetch.Client,
    log: Callable[[str], None],
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> bool:
    """`download_once`, and again after each of the waits. Raises DownloadFailed and Cancelled."""
    for attempt, wait in enumerate((*_WAITS, None), start=1):
        try:
            return download_once(wanted, cache, client=client, cancelled=cancelled, progress=progress)
        except DownloadFailed as failure:
            log(f"workshop {wanted.steam_id} attempt {attempt}/{len(_WAITS) + 1} failed: {failure}")
            if wait is None or not failure.again:
                raise
        concurrency.pause(wait, cancelled)
    raise AssertionError("the last attempt either returns or raises")


def download_once(
    wanted: Wanted,
    cache: Path,
    *,
    client: fetch.Client,
    cancelled: Callable[[], bool],
    progress: Callable[[int], None],
) -> bool:
    """One attempt. True when this call fetched the file, False when it was cached, perhaps by another process.

    `progress` is called with the number of bytes that are there. Raises DownloadFailed and Cancelled.
    """
    try:
        with _claim(wanted, cache, cancelled) as part:
            if part is None:
                return False
            resumed = fill(
                part,
                wanted.url,
                size=wanted.size,
                client=client,
                progress=progress,
                check_start=partial(_check_start, wanted),
            )
            _verify(part, wanted, resumed=resumed)
            part.publish(cached_path(wanted.steam_id, cache), mode=0o644, mtime=wanted.version, durable=True)
            return True
    except fetch.HostRefused as refusal:
        raise NotPossible(str(refusal)) from refusal
    except fetch.FetchError as error:
        raise DownloadFailed(str(error)) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = NotPossible if full else DownloadFailed
        raise kind("the disk is full" if full else f"cannot write into the cache: {error.strerror}") from error


def partial_bytes(wanted: Wanted, cache: Path) -> int:
    """How many bytes of this version have arrived."""
    try:
        return _partial_path(wanted, cache).stat().st_size
    except FileNotFoundError:
        return 0


def _partial_path(wanted: Wanted, cache: Path) -> Path:
    return cache / f".{int(wanted.steam_id)}-{int(wanted.version)}-{int(wanted.size)}.part"


@contextlib.contextmanager
def _claim(wanted: Wanted, cache: Path, cancelled: Callable[[], bool]) -> Iterator[PartialFile | None]:
    """The locked partial file, or None once the version is in the cache."""
    path = _partial_path(wanted, cache)
    while not is_cached(wanted, cache):
        with PartialFile.claim(path) as part:
            if part is not None:
                if not is_cached(wanted, cache):
                    _remove_other_versions(wanted, cache, path)
                    yield part
                    return
                part.remove()
        concurrency.pause(_POLL_SECONDS, cancelled)
    yield None


def _remove_other_versions(wanted: Wanted, cache: Path, own: Path) -> None:
    for path in cache.glob(f".{int(wanted.steam_id)}-*.part"):
        if path != own:
            with PartialFile.claim(path) as other:
                if other is not None:
                    other.remove()


def _check_start(wanted: Wanted, answer: fetch.Answer, chunk: bytes) -> None:
    """Refuse an answer whose first bytes or length show that it is not the file."""
    if len(chunk) >= 4 and (kind := vpk.what_is_it(chunk)):
        raise WrongAnswer(f"got {kind} instead of a VPK")
    offered = answer.headers.get("Content-Length", "")
    if wanted.size and offered.isdecimal() and int(offered) != wanted.size:
        raise WrongAnswer(f"the server offers {offered} bytes, Steam announced {wanted.size}")


def _verify(part: PartialFile, wanted: Wanted, *, resumed: bool) -> None:
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
