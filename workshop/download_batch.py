"""Many published files into the cache, several side by side, each failing on its own."""

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
from workshop.item_download import DownloadFailed, Wanted

SIDE_BY_SIDE = 4
PER_HOST = 4
# Left alone on the disk: games write logs, the database grows, and a full disk takes both down.
KEEP_FREE = 256 * 1024 * 1024
_POLL_SECONDS = 0.2

Calls = queue.Queue[Callable[[], None]]


@dataclass(frozen=True)
class Result:
    """`error` is empty when the file is in the cache; `fetched` tells whether this run brought it there.

    `is_refused`: the file came whole, and is of no use.
    """

    wanted: Wanted
    fetched: bool
    error: str = ""
    is_refused: bool = False


def download_all(
    wanted: Sequence[Wanted],
    cache: Path,
    *,
    hosts: fetch.AllowedHosts,
    log: Callable[[str], None],
    progress: Callable[[Wanted, int], None],
    cancelled: Callable[[], bool],
    side_by_side: int = SIDE_BY_SIDE,
    keep_free: int = KEEP_FREE,
) -> Iterator[Result]:
    """Fetch every item, yielding each as it is settled. Raises Cancelled.

    `log`, `progress` and `cancelled` are called in the caller's thread only.
    """
    stop = threading.Event()
    calls: Calls = queue.Queue()
    with fetch.Client(hosts=hosts, cancelled=stop.is_set, per_host=PER_HOST) as client:
        crew = _Crew(cache, client, Reservations(cache, keep=keep_free), stop, calls, log, progress)
        pool = ThreadPoolExecutor(side_by_side, thread_name_prefix="download")
        try:
            waiting = {pool.submit(crew.fetch, item) for item in wanted}
            for future in waiting:
                future.add_done_callback(lambda _: calls.put(_wake))
            while waiting:
                concurrency.check(cancelled)
                _make(calls)
                settled = {future for future in waiting if future.done()}
                waiting -= settled
                yield from _results(settled, calls)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Crew:
    """What the threads share; they hand their words to `calls` for the caller's thread to say."""

    cache: Path
    client: fetch.Client
    room: Reservations
    stop: threading.Event
    calls: Calls
    log: Callable[[str], None]
    progress: Callable[[Wanted, int], None]

    def fetch(self, item: Wanted) -> Result:
        def advance(done: int) -> None:
            self.room.filled(item.steam_id, item.size - done)
            self.calls.put(partial(self.progress, item, done))

        missing = max(0, item.size - item_download.partial_bytes(item, self.cache))
        try:
            with self.room.reserved(item.steam_id, missing):
                fetched = item_download.download(
                    item,
                    self.cache,
                    client=self.client,
                    log=lambda line: self.calls.put(partial(self.log, line)),
                    cancelled=self.stop.is_set,
                    progress=advance,
                )
        except DownloadFailed as failure:
            is_refused = isinstance(failure, item_download.Refused)
            return Result(item, fetched=False, error=str(failure), is_refused=is_refused)
        except TooFull as full:
            needed, left = _megabytes(full.needed), _megabytes(full.left)
            return Result(item, fetched=False, error=f"needs {needed} in the cache, {left} are free")
        return Result(item, fetched=fetched)


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB"


def _wake() -> None:
    """Nothing to do but to end the wait."""


def _make(calls: Calls) -> None:
    """Make the calls that came in, waiting a moment for the first."""
    try:
        calls.get(timeout=_POLL_SECONDS)()
        while True:
            calls.get_nowait()()
    except queue.Empty:
        return


def _results(settled: set[Future[Result]], calls: Calls) -> Iterator[Result]:
    if settled:
        # What these said before they settled comes first.
        while not calls.empty():
            calls.get_nowait()()
    for future in settled:
        yield future.result()
