"""The download of one file: every fault of a download server, and its message to the operator."""

import errno
import os
import threading
import time
from types import SimpleNamespace

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.net import fetch
from left4me.testing.simulated_steam import Fault
from workshop import item_download, vpk
from workshop.item_download import DownloadFailed, PublishedFile

BIG = {"maps/a.bsp": os.urandom(300_000), "addoninfo.txt": b"x"}
VERSION = 1_700_000_000


def never() -> bool:
    return False


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def lines():
    return []


@pytest.fixture
def get(steam_world, client, cache, lines, monkeypatch):
    """Download item 7 as the build does, without pauses."""
    monkeypatch.setattr(item_download, "_WAITS", (0.0, 0.0))

    def get(wanted=None, *, cancelled=never):
        return item_download.download(
            wanted or wanted_item(steam_world),
            cache,
            client=client,
            log=lines.append,
            cancelled=cancelled,
            progress=lambda done: None,
        )

    return get


def wanted_item(steam_world, **changes):
    details = steam_world.details(7)
    fields = {
        "url": details["file_url"],
        "size": int(details["file_size"]),
        "version": details["time_updated"],
    }
    return PublishedFile(7, **(fields | changes))


def names(cache):
    return sorted(path.name for path in cache.iterdir())


def test_a_file_arrives_whole_with_the_time_of_its_version(steam_world, get, cache):
    item = steam_world.add(7, files=BIG)
    assert get() is True
    final = cache / "7.vpk"
    assert final.read_bytes() == item.path.read_bytes()
    assert (int(final.stat().st_mtime), final.stat().st_mode & 0o777) == (VERSION, 0o644)
    assert names(cache) == ["7.vpk"]


def test_what_is_there_is_not_fetched_again(steam_world, get):
    steam_world.add(7)
    assert [get(), get()] == [True, False]
    assert steam_world.downloads(7) == 1


def test_a_new_version_replaces_the_old_one(steam_world, get, cache):
    steam_world.add(7)
    get()
    steam_world.add(7, files=BIG, time_updated=VERSION + 5)
    assert get() is True
    assert int((cache / "7.vpk").stat().st_mtime) == VERSION + 5


