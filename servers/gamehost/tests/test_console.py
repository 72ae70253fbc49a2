from __future__ import annotations

import threading
from pathlib import Path

import pytest

from servers.gamehost.process import console
from servers.gamehost.process.console import Writer


def texts(stored: list[console.Stored]) -> list[str]:
    return [text for text, _, _ in stored]


def follow_until(directory: Path, cursor: str | None, last: str, *, ready: threading.Event | None = None) -> list[str]:
    follower = console.Follower(directory, cursor)
    seen: list[str] = []
    while last not in seen:
        seen += texts(follower.stored())
        if ready is not None:
            ready.set()
    return seen


def test_lines_are_stamped_and_kept_over_starts(tmp_path: Path) -> None:
    Writer(tmp_path).feed(b"one\ntwo\n")
    Writer(tmp_path).feed(b"three\n")
    found = console.tail(tmp_path, 10)
    assert texts(found) == ["one", "two", "three"]
    assert found[0][1].endswith("Z")


def test_a_line_that_comes_in_pieces_is_one_line(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for piece in (b"first ", b"half", b"\nrest"):
        writer.feed(piece)
    assert texts(console.tail(tmp_path, 10)) == ["first half"]
    writer.finish()
    assert texts(console.tail(tmp_path, 10)) == ["first half", "rest"]


def test_a_line_without_end_is_stored_in_pieces(tmp_path: Path) -> None:
    Writer(tmp_path).feed(b"x" * 10_000)
    assert all(len(text) <= 4096 for text in texts(console.tail(tmp_path, 10)))


@pytest.mark.parametrize(("length", "stored"), [(4096, []), (4097, [4096])])
def test_a_line_may_have_so_many_bytes_before_it_is_stored(tmp_path: Path, length: int, stored: list[int]) -> None:
    writer = Writer(tmp_path)
    writer.feed(b"x" * length)
    assert [len(text) for text in texts(console.tail(tmp_path, 10))] == stored
    writer.finish()
    writer.finish()
    assert [len(text) for text in texts(console.tail(tmp_path, 10))] == [4096]


def test_a_stamp_has_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (1_700_000_000.0129, 1_700_000_000.999):
        monkeypatch.setattr(console.time, "time", lambda now=now: now)
        Writer(tmp_path).feed(b"x\n")
    assert [stamp for _text, stamp, _cursor in console.tail(tmp_path, 10)] == [
        "2023-11-14T22:13:20.012Z",
        "2023-11-14T22:13:20.999Z",
    ]


def test_a_log_and_its_rotations_take_little_of_the_disk() -> None:
    assert (console.KEPT_ROTATIONS + 1) * console.ROTATE_AT == 48 * 1024**2


def test_a_file_is_filled_to_its_last_byte(tmp_path: Path) -> None:
    one_line = len("2023-11-14T22:13:20.999Z x\n")
    for number in range(1, 6):
        # A new writer goes on in the file of the one before.
        Writer(tmp_path, rotate_at=2 * one_line).feed(b"x\n")
        assert len(console.files(tmp_path)) == (number + 1) // 2
    assert [path.name for path in console.files(tmp_path)] == ["console.log.2", "console.log.1", "console.log"]
    Writer(tmp_path, rotate_at=1).feed(b"longer than a file may be\n")
    assert texts(console.tail(tmp_path, 1)) == ["longer than a file may be"]


def test_the_last_lines_are_kept_for_whoever_asks_why_it_ended(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.feed(b"".join(f"{number}\n".encode() for number in range(60)))
    assert list(writer.last_lines) == [str(number) for number in range(10, 60)]


def test_bytes_that_are_no_text_do_not_stop_the_log(tmp_path: Path) -> None:
    Writer(tmp_path).feed(b"\xff\xfe\r\nafter\rit\n")
    assert texts(console.tail(tmp_path, 10)) == ["��", "after\rit"]


def test_a_full_log_is_rotated_and_only_so_many_are_kept(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rotate_at=500)
    for number in range(200):
        writer.feed(f"line {number}\n".encode())
    assert len(console.files(tmp_path)) == 6
    assert all(path.stat().st_size <= 500 for path in console.files(tmp_path))
    assert texts(console.tail(tmp_path, 30)) == [f"line {number}" for number in range(170, 200)]


def test_a_tail_reads_back_over_blocks_and_rotations(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rotate_at=400_000, most_per_second=10**9)
    for start in range(0, 20_000, 1000):
        writer.feed(b"".join(f"line {number}\n".encode() for number in range(start, start + 1000)))
    assert texts(console.tail(tmp_path, 15_000)) == [f"line {number}" for number in range(5_000, 20_000)]


def test_a_flood_is_cut_and_the_log_says_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(console.time, "time", lambda: now[0])
    writer = Writer(tmp_path, most_per_second=1000)
    writer.feed(b"0123456789\n" * 5000)
    now[0] += 1
    writer.feed(b"calm again\n")
    found = texts(console.tail(tmp_path, 1000))
    assert len(found) < 100
    assert found[-2] == "left4me: 4910 lines skipped: the game writes too fast"
    assert found[-1] == "calm again"


@pytest.mark.parametrize(
    ("most", "kept"), [(6, ["12", "34"]), (5, ["12", "left4me: 1 lines skipped: the game writes too fast"])]
)
def test_a_second_has_room_for_so_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, kept: list[str]
) -> None:
    monkeypatch.setattr(console.time, "time", lambda: 1000.0)
    writer = Writer(tmp_path, most_per_second=most)
    writer.feed(b"12\n34\n")
    writer.finish()
    assert texts(console.tail(tmp_path, 10)) == kept
    writer.event("started")
    assert texts(console.tail(tmp_path, 1)) == ["left4me: started"], "what left4me says has no limit"


def test_following_takes_lines_that_come_later_and_goes_over_rotations(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rotate_at=2000)
    writer.feed(b"before\n")
    ready = threading.Event()

    def write() -> None:
        ready.wait(10)
        for number in range(100):
            writer.feed(f"line {number}\n".encode())

    thread = threading.Thread(target=write)
    thread.start()
    assert follow_until(tmp_path, None, "line 99", ready=ready) == [f"line {number}" for number in range(100)]
    thread.join()


def test_a_rotation_between_listing_and_reading_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    Writer(tmp_path).feed(b"one\ntwo\n")
    listed = console.files

    def files(directory: Path) -> list[Path]:
        found = listed(directory)
        if (directory / console.NAME).exists():
            # The writer has not made the next file yet.
            (directory / console.NAME).rename(directory / f"{console.NAME}.1")
        return found

    monkeypatch.setattr(console, "files", files)
    assert follow_until(tmp_path, "0:0", "two") == ["one", "two"]


@pytest.mark.parametrize("hidden", ["console.log.1", "console.log.2"])
def test_a_rotation_during_the_listing_neither_repeats_nor_loses_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    writer = Writer(tmp_path, rotate_at=100)
    for number in range(4):
        writer.feed(f"{number} {'x' * 60}\n".encode())
    whole = [text[0] for text in texts(console.tail(tmp_path, 10))]
    assert whole == ["0", "1", "2", "3"]
    listed, calls = console.files, []

    def files(directory: Path) -> list[Path]:
        # The first listing misses a file that was renamed meanwhile.
        calls.append(directory)
        return [path for path in listed(directory) if len(calls) > 1 or path.name != hidden]

    cursor = console.tail(tmp_path, 3)[0][2]
    monkeypatch.setattr(console, "files", files)
    last = f"3 {'x' * 60}"
    assert [text[0] for text in follow_until(tmp_path, cursor, last)] == ["2", "3"]


def test_a_cursor_that_was_rotated_away_starts_at_the_oldest_line(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.feed(b"one\ntwo\n")
    assert follow_until(tmp_path, "12345:77", "two") == ["one", "two"]
    assert follow_until(tmp_path, "no cursor at all", "two") == ["one", "two"]


def test_following_begins_at_the_end_or_behind_the_line_of_the_cursor(tmp_path: Path) -> None:
    writer = Writer(tmp_path, rotate_at=70)
    writer.feed(b"one\ntwo\n")
    first, second = console.tail(tmp_path, 2)
    ended, behind = console.Follower(tmp_path, None), console.Follower(tmp_path, first[2])
    at_the_end = console.Follower(tmp_path, second[2])
    assert (ended.stored(), at_the_end.stored(), texts(behind.stored())) == ([], [], ["two"])
    assert behind.stored() == []
    for number in range(3):
        writer.feed(f"line {number}\n".encode())
    expected = ["line 0", "line 1", "line 2"]
    assert [texts(each.stored()) for each in (ended, at_the_end, behind)] == [expected] * 3
    assert [texts(each.stored()) for each in (ended, at_the_end, behind)] == [[]] * 3


@pytest.mark.parametrize("cursor", ["x:0", "1:x", ":", "1", "1:-1"])
def test_what_is_no_cursor_starts_at_the_oldest_line(tmp_path: Path, cursor: str) -> None:
    Writer(tmp_path).feed(b"one\n")
    assert texts(console.Follower(tmp_path, cursor).stored()) == ["one"]


def test_following_where_nothing_was_ever_written_gives_nothing(tmp_path: Path) -> None:
    follower = console.Follower(tmp_path / "missing", "1:2")
    assert follower.stored() == []
    assert console.tail(tmp_path / "missing", 5) == []


def test_following_a_log_that_does_not_exist_yet_waits_for_it(tmp_path: Path) -> None:
    ready = threading.Event()

    def write() -> None:
        ready.wait(10)
        Writer(tmp_path).feed(b"first\n")

    thread = threading.Thread(target=write)
    thread.start()
    assert follow_until(tmp_path, None, "first", ready=ready) == ["first"]
    thread.join()


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path)

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(console.os, "write", refuse)
    writer.feed(b"lost\n")
    assert list(writer.last_lines) == ["lost"]
