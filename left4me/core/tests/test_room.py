"""Room on the disk, also for several writers at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from left4me.core.files import room


@pytest.fixture(autouse=True)
def _thousand_bytes_free(monkeypatch) -> None:
    monkeypatch.setattr(room, "free", lambda path: 1000)


def test_what_must_stay_free_is_not_counted(tmp_path: Path) -> None:
    assert room.left(tmp_path, keep=400) == 600
    assert room.left(tmp_path, keep=2000) == 0


def test_half_a_gigabyte_stays_free(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(room, "free", lambda path: 512 * 1024**2 + 1)
    assert room.left(tmp_path) == 1
    with room.Reservations(tmp_path).reserved("a", 1):
        pass


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
    looked_at = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: looked_at.append(path) or SimpleNamespace(free=1))
    assert room.free(tmp_path / "not/yet/there") == 1
    assert looked_at == [tmp_path]


def test_what_is_used_is_what_is_not_free(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 600, 300))
    assert room.used(tmp_path) == 700


@pytest.mark.parametrize(
    ("size", "files", "lacks"), [(40, 3, ""), (41, 3, "space"), (40, 4, "inodes"), (41, 4, "space")]
)
def test_what_is_short_has_a_name(tmp_path: Path, monkeypatch, size: int, files: int, lacks: str) -> None:
    disk = SimpleNamespace(f_bavail=10, f_frsize=4, f_files=9, f_favail=3)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    assert room.shortage(tmp_path, size=size, files=files) == lacks
    # A file system that makes inodes as they are needed has none to count.
    disk.f_files = disk.f_favail = 0
    assert room.shortage(tmp_path, size=size, files=files) == lacks.replace("inodes", "")


def test_too_little_room_is_said_in_megabytes() -> None:
    assert str(room.TooFull(2_500_000, 100_000)) == "2.5 MB are needed, 0.1 MB are free"


def test_more_than_all_may_be_reserved_and_nothing_more_than_is_there_is_left(tmp_path: Path) -> None:
    reservations = room.Reservations(tmp_path, keep=0)
    with reservations.reserved("a", 1000):
        reservations.filled("a", -5)
        reservations.filled("a", 1500)
        with pytest.raises(room.TooFull) as full, reservations.reserved("b", 1):
            pass
        assert full.value.left == 0
        reservations.filled("a", -5)
        with pytest.raises(room.TooFull) as full, reservations.reserved("b", 1001):
            pass
        assert full.value.left == 1000
        with reservations.reserved("b", 0):
            pass
