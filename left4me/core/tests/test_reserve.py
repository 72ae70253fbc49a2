"""The room that is kept for the day on which the disk is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.files import reserve, room

PLENTY = 16 * 64 * 1024**2


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much room there is."""
    left = [PLENTY]
    monkeypatch.setattr(room, "free", lambda root: left[0])
    return left


@pytest.mark.parametrize("more", [0, 1])
def test_it_takes_room_and_files_once_and_gives_them_up_together(tmp_path: Path, free: list[int], more: int):
    free[0] = PLENTY + more
    reserve.keep(tmp_path)
    block = tmp_path / "reserve" / "room"
    assert block.stat().st_blocks * 512 >= 64 * 1024**2, "really taken, no hole"
    assert len(list((tmp_path / "reserve").iterdir())) == 65
    assert (tmp_path / "reserve").stat().st_mode & 0o777 == 0o700
    made_at = block.stat().st_mtime_ns
    reserve.keep(tmp_path)
    assert block.stat().st_mtime_ns == made_at
    assert reserve.give_up(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not reserve.give_up(tmp_path), "there is none any more"


def test_it_is_not_taken_from_a_disk_that_is_nearly_full(tmp_path: Path, free: list[int]):
    free[0] = PLENTY - 1
    reserve.keep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_interrupted_is_made_anew(tmp_path: Path, free: list[int]):
    (tmp_path / "reserve").mkdir()
    (tmp_path / "reserve" / "fresh").write_bytes(b"cut off")
    reserve.keep(tmp_path)
    assert (tmp_path / "reserve" / "room").stat().st_size == 64 * 1024**2
