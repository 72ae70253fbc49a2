"""Concurrent downloads of many files."""

import os
import shutil
import threading
import time

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.files import room
from left4me.core.net import fetch
from left4me.testing.simulated_steam import Fault
from workshop import download_batch, item_download, vpk
from workshop.item_download import PublishedFile


@pytest.fixture
def run(steam_world, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    lines, progress = [], {}

    def run(*, cancelled=lambda: False, **how):
        wanted = [
            PublishedFile(i, d["file_url"], int(d["file_size"]), d["time_updated"])
            for i in steam_world.items
            for d in [steam_world.details(i)]
        ]
        results = download_batch.download_all(
            wanted,
            cache,
            hosts=fetch.AllowedHosts.parse([steam_world.url]),
            log=lines.append,
            progress=lambda item, done: progress.update({item.steam_id: done}),
            cancelled=cancelled,
            **({"keep_free": 0} | how),
        )
        return {result.file.steam_id: result for result in results}

    run.lines, run.progress, run.cache = lines, progress, cache
    return run


def test_every_item_settles_and_tells_how_far_it_came(steam_world, run):
    for steam_id in range(1, 21):
        steam_world.add(steam_id)
    results = run()
    assert sorted(results) == list(range(1, 21))
    assert all(result.fetched and not result.error for result in results.values())
    assert run.progress[5] == int(steam_world.details(5)["file_size"])


def test_one_broken_item_holds_up_no_other(steam_world, run, monkeypatch):
    monkeypatch.setattr(item_download, "_WAITS", (0.0, 0.0))
    for steam_id in range(1, 11):
        steam_world.add(steam_id)
    steam_world.items[4].faults.extend([Fault(status=500)] * 3)
    results = run()
    assert [i for i, result in results.items() if result.error] == [4]
    assert run.lines == [
        f"workshop 4 attempt {n}/3 failed: 127.0.0.1 answered with HTTP status 500" for n in (1, 2, 3)
    ]


def test_a_connection_that_brings_nothing_any_more_is_given_up_and_continued(steam_world, run, monkeypatch):
    monkeypatch.setattr(item_download, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(download_batch, "_SECONDS_WITHOUT_DATA", 0.5)
    steam_world.add(1, files={"a": os.urandom(200_000)}).faults.append(Fault(stall_after=50_000))
    results = run()
    assert results[1].fetched and not results[1].error
    assert [line.partition(":")[0] for line in run.lines] == ["workshop 1 attempt 1/3 failed"]


def test_four_run_side_by_side_and_no_more(steam_world, run):
    for steam_id in range(1, 9):
        steam_world.add(steam_id, files={"a": os.urandom(20_000)}).faults.append(Fault(bytes_per_second=60_000))
    most = 0
    stop = threading.Event()

    def watch():
        nonlocal most
        while not stop.wait(0.01):
            most = max(most, len(list(run.cache.glob(".*.part"))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    stop.set()
    watcher.join()
    assert most == 4


def test_calls_come_in_the_callers_thread(steam_world, run):
    steam_world.add(1).faults.extend([Fault(status=500)])
    threads = set()
    run.lines = None
    cache = run.cache
    details = steam_world.details(1)
    wanted = [PublishedFile(1, details["file_url"], details["file_size"] and int(details["file_size"]), 1_700_000_000)]
    list(
        download_batch.download_all(
            wanted,
            cache,
            hosts=fetch.AllowedHosts.parse([steam_world.url]),
            log=lambda line: threads.add(threading.current_thread()),
            progress=lambda item, done: threads.add(threading.current_thread()),
            cancelled=lambda: bool(threads.add(threading.current_thread())),
            keep_free=0,
        )
    )
    assert threads == {threading.current_thread()}


def test_a_cancel_ends_all_at_once(steam_world, run):
    for steam_id in range(1, 9):
        steam_world.add(steam_id, files={"a": bytes(50_000)}).faults.append(Fault(bytes_per_second=1_000))
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run(cancelled=lambda: time.monotonic() - started > 0.5)
    assert time.monotonic() - started < 15
    assert list(run.cache.glob("*.vpk")) == []


def test_an_item_that_does_not_fit_on_the_disk_is_refused_before_it_starts(steam_world, run):
    steam_world.add(1)
    free = shutil.disk_usage(run.cache).free
    results = run(keep_free=free * 2)
    assert "it needs 0.0 MB, 0.0 MB are free" in results[1].error
    assert steam_world.requests == []


@pytest.mark.parametrize(("missing", "fits"), [(0, True), (1, False)])
def test_a_quarter_of_a_gigabyte_stays_free(steam_world, run, monkeypatch, missing, fits):
    steam_world.add(1)
    size = int(steam_world.details(1)["file_size"])
    monkeypatch.setattr(room, "free", lambda _path: 256 * 1024 * 1024 + size - missing)
    [result] = run(keep_free=download_batch.KEEP_FREE).values()
    assert (result.error == "", result.fetched, result.is_invalid) == (fits, fits, False)


def test_only_what_is_missing_of_a_file_must_fit(steam_world, run, monkeypatch):
    steam_world.add(1, files={"a": bytes(1_500_000)})
    wanted = steam_world.items[1].path.read_bytes()
    (run.cache / f".1-1700000000-{len(wanted)}.part").write_bytes(wanted[:-500])
    monkeypatch.setattr(room, "free", lambda _path: 499)
    assert run()[1].error == "not enough disk space: it needs 0.0 MB, 0.0 MB are free"
    monkeypatch.setattr(room, "free", lambda _path: 500)
    assert run()[1].fetched
    (run.cache / "1.vpk").unlink()
    assert run()[1].error == "not enough disk space: it needs 1.5 MB, 0.0 MB are free"


def test_the_room_of_a_file_is_free_for_others_as_it_fills(steam_world, run, monkeypatch):
    reserved = []
    filled = download_batch.Reservations.filled
    monkeypatch.setattr(
        download_batch.Reservations,
        "filled",
        lambda self, key, missing: (reserved.append((key, missing)), filled(self, key, missing))[1],
    )
    steam_world.add(1)
    size = int(steam_world.details(1)["file_size"])
    started = []
    run(started=lambda file: started.append(file.steam_id))
    assert (reserved[-1], run.progress, started) == ((1, 0), {1: size}, [1])
    assert [result.fetched for result in run().values()] == [False], "it is in the cache"


def test_a_file_that_is_no_vpk_is_told_from_one_that_did_not_arrive(steam_world, run, monkeypatch):
    monkeypatch.setattr(item_download, "_WAITS", (0.0, 0.0))
    content = vpk.MAGIC.to_bytes(4, "little") + b"\x01\x00\x00\x00\xff\xff\x00\x00" + bytes(100)
    steam_world.add(1, content=content)
    steam_world.add(2).faults.extend([Fault(status=500)] * 3)
    results = run()
    assert {key: (result.fetched, result.is_invalid) for key, result in results.items()} == {
        1: (False, True),
        2: (False, False),
    }
    assert results[1].error == "the file is shorter than its directory"
