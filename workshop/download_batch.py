"""Downloads many published files into the cache concurrently; a failure of one does not affect the others."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from left4me.core import concurrency
from left4me.core.files.room import Reservations, TooFull
from left4me.core.net import fetch
from workshop import item_download
from workshop.item_download import DownloadFailed, PublishedFile

SIDE_BY_SIDE = 4
PER_HOST = 4
# Space that downloads leave free: a full disk would stop games, which write logs, and the database.
KEEP_FREE = 256 * 1024 * 1024
_POLL_SECONDS = 0.2
# A start may wait for the file, and the next attempt goes on where this one ended.
_SECONDS_WITHOUT_DATA = 15.0

Calls = queue.Queue[Callable[[], None]]


@dataclass(frozen=True)
class DownloadResult:
    """`error` is empty if the file is in the cache; `fetched` tells whether this call downloaded it.

    `is_invalid` means that the file was downloaded completely and is not a valid VPK.
    """

    file: PublishedFile
    fetched: bool
    error: str = ""
    is_invalid: bool = False


def download_all(
    files: Sequence[PublishedFile],
    cache: Path,
    *,
    hosts: fetch.AllowedHosts,
    log: Callable[[str], None],
    progress: Callable[[PublishedFile, int], None],
    cancelled: Callable[[], bool],
    started: Callable[[PublishedFile], None] = lambda file: None,
    side_by_side: int = SIDE_BY_SIDE,
    keep_free: int = KEEP_FREE,
) -> Iterator[DownloadResult]:
    """Download all files and yield each result as it is known. Raises Cancelled.

    `log` gets a line for each failed attempt, `started` each file as its download begins. All functions are only
    called in the caller's thread, so they may use the database.
    """
    stop = threading.Event()
    calls: Calls = queue.Queue()
    with fetch.Client(
        hosts=hosts, cancelled=stop.is_set, per_host=PER_HOST, read_timeout=_SECONDS_WITHOUT_DATA
    ) as client:
        downloader = _Downloader(
            cache, client, Reservations(cache, keep=keep_free), stop, calls, log, progress, started
        )
        pool = ThreadPoolExecutor(side_by_side, thread_name_prefix="download")
        try:
            waiting = {pool.submit(downloader.fetch, file) for file in files}
            for future in waiting:
                future.add_done_callback(lambda _: calls.put(_wake))
            while waiting:
                concurrency.check(cancelled)
                _run_calls(calls)
                settled = {future for future in waiting if future.done()}
                waiting -= settled
                yield from _results(settled, calls)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Downloader:
    """The state shared by the threads. They put calls of the caller's functions into `calls`, for its own thread."""

    cache: Path
    client: fetch.Client
    room: Reservations
    stop: threading.Event
    calls: Calls
    log: Callable[[str], None]
    progress: Callable[[PublishedFile, int], None]
    started: Callable[[PublishedFile], None]

    def fetch(self, file: PublishedFile) -> DownloadResult:
        def advance(done: int) -> None:
            self.room.filled(file.steam_id, file.size - done)
            self.calls.put(partial(self.progress, file, done))

        self.calls.put(partial(self.started, file))
        missing = max(0, file.size - item_download.partial_bytes(file, self.cache))
        try:
            with self.room.reserved(file.steam_id, missing):
                fetched = item_download.download(
                    file,
                    self.cache,
                    client=self.client,
                    log=lambda line: self.calls.put(partial(self.log, line)),
                    cancelled=self.stop.is_set,
                    progress=advance,
                )
        except DownloadFailed as failure:
            is_invalid = isinstance(failure, item_download.InvalidFile)
            return DownloadResult(file, fetched=False, error=str(failure), is_invalid=is_invalid)
        except TooFull as full:
            needed, left = _megabytes(full.needed), _megabytes(full.left)
            return DownloadResult(
                file, fetched=False, error=f"not enough disk space: it needs {needed}, {left} are free"
            )
        return DownloadResult(file, fetched=fetched)


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB"


def _wake() -> None:
    """Do nothing: ends the wait of `_run_calls`."""


def _run_calls(calls: Calls) -> None:
    """Run the queued calls, waiting a moment for the first one."""
    try:
        calls.get(timeout=_POLL_SECONDS)()
        while True:
            calls.get_nowait()()
    except queue.Empty:
        return


def _results(settled: set[Future[DownloadResult]], calls: Calls) -> Iterator[DownloadResult]:
    if settled:
        # The calls that the threads queued before they finished come before their results.
        while not calls.empty():
            calls.get_nowait()()
    for future in settled:
        yield future.result()