# What goes wrong, how often, and what the operator reads about it. The download succeeds after fewer than
# three.
FAULTS = {
    "torn": (Fault(torn_after=100_000), "127.0.0.1 closed the connection early"),
    "torn before its first byte": (Fault(torn_after=0), "127.0.0.1 closed the connection early"),
    "too many requests": (Fault(status=429), "127.0.0.1 answered with HTTP status 429"),
    "server error": (Fault(status=503), "127.0.0.1 answered with HTTP status 503"),
    "not found": (Fault(status=404), "127.0.0.1 answered with HTTP status 404"),
    "HTML instead of a VPK": (Fault(body=b"<!DOCTYPE html><p>Sorry"), "Steam returned a web page, not a VPK"),
    "preview picture instead of a VPK": (
        Fault(body=b"\xff\xd8\xff\xe0JFIF"),
        "Steam returned a JPEG image, not a VPK",
    ),
    "zip instead of a VPK": (Fault(body=b"PK\x03\x04abc"), "Steam returned a zip archive, not a VPK"),
    "wrong size": (
        Fault(body=vpk.MAGIC.to_bytes(4, "little") * 9),
        "the download has 36 bytes, Steam announced",
    ),
    "empty": (Fault(body=b""), "the connection ended after 0 of"),
    "redirect loop": (
        Fault(status=302, headers=(("Location", "/ugc/7"),)),
        None,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_costs_an_attempt_and_a_line(name, steam_world, get, lines, cache):
    fault, words = FAULTS[name]
    steam_world.add(7, files=BIG).faults.append(fault)
    assert get() is True
    assert lines == ([] if words is None else [line for line in lines if words in line])
    assert names(cache) == ["7.vpk"]
    if words:
        assert lines[0].startswith("workshop 7 attempt 1/3 failed: ")


@pytest.mark.parametrize("name", [name for name, (_, words) in FAULTS.items() if words])
def test_a_fault_that_stays_fails_after_three_lines_and_leaves_nothing_under_the_final_name(
    name, steam_world, get, lines, cache
):
    fault, words = FAULTS[name]
    steam_world.add(7, files=BIG).faults.extend([fault] * 3)
    if fault.torn_after:
        # Three torn attempts of 100,000 bytes complete a file of 300,000, so tear sooner.
        steam_world.items[7].faults.clear()
        steam_world.items[7].faults.extend([Fault(torn_after=10)] * 3)
    with pytest.raises(DownloadFailed, match=words.replace("(", r"\(")):
        get()
    assert [line.split(":")[0] for line in lines] == [f"workshop 7 attempt {n}/3 failed" for n in (1, 2, 3)]
    assert "7.vpk" not in names(cache)


def test_a_torn_file_is_continued_where_it_ended(steam_world, get, lines, cache):
    item = steam_world.add(7, files=BIG)
    item.faults.append(Fault(torn_after=100_000))
    get()
    ranges = [held for _, path, held in steam_world.requests if path == "/ugc/7"]
    assert ranges[0] == ""
    assert ranges[1].startswith("bytes=") and ranges[1] != "bytes=0-"
    assert (cache / "7.vpk").read_bytes() == item.path.read_bytes()


def test_a_server_that_ignores_ranges_starts_over(steam_world, get, cache):
    item = steam_world.add(7, files=BIG)
    item.faults.extend([Fault(torn_after=100_000), Fault(ignores_range=True)])
    get()
    assert (cache / "7.vpk").read_bytes() == item.path.read_bytes()


def test_a_partial_file_of_another_version_is_not_continued(steam_world, get, cache):
    steam_world.add(7, files=BIG)
    (cache / ".7-1-999.part").write_bytes(b"old")
    get()
    assert names(cache) == ["7.vpk"]
    assert steam_world.requests[-1][2] == ""


def test_a_continued_file_whose_first_part_was_damaged_is_fetched_anew(steam_world, get, lines, cache):
    item = steam_world.add(7, files=BIG)
    good = item.path.read_bytes()
    # After a power failure the directory can be complete and the content behind it lost.
    damaged = good[:1000] + bytes(50_000)
    wanted = wanted_item(steam_world)
    (cache / f".7-{wanted.version}-{wanted.size}.part").write_bytes(damaged)
    assert get() is True
    assert lines == ["workshop 7 attempt 1/3 failed: the resumed file is damaged; the download restarts"]
    assert (cache / "7.vpk").read_bytes() == good


def test_a_complete_partial_file_is_published_without_asking_the_server(steam_world, get, cache):
    item = steam_world.add(7, files=BIG)
    wanted = wanted_item(steam_world)
    (cache / f".7-{wanted.version}-{wanted.size}.part").write_bytes(item.path.read_bytes())
    assert get() is True
    assert steam_world.downloads(7) == 0


def test_a_longer_body_than_announced_stops_at_once(steam_world, get, lines):
    steam_world.add(7, files=BIG)
    with pytest.raises(DownloadFailed, match=r"the download has \d+ bytes, Steam announced 1000"):
        get(wanted_item(steam_world, size=1000))


def test_a_file_that_is_no_vpk_inside_is_refused(steam_world, get, cache):
    content = vpk.MAGIC.to_bytes(4, "little") + b"\x01\x00\x00\x00\xff\xff\x00\x00" + bytes(100)
    steam_world.add(7, content=content)
    with pytest.raises(DownloadFailed, match="the file is shorter than its directory"):
        get()
    assert "7.vpk" not in names(cache)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://evil.example/7.vpk", "evil.example is not on the list of allowed download hosts"),
        ("http://127.0.0.1:1/7.vpk", "127.0.0.1 is not on the list of allowed download hosts"),
        ("file:///etc/passwd", "is not an https address"),
        ("https://user@cdn.steamusercontent.com/7", "is not an https address"),
        ("", "is not an https address"),
    ],
)
def test_a_host_that_is_not_allowed_is_refused_without_a_second_attempt(steam_world, get, lines, url, words):
    steam_world.add(7)
    with pytest.raises(item_download.NotPossible, match=words):
        get(wanted_item(steam_world, url=url))
    assert len(lines) == 1


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused(steam_world, get, lines):
    fault = Fault(status=302, headers=(("Location", "http://169.254.169.254/latest/meta-data"),))
    steam_world.add(7).faults.append(fault)
    with pytest.raises(item_download.NotPossible, match=r"169\.254\.169\.254 is not on the list"):
        get()


