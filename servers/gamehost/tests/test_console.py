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
