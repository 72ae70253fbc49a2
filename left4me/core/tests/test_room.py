"""Room on the disk, also for several writers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.files import room


@pytest.fixture(autouse=True)
def _thousand_bytes_free(monkeypatch) -> None:
    monkeypatch.setattr(room, "free", lambda path: 1000)


def test_what_must_stay_free_is_not_counted(tmp_path: Path) -> None:
    assert room.left(tmp_path, keep=400) == 600
    assert room.left(tmp_path, keep=2000) == 0


def test_two_writers_do_not_count_on_the_same_bytes(tmp_path: Path) -> None:
    reservations = room.Reservations(tmp_path, keep=400)
    with reservations.reserved("a", 500):
        with pytest.raises(room.TooFull) as full, reservations.reserved("b", 101):
            pass
        assert (full.value.needed, full.value.left) == (101, 100)
        # What is on the disk already is missing from the free bytes, and need not be reserved any longer.
        reservations.filled("a", 100)
        with reservations.reserved("b", 500):
            pass
    with reservations.reserved("b", 600):
        pass


def test_a_directory_that_is_not_there_yet_is_on_the_disk_of_the_one_above(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.undo()
    assert room.free(tmp_path / "not/yet/there") > 0