def test_a_redirect_to_an_allowed_host_is_followed(steam_world, get):
    item = steam_world.add(7)
    item.faults.append(Fault(status=302, headers=(("Location", "/ugc/7"),)))
    assert get() is True


def test_endless_redirects_end(steam_world, get):
    steam_world.add(7).faults.extend([Fault(status=302, headers=(("Location", "/ugc/7"),))] * 30)
    with pytest.raises(DownloadFailed, match="more than 5 redirects"):
        get()


@pytest.mark.parametrize(
    "fault",
    [Fault(seconds_before_answer=60), Fault(stall_after=100_000), Fault(bytes_per_second=2_000)],
    ids=["before the answer", "in the body, stalled", "in the body, slow"],
)
def test_a_cancel_ends_a_download_at_once(fault, steam_world, cache, lines):
    steam_world.add(7, files=BIG).faults.append(fault)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    hosts = fetch.AllowedHosts.parse([steam_world.url])
    started = time.monotonic()
    with fetch.Client(hosts=hosts, cancelled=stop.is_set) as client, pytest.raises(Cancelled):
        item_download.download(
            wanted_item(steam_world),
            cache,
            client=client,
            log=lines.append,
            cancelled=stop.is_set,
            progress=len_of,
        )
    assert time.monotonic() - started < 15
    assert lines == []


def len_of(done):
    return None


def test_a_cancel_ends_the_pause_before_the_next_attempt(steam_world, client, cache, lines):
    steam_world.add(7).faults.extend([Fault(status=500)] * 3)
    started = time.monotonic()
    with pytest.raises(Cancelled):
        item_download.download(
            wanted_item(steam_world),
            cache,
            client=client,
            log=lines.append,
            cancelled=lambda: time.monotonic() - started > 0.3 and bool(lines),
            progress=len_of,
        )
    assert time.monotonic() - started < 2
    assert len(lines) == 1


def test_two_builds_that_want_the_same_file_fetch_it_once(steam_world, client, cache):
    steam_world.add(7, files=BIG).faults.append(Fault(bytes_per_second=600_000))
    wanted = wanted_item(steam_world)
    results = []

    def one():
        how = {"client": client, "log": print, "cancelled": never, "progress": len_of}
        results.append(item_download.download(wanted, cache, **how))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, True]
    assert steam_world.downloads(7) == 1
    assert names(cache) == ["7.vpk"]


