"""The transfer of overlays to another host, over a connection that breaks, waits and lies.

What depends on hosts and their tokens is tested with `servers`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from left4me.core.files import room
from left4me.core.net import fetch
from left4me.core.web.asgi import Refusal
from left4me.testing.folders import listed
from left4me.testing.recorded_run import RecordedRun
from overlays import paths
from overlays.models import Overlay
from overlays.replication import attempts, client, manifest, server
from overlays.replication.manifest import Entry, Manifest, Reader
from overlays.replication.store import Copies, Current
from overlays.tests.factories import make_overlay
from overlays.tests.replicas import Web, bring, contents, pull

DIGEST = hashlib.sha256(b"x").hexdigest()


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_attempts_pause_ever_longer_until_there_is_progress(clock: list[float]):
    run = RecordedRun()
    attempt = next(iter(attempts.Attempts(run)))
    for has_progress in (False, False, False, False, False, True, False):
        attempt.failed(fetch.Unreachable("gone"), has_progress=has_progress)
    assert run.slept == [1, 2, 4, 8, 8, 1, 2]
    assert run.lines[0] == "gone; retrying in 1 s"


def test_attempts_end_when_there_was_no_progress_for_too_long(clock: list[float], settings):
    settings.LEFT4ME_WEB_URL = "https://web"
    attempt = next(iter(attempts.Attempts(RecordedRun())))
    clock[0] += 120
    attempt.failed(fetch.Unreachable("gone"), has_progress=False)
    clock[0] += 1
    attempt.failed(fetch.Unreachable("gone"), has_progress=True)
    clock[0] += 120
    attempt.failed(fetch.Unreachable("gone"), has_progress=False)
    clock[0] += 1
    with pytest.raises(attempts.Unavailable, match="https://web does not answer: gone"):
        attempt.failed(fetch.Unreachable("gone"), has_progress=False)


def test_waiting_for_a_build_has_no_end_and_is_said_once(clock: list[float]):
    run = RecordedRun()
    attempt = next(iter(attempts.Attempts(run)))
    attempt.failed(fetch.Unreachable("gone"), has_progress=False)
    for _turn in range(3):
        clock[0] += 1000
        attempt.wait("Waiting.")
    attempt.failed(fetch.Unreachable("gone"), has_progress=False)
    assert run.slept == [1, 2, 2, 2, 1]
    assert run.lines.count("Waiting.") == 1


@pytest.mark.parametrize("piece", [1, 3, 64, 10_000])
def test_the_copy_is_what_the_web_has_however_it_arrives(maps: Overlay, web: Web, piece: int):
    web.piece = piece
    run = RecordedRun()
    assert contents(pull(maps, run)) == contents(paths.directory(maps))
    assert [method for method, _wanted in web.requests] == ["GET", "POST"]
    assert web.url == f"https://web/api/v1/hosts/self/overlays/{maps.pk}/content"
    assert web.headers == {"Authorization": "Bearer token"}
    # Files of the same content are fetched once.
    [(_method, wanted)] = web.requests[1:]
    assert sorted(offset for _path, offset in wanted) == [0, 0, 0]
    assert run.lines[0] == "“maps”, version 3: 4 files, 474 bytes; to download: 3 files, 467 bytes"
    assert run.lines[1].startswith("“maps”: downloaded in ")
    assert run.phases[-1] == "fetching “maps”"


def test_a_broken_transfer_is_continued(maps: Overlay, web: Web):
    web.piece, web.breaks_after = 50, [None, 200]
    run = RecordedRun()
    assert contents(pull(maps, run)) == contents(paths.directory(maps))
    (_get, _all), (_first, everything), (_second, rest) = web.requests
    assert [method for method, _wanted in web.requests] == ["GET", "POST", "POST"]
    offsets = dict(rest)
    assert len(everything) == 3
    assert offsets["cfg/a.cfg"] > 0
    assert run.lines[1] == "the connection ended early; retrying in 1 s"


def test_a_manifest_that_breaks_off_is_asked_for_again(maps: Overlay, web: Web):
    web.piece, web.breaks_after = 20, [100]
    run = RecordedRun()
    pull(maps, run)
    assert [method for method, _wanted in web.requests] == ["GET", "GET", "POST"]
    assert run.lines[0] == "the connection ended early; retrying in 1 s"


def test_what_passes_is_waited_for(maps: Overlay, web: Web):
    web.faults = [fetch.Unreachable("gone"), 409, 409, 503, 429, None, 500]
    run = RecordedRun()
    assert contents(pull(maps, run)) == contents(paths.directory(maps))
    assert run.lines.count("Waiting for the build of “maps”.") == 1
    assert [method for method, _wanted in web.requests] == ["GET"] * 6 + ["POST"] * 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "does not know this host's token"),
        (404, "has no such overlay for this host"),
        (400, "400"),
        (302, "302"),
    ],
)
def test_what_does_not_pass_ends_the_download_with_its_reason(maps: Overlay, web: Web, status: int, reason: str):
    web.faults = [status]
    with pytest.raises(attempts.Unavailable, match=reason):
        pull(maps)
    assert len(web.requests) == 1


def test_a_change_meanwhile_is_followed_but_not_for_ever(maps: Overlay, web: Web, monkeypatch):
    cfg, numbers, left = paths.directory(maps) / "cfg" / "a.cfg", count(100), [1]
    source = client._Source.fetch

    def meanwhile(self: Any, entries: Any, incoming: Any, *, total: int) -> None:
        if left[0]:
            left[0] -= 1
            # Sometimes of the same length, and sometimes of another: both are noticed.
            cfg.write_bytes(b"%d" % (number := next(numbers)) + bytes(457 if number % 3 else 3))
        source(self, entries, incoming, total=total)

    monkeypatch.setattr(client._Source, "fetch", meanwhile)
    run = RecordedRun()
    assert contents(pull(maps, run)) == contents(paths.directory(maps))
    assert sum("changed during the download (cfg/a.cfg)" in line for line in run.lines) == 1
    left[0] = 4
    cfg.write_bytes(b"new")
    assert contents(pull(maps)) == contents(paths.directory(maps))
    left[0] = 5
    cfg.write_bytes(b"newer")
    with pytest.raises(attempts.Unavailable, match="keeps changing"):
        pull(maps)


def test_a_file_that_is_gone_is_looked_for_in_a_new_manifest(maps: Overlay, web: Web, monkeypatch):
    source = client._Source.fetch

    def meanwhile(self: Any, entries: Any, incoming: Any, *, total: int) -> None:
        (paths.directory(maps) / "cfg" / "a.cfg").unlink(missing_ok=True)
        source(self, entries, incoming, total=total)

    monkeypatch.setattr(client._Source, "fetch", meanwhile)
    assert "cfg/a.cfg" not in contents(pull(maps))


def test_files_left_by_an_earlier_attempt_stay_only_while_they_are_wanted(maps: Overlay, web: Web):
    copies = Copies(maps.pk)
    digest = hashlib.sha256((paths.directory(maps) / "cfg" / "a.cfg").read_bytes()).hexdigest()
    bring(copies, b"program", b"unneeded")
    (copies.incoming / f"{digest}.part").write_bytes(b"first line\n")
    (copies.incoming / "old.part").write_bytes(b"x")
    deleted: list[str] = []
    fetch_all = client._Source.fetch
    with pytest.MonkeyPatch.context() as patch:

        def look(self: Any, entries: Any, incoming: Any, *, total: int) -> None:
            deleted.extend(listed(copies.incoming))
            fetch_all(self, entries, incoming, total=total)

        patch.setattr(client._Source, "fetch", look)
        run = RecordedRun()
        assert contents(pull(maps, run)) == contents(paths.directory(maps))
    assert deleted == sorted([hashlib.sha256(b"program").hexdigest(), f"{digest}.part"])
    assert run.lines[0].endswith("to download: 2 files, 449 bytes")
    assert dict(web.requests[1][1]) == {"cfg/a.cfg": 11, "none": 0}


def test_a_wrong_beginning_is_thrown_away(maps: Overlay, web: Web):
    copies = Copies(maps.pk)
    digest = hashlib.sha256((paths.directory(maps) / "cfg" / "a.cfg").read_bytes()).hexdigest()
    copies.incoming.mkdir(parents=True)
    (copies.incoming / f"{digest}.part").write_bytes(b"wrong line\n")
    run = RecordedRun()
    assert contents(pull(maps, run)) == contents(paths.directory(maps))
    assert any("changed during the download (cfg/a.cfg)" in line for line in run.lines)


@pytest.mark.parametrize(("free", "fits"), [(467, True), (466, False)])
def test_what_does_not_fit_on_the_disk_is_not_begun(maps: Overlay, web: Web, monkeypatch, free: int, fits: bool):
    monkeypatch.setattr(room, "left", lambda _path: free)
    with contextlib.nullcontext() if fits else pytest.raises(attempts.Unavailable, match="not enough disk space"):
        pull(maps)
    assert len(web.requests) == (2 if fits else 1)


def test_nothing_is_asked_for_when_all_is_there(maps: Overlay, web: Web):
    first = pull(maps)
    web.overlay.content_version = 4
    run = RecordedRun()
    assert pull(maps, run) == first
    assert [method for method, _wanted in web.requests] == ["GET", "POST", "GET"]
    assert len(run.lines) == 1
    assert Copies(maps.pk).current() == Current(first.name, 4, is_whole=True)


def test_what_is_left_out_is_named_some_times(maps: Overlay, web: Web):
    for number in range(21):
        (paths.directory(maps) / f"out{number}").symlink_to("/etc")
    run = RecordedRun()
    pull(maps, run)
    assert sum(line.startswith("skipped out") for line in run.lines) == 20


def test_many_files_are_asked_for_in_parts():
    def sizes(*wanted: int) -> list[list[int]]:
        batches = client._batches([Entry(str(number), DIGEST, size) for number, size in enumerate(wanted)])
        return [[entry.size for entry in batch] for batch in batches]

    gigabyte = 1024**3
    assert sizes() == []
    assert sizes(1, 4 * gigabyte, 0, 1) == [[1], [4 * gigabyte, 0], [1]]
    assert [len(batch) for batch in sizes(*[1] * 2001)] == [1000, 1000, 1]
    assert sizes(gigabyte, 3 * gigabyte, 1, 5 * gigabyte, 1) == [
        [gigabyte, 3 * gigabyte],
        [1],
        [5 * gigabyte],
        [1],
    ]


def test_a_line_has_a_longest_length():
    read = client._Lines(iter([b"a" * 1000] * 400))
    with pytest.raises(attempts.Unavailable, match="too long"):
        read.line()
    assert list(client._Lines(iter([b"one\ntw", b"o\n", b"rest"]))) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (None, fetch.Unreachable, "ended early"),
        (b"{", attempts.Unavailable, "not valid"),
        (b"[]", attempts.Unavailable, "not valid"),
        (b'{"path": "b", "bytes": 1}', attempts.Unavailable, "another file"),
        (b'{"path": "a"}', attempts.Unavailable, "not valid"),
        (b'{"path": "a", "bytes": "x"}', attempts.Unavailable, "not valid"),
    ],
)
def test_an_answer_that_is_no_file_is_refused(line: bytes | None, error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        client._length(line, Entry("a", DIGEST, 1))


def test_an_answer_says_how_much_follows_or_that_the_file_is_gone():
    assert client._length(b'{"path": "a", "bytes": 5}', Entry("a")) == 5
    assert client._length(b'{"path": "a", "gone": true}', Entry("a")) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"files": 1}',
        b'{"files": [1]}',
        b'{"files": [["a"]]}',
        b'{"files": [["a", "x"]]}',
        b'{"files": [["a", -1]]}',
        json.dumps({"files": [["a", 0]] * 2001}).encode(),
    ],
)
def test_a_request_for_nothing_that_can_be_sent_is_refused(body: bytes):
    with pytest.raises(Refusal) as refusal:
        server._requested_files(body)
    assert refusal.value.status == 400


def test_a_request_names_files_and_where_to_go_on():
    wanted = [["a", 0], ["b", 7]] * 1000
    assert server._requested_files(json.dumps({"files": wanted}).encode()) == [("a", 0), ("b", 7)] * 1000


def test_files_are_sent_from_their_offset_and_what_is_none_is_said(maps: Overlay, monkeypatch):
    monkeypatch.setattr(server, "_CHUNK", 3)
    wanted = [("run", 0), ("run", 2), ("run", 7), ("run", 9), ("gone", 0), ("../x", 0), ("cfg", 0)]
    sent = list(server.file_pieces(maps, wanted))
    said = [json.loads(piece) for piece in sent if piece.startswith(b"{")]
    assert [line.get("bytes") for line in said] == [7, 5, 0, 0, None, None, None]
    assert [line.get("gone", False) for line in said] == [False] * 4 + [True] * 3
    assert [piece for piece in sent if not piece.startswith(b"{")] == [b"pro", b"gra", b"m", b"ogr", b"am"]


def test_a_file_that_becomes_shorter_breaks_the_connection(maps: Overlay, monkeypatch):
    monkeypatch.setattr(server, "_CHUNK", 3)
    sending = server.file_pieces(maps, [("cfg/a.cfg", 0)])
    next(sending)
    os.truncate(paths.directory(maps) / "cfg" / "a.cfg", 0)
    with pytest.raises(OSError, match=r"cfg/a\.cfg became shorter"):
        list(sending)


def test_the_lines_of_a_manifest_are_sent_in_groups(maps: Overlay, monkeypatch):
    monkeypatch.setattr(server, "_LINES_AT_ONCE", 2)
    pieces = [piece.splitlines() for piece in server.manifest_pieces(maps)]
    assert [len(piece) for piece in pieces if piece] == [1, 2, 2, 2]
    assert json.loads(pieces[3][-1]) == {"end": True, "left_out": []}
    assert server.hashes_file(maps.pk).is_file()
    monkeypatch.setattr(manifest, "_TRIES", 0)
    assert list(server.manifest_pieces(maps))[-1] == b'{"changing": true}\n'


def test_an_overlay_without_a_directory_is_empty(db: None, left4me_root: Path):
    overlay = make_overlay(content_version=2)
    reader = Reader()
    for piece in server.manifest_pieces(overlay):
        for line in piece.splitlines():
            reader.take(line)
    assert reader.done == Manifest(2, ())
