"""Many published files into the cache, several side by side, each failing on its own."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from left4me.core.net import fetch
from workshop import item_download
from workshop.item_download import DownloadFailed, NotPossible, Wanted

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
    """Fetch every item, yielding each as it is settled. Raises fetch.Cancelled.

    `log`, `progress` and `cancelled` are called in the caller's thread only.
    """
    stop = threading.Event()
    calls: Calls = queue.Queue()
    with fetch.Client(hosts=hosts, cancelled=stop.is_set, per_host=PER_HOST) as client:
        crew = _Crew(cache, client, _Room(cache, keep_free), stop, calls, log, progress)
        pool = ThreadPoolExecutor(side_by_side, thread_name_prefix="download")
        try:
            waiting = {pool.submit(crew.fetch, item) for item in wanted}
            for future in waiting:
                future.add_done_callback(lambda _: calls.put(_wake))
            while waiting:
                if cancelled():
                    raise fetch.Cancelled("cancelled")
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
    room: _Room
    stop: threading.Event
    calls: Calls
    log: Callable[[str], None]
    progress: Callable[[Wanted, int], None]

    def fetch(self, item: Wanted) -> Result:
        def advance(done: int) -> None:
            self.room.filled(item, done)
            self.calls.put(partial(self.progress, item, done))

        try:
            with self.room.reserved(item):
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
        return Result(item, fetched=fetched)


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


class _Room:
    """Keeps downloads that run side by side from promising each other's free space."""

    def __init__(self, cache: Path, keep_free: int) -> None:
        self._cache = cache
        self._keep_free = keep_free
        self._missing: dict[int, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def reserved(self, item: Wanted) -> Iterator[None]:
        """Room for what is missing of `item`. Raises NotPossible when there is not enough."""
        missing = max(0, item.size - item_download.partial_bytes(item, self._cache))
        with self._lock:
            free = shutil.disk_usage(self._cache).free - self._keep_free - sum(self._missing.values())
            if missing > free:
                raise NotPossible(f"needs {_megabytes(missing)} in the cache, {_megabytes(max(0, free))} are free")
            self._missing[item.steam_id] = missing
        try:
            yield
        finally:
            with self._lock:
                del self._missing[item.steam_id]

    def filled(self, item: Wanted, done: int) -> None:
        with self._lock:
            self._missing[item.steam_id] = max(0, item.size - done)


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB"
