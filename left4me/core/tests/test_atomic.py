"""Writing whole or not at all: what readers find whatever happens to the writer."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

import pytest

from left4me.core.files import atomic
from left4me.testing.folders import count_handles, listed


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [True, False])
def test_content_and_mode_are_replaced_and_nothing_else_is_left(tmp_path: Path, *, durable: bool) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    before = os.umask(0o077)
    try:
        atomic.write(file, "new", mode=0o644, durable=durable)
        assert (file.read_text(), _mode(file)) == ("new", 0o644)
        atomic.write(file, b"\0", mode=0o600, durable=durable, owner=(os.getuid(), os.getgid()))
    finally:
        os.umask(before)
    assert (file.read_bytes(), _mode(file)) == (b"\0", 0o600)
    assert listed(tmp_path) == ["file"]


def test_a_fault_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(RuntimeError), atomic.replacing(file, mode=0o644, durable=False) as stream:
        stream.write(b"half")
        stream.flush()
        raise RuntimeError
    assert file.read_text() == "old"
    assert listed(tmp_path) == ["file"]


def test_until_the_end_only_the_writer_can_read_it(tmp_path: Path) -> None:
    with atomic.replacing(tmp_path / "file", mode=0o644, durable=False) as stream:
        assert stat.S_IMODE(os.fstat(stream.fileno()).st_mode) == 0o600
        assert [name.startswith(atomic.TEMPORARY) for name in listed(tmp_path)] == [True]


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("untouched")
    (tmp_path / "file").symlink_to("other")
    atomic.write(tmp_path / "file", "new", mode=0o600, durable=False)
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "other").read_text() == "untouched"


def test_with_durable_the_content_is_on_the_disk_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(fd: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "content")
        sync(fd)

    def noted_replace(*arguments, **named) -> None:
        steps.append("name")
        replace(*arguments, **named)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    atomic.write(tmp_path / "file", "1", mode=0o600, durable=True)
    assert steps == ["content", "name", "folder"]
    steps.clear()
    atomic.link(tmp_path / "link", "file", durable=True)
    assert steps == ["name", "folder"]


def test_a_link_takes_the_place_of_another(tmp_path: Path) -> None:
    for target in ("one", "two"):
        atomic.link(tmp_path / "link", target, durable=False)
    assert (tmp_path / "link").readlink() == Path("two")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        atomic.link(tmp_path / "folder", "one", durable=False)
    assert listed(tmp_path) == ["folder", "link"]


def test_a_tree_is_swapped_and_the_one_before_is_kept(tmp_path: Path, monkeypatch) -> None:
    place, previous = tmp_path / "place", tmp_path / "previous"
    for content in ("1", "2", "3"):
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        (fresh / content).touch()
        atomic.swap(fresh, place, previous=previous)
    assert (listed(place), listed(previous), listed(tmp_path)) == (["3"], ["2"], ["place", "previous"])
    monkeypatch.chdir(tmp_path)
    Path("fresh").mkdir()
    atomic.swap(Path("fresh"), Path("place"), previous=Path("previous"))
    assert (listed(place), listed(previous)) == ([], ["3"])
    with pytest.raises(OSError, match="place") as refused:
        atomic.swap(tmp_path / "missing", place, previous=previous)
    assert refused.value.errno == errno.ENOENT
    assert listed(tmp_path) == ["place"]


@pytest.mark.parametrize("durable", [True, False])
def test_the_folder_is_on_the_disk_only_where_that_is_wanted(tmp_path: Path, monkeypatch, *, durable: bool) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    folder = tmp_path.stat().st_ino
    (tmp_path / "fresh").write_text("1")
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        atomic.publish(tmp_path / "fresh", tmp_path / "by-path", durable=durable)
        (tmp_path / "fresh").write_text("2")
        atomic.publish(tmp_path / "fresh", Path("by-handle"), durable=durable, at=handle)
        atomic.link(Path("link"), "by-path", durable=durable, at=handle)
        assert synced == [folder] * (3 if durable else 0)
        with atomic.replacing(Path("file"), mode=0o600, durable=durable, at=handle) as stream:
            stream.write(b"3")
    finally:
        os.close(handle)
    assert synced[-1:] == ([folder] if durable else [])
    assert listed(tmp_path) == ["by-handle", "by-path", "file", "link"]


def test_what_was_written_before_is_synced_by_name_or_with_its_file_system(tmp_path: Path, monkeypatch) -> None:
    before = count_handles()
    atomic.sync(tmp_path)
    atomic.sync_file_system(tmp_path)

    class Refusing:
        def syncfs(self, _handle: int) -> int:
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_name, **_how: Refusing())
    with pytest.raises(OSError, match="Input/output error"):
        atomic.sync_file_system(tmp_path)
    assert count_handles() == before
    with pytest.raises(FileNotFoundError):
        atomic.sync(tmp_path / "missing")