def test_a_file_name_from_steam_never_becomes_a_path(steam_world, get, cache, tmp_path):
    steam_world.add(7, filename="../../../../etc/cron.d/evil")
    get()
    assert names(cache) == ["7.vpk"]


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, item_download.NotPossible, "the disk is full"),
        (errno.EDQUOT, item_download.NotPossible, "the disk is full"),
        (errno.EIO, DownloadFailed, "cannot write to the cache: Input/output error"),
    ],
)
def test_a_cache_that_cannot_be_written_says_why(steam_world, get, lines, monkeypatch, number, error, words):
    steam_world.add(7)

    def refuse(*_where, **_how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(item_download.PartialFile, "publish", refuse)
    with pytest.raises(DownloadFailed, match=words) as failure:
        get()
    assert type(failure.value) is error
    assert len(lines) == (1 if error is item_download.NotPossible else 3)


def test_the_pauses_between_attempts_grow(steam_world, client, cache, monkeypatch):
    steam_world.add(7).faults.extend([Fault(status=500)] * 3)
    waits = []
    monkeypatch.setattr(item_download.concurrency, "pause", lambda seconds, _cancelled: waits.append(seconds))
    how = {"client": client, "log": print, "cancelled": never, "progress": len_of}
    with pytest.raises(DownloadFailed):
        item_download.download(wanted_item(steam_world), cache, **how)
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("size", "version", "content", "mtime", "is_cached"),
    [
        (3, 5, b"abc", 5, True),
        (3, 5, b"abc", 5.9, True),
        (3, 5, b"abcd", 5, False),
        (3, 5, b"ab", 5, False),
        (3, 5, b"abc", 4, False),
        (3, 5, b"abc", 6, False),
        (0, 5, b"abc", 5, True),
        (0, 5, b"", 5, False),
        (3, 5, None, 5, False),
    ],
)
def test_a_file_is_cached_in_its_version_and_size(cache, size, version, content, mtime, is_cached):
    if content is not None:
        (cache / "7.vpk").write_bytes(content)
        os.utime(cache / "7.vpk", (mtime, mtime))
    file = PublishedFile(7, "", size, version)
    assert item_download.is_cached(file, cache) is is_cached
    (cache / "8.vpk").symlink_to("7.vpk")
    os.utime(cache / "8.vpk", (5, 5), follow_symlinks=False)
    assert not item_download.is_cached(PublishedFile(8, "", 0, 5), cache)


def test_what_has_arrived_of_a_version_is_known(cache):
    file = PublishedFile(7, "", 9, 5)
    assert item_download.partial_bytes(file, cache) == 0
    (cache / ".7-5-9.part").write_bytes(b"1234")
    (cache / ".7-5-8.part").write_bytes(b"1")
    assert item_download.partial_bytes(file, cache) == 4


def test_a_version_that_another_process_published_meanwhile_is_not_fetched(steam_world, get, cache, monkeypatch):
    item = steam_world.add(7)
    claim = item_download.PartialFile.claim

    def publish_first(path):
        (cache / "7.vpk").write_bytes(item.path.read_bytes())
        os.utime(cache / "7.vpk", (VERSION, VERSION))
        return claim(path)

    monkeypatch.setattr(item_download.PartialFile, "claim", publish_first)
    assert get() is False
    assert (names(cache), steam_world.downloads(7)) == (["7.vpk"], 0)


def test_partial_files_of_other_versions_stay_while_another_process_fills_them(steam_world, get, cache):
    steam_world.add(7)
    for name in (".7-1-9.part", ".7-2-9.part", ".77-1-9.part"):
        (cache / name).write_bytes(b"x")
    with item_download.PartialFile.claim(cache / ".7-2-9.part") as other:
        assert other is not None
        assert get() is True
    assert names(cache) == [".7-2-9.part", ".77-1-9.part", "7.vpk"]


@pytest.mark.parametrize(
    ("chunk", "length", "size", "words"),
    [
        (b"<htm", "", 0, "Steam returned an unknown kind of file, not a VPK"),
        (b"<ht", "", 0, None),
        (b"\x34\x12\xaa\x55", "8", 9, "the download has 8 bytes, Steam announced 9"),
        (b"\x34\x12\xaa\x55", "10", 9, "the download has 10 bytes, Steam announced 9"),
        (b"\x34\x12\xaa\x55", "9", 9, None),
        (b"\x34\x12\xaa\x55", "8", 0, None),
        (b"\x34\x12\xaa\x55", "x", 9, None),
        (b"\x34\x12\xaa\x55", None, 9, None),
    ],
)
def test_the_beginning_of_an_answer_shows_what_is_not_the_file(chunk, length, size, words):
    answer = SimpleNamespace(headers={} if length is None else {"Content-Length": length})
    file = PublishedFile(7, "", size, 5)
    if words is None:
        item_download._check_start(file, answer, chunk)
    else:
        with pytest.raises(item_download.WrongAnswer, match=words):
            item_download._check_start(file, answer, chunk)


def test_a_file_of_unknown_size_is_fetched_whole(steam_world, get, cache):
    item = steam_world.add(7, files=BIG)
    assert get(wanted_item(steam_world, size=0)) is True
    assert (cache / "7.vpk").read_bytes() == item.path.read_bytes()
