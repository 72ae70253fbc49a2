"""Files that arrive in parts."""

from __future__ import annotations

from pathlib import Path

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
