"""Files that arrive in parts."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from left4me.core.net import download
from left4me.core.net.download import PartialFile


def test_a_partial_file_that_another_process_removed_is_removed_without_complaint(tmp_path: Path):
    with PartialFile.open(tmp_path / "file.part") as part:
        part.append([b"12345"], offset=0)
        part.remove()
        assert not part.path.exists()
        part.remove()


def test_a_partial_file_is_claimed_by_one_at_a_time(tmp_path: Path):
    path = tmp_path / "file.part"
    with PartialFile.claim(path) as first, PartialFile.claim(path) as second:
        assert first is not None
        assert second is None
    with PartialFile.claim(path) as third:
        assert third is not None


def test_what_lay_behind_the_place_where_a_download_goes_on_is_dropped(tmp_path: Path):
    with PartialFile.open(tmp_path / "file.part") as part:
        part.append([b"12345", b"67890"], offset=0)
        part.append([b"ab"], offset=3)
        assert part.size == 5
        assert part.path.read_bytes() == b"123ab"
        part.start_over()
        assert part.size == 0


def test_a_published_file_has_the_mode_and_time_that_were_asked_for(tmp_path: Path):
    with PartialFile.open(tmp_path / "file.part") as part:
        part.append([b"12345"], offset=0)
        part.publish(tmp_path / "file", mode=0o640, durable=True, mtime=1_000_000)
    status = (tmp_path / "file").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o640, 1_000_000)
    assert not (tmp_path / "file.part").exists()


def test_a_file_whose_name_was_taken_away_before_the_lock_is_not_claimed(tmp_path: Path, monkeypatch):
    path = tmp_path / "file.part"
    flock = fcntl.flock

    def lock_after_it_is_gone(fd: int, how: int) -> None:
        path.unlink()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", lock_after_it_is_gone)
    with PartialFile.claim(path) as part:
        assert part is None


def test_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / "file.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), PartialFile.open(tmp_path / "file.part"):
        pass


@pytest.mark.parametrize("length", [0, 1, 3, 5, 9])
def test_the_hash_is_that_of_the_first_bytes(tmp_path: Path, length: int, monkeypatch):
    monkeypatch.setattr(download, "_READ", 2)
    with PartialFile.open(tmp_path / "file.part") as part:
        part.append([b"12345"], offset=0)
        assert part.sha256(length).digest() == hashlib.sha256(b"12345"[:length]).digest()


def test_a_file_is_written_whole_also_where_the_system_takes_less_at_once(tmp_path: Path, monkeypatch):
    write = os.write
    monkeypatch.setattr(download.os, "write", lambda fd, data: write(fd, data[:2]))
    with PartialFile.open(tmp_path / "file.part") as part:
        part.append([b"12345", b"", b"6"], offset=0)
    assert (tmp_path / "file.part").read_bytes() == b"123456"


# --- what a server answers ---


class Answer:
    host = "cdn.example"

    def __init__(self, *chunks: bytes, status: int = 200, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-").title(): value for name, value in headers.items()}
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        yield from self._chunks


class Client:
    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, []

    @contextlib.contextmanager
    def get(self, url: str, *, headers: dict[str, str]) -> Iterator[Answer]:
        self.asked.append((url, headers))
        yield self.answer


class Filled:
    """A partial file with `before`, filled from `answer`: what it has then, and what was seen on the way."""

    def __init__(self, path: Path, answer: Answer, *, before: bytes = b"", size: int = 6) -> None:
        self.client, self.progress, self.starts = Client(answer), [], []
        self.fault: Exception | None = None
        self.continued: bool | None = None
        path.write_bytes(before)
        with PartialFile.open(path) as part:
            try:
                self.continued = download.fill(
                    part,
                    "https://cdn.example/file",
                    size=size,
                    client=self.client,  # type: ignore[arg-type]
                    progress=lambda done: self.progress.append((done, path.stat().st_size)),
                    check_start=lambda answer, first: self.starts.append(first),
                )
            except download.WrongAnswer as fault:
                self.fault = fault
        self.content = path.read_bytes()
        self.ranges = [headers.get("Range") for _url, headers in self.client.asked]


def test_a_new_file_is_fetched_as_a_whole(tmp_path: Path):
    found = Filled(tmp_path / "a.part", Answer(b"123", b"456"))
    assert (found.content, found.continued, found.ranges) == (b"123456", False, [None])
    assert found.starts == [b"123"]
    assert found.progress == [(3, 3), (6, 6)]


def test_a_part_is_continued(tmp_path: Path):
    answer = Answer(b"45", b"6", status=206, content_range="bytes 3-5/6")
    found = Filled(tmp_path / "a.part", answer, before=b"123")
    assert (found.content, found.continued, found.ranges) == (b"123456", True, ["bytes=3-"])
    assert (found.starts, found.progress) == ([], [(5, 5), (6, 6)])


def test_a_whole_file_is_not_fetched_again(tmp_path: Path):
    found = Filled(tmp_path / "a.part", Answer(), before=b"123456")
    assert (found.content, found.continued, found.ranges) == (b"123456", True, [])


@pytest.mark.parametrize(("before", "size"), [(b"1234567", 6), (b"123", 0)])
def test_what_cannot_be_a_part_of_the_file_is_dropped(tmp_path: Path, before: bytes, size: int):
    found = Filled(tmp_path / "a.part", Answer(b"abcdef"), before=before, size=size)
    assert (found.content, found.continued, found.ranges) == (b"abcdef", False, [None])


def test_a_server_that_knows_no_ranges_sends_all_of_it(tmp_path: Path):
    found = Filled(tmp_path / "a.part", Answer(b"abcdef"), before=b"123")
    assert (found.content, found.continued, found.starts) == (b"abcdef", False, [b"abcdef"])


@pytest.mark.parametrize(
    ("answer", "words", "content"),
    [
        (Answer(b"x", content_encoding="gzip"), "an unexpected encoding", b"123"),
        (Answer(b"456", status=206, content_range="bytes 2-5/6"), "can't resume the download", b""),
        (Answer(b"456", status=206, content_range="bytes 3-6/7"), "can't resume the download", b""),
        (Answer(b"456", status=206, content_range="odd"), "can't resume the download", b""),
        (Answer(b"456", status=206), "can't resume the download", b""),
        (Answer(status=416), "can't resume the download", b""),
        (Answer(b"no", status=404), "answered with HTTP status 404", b"123"),
        (Answer(b"no", status=201), "answered with HTTP status 201", b"123"),
        (Answer(b"1234", b"567"), "sent more than the announced 6 bytes", b""),
        (Answer(b"4567", status=206, content_range="bytes 3-5/6"), "sent more than the announced 6 bytes", b""),
    ],
)
def test_another_answer_than_the_file_is_refused(tmp_path: Path, answer: Answer, words: str, content: bytes):
    found = Filled(tmp_path / "a.part", answer, before=b"123")
    assert words in str(found.fault)
    assert "cdn.example" in str(found.fault)
    assert found.content == content


def test_a_part_that_was_not_asked_for_is_refused(tmp_path: Path):
    found = Filled(tmp_path / "a.part", Answer(b"123456", status=206, content_range="bytes 0-5/6"))
    assert "can't resume" in str(found.fault)


def test_a_file_of_unknown_size_ends_with_its_body(tmp_path: Path):
    found = Filled(tmp_path / "a.part", Answer(b"123", content_encoding="identity"), size=0)
    assert (found.content, found.fault, found.progress) == (b"123", None, [(3, 3)])
