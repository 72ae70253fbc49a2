"""Archives of directories whose content changes or is hostile."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from left4me.backups import archives

MOST = 10**9


def write(top: Path, archive: Path, *, most: int = MOST) -> archives.Written:
    return archives.write(top, archive, most=most, check=lambda: None, count=lambda size: None)


def restore(top: Path, archive: Path) -> int:
    return archives.restore(top, archive, check=lambda: None, count=lambda size: None)


def content(top: Path) -> dict[str, str]:
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "upper"
    (top / "cfg" / "deep").mkdir(parents=True)
    (top / "cfg" / "server.cfg").write_text("hostname a")
    (top / "cfg" / "deep" / "x.txt").write_text("x")
    (top / "bans.txt").write_text("nobody")
    return top


def test_a_restore_brings_back_what_was_there_and_removes_what_came(top: Path, tmp_path: Path):
    before, archive = content(top), tmp_path / "1.tar.gz"
    assert write(top, archive).files == 3
    (top / "cfg" / "server.cfg").write_text("hostname b, longer")
    (top / "bans.txt").unlink()
    (top / "new").mkdir()
    (top / "new" / "file").write_text("new")
    found = archives.compare(top, archive)
    assert (found.added, found.replaced, found.removed) == (["bans.txt"], ["cfg/server.cfg"], ["new/file"])
    assert found.unchanged == 1
    assert restore(top, archive) == 2
    assert content(top) == before
    assert not (top / "new").exists()
    # The same again changes nothing.
    assert restore(top, archive) == 0
    assert archives.compare(top, archive).unchanged == 3


def test_links_are_neither_followed_nor_kept(top: Path, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (top / "file").symlink_to(secret / "key")
    (top / "folder").symlink_to(secret)
    archive = tmp_path / "1.tar.gz"
    write(top, archive)
    with tarfile.open(archive) as tar:
        assert not [name for name in tar.getnames() if name.startswith(("file", "folder"))]


def test_a_restore_through_a_link_that_was_put_in_the_way_writes_nothing_outside(top: Path, tmp_path: Path):
    archive, outside = tmp_path / "1.tar.gz", tmp_path / "outside"
    write(top, archive)
    outside.mkdir()
    for path in ((top / "cfg" / "deep" / "x.txt"), (top / "cfg" / "server.cfg")):
        path.unlink()
    (top / "cfg" / "deep").rmdir()
    (top / "cfg").rmdir()
    (top / "cfg").symlink_to(outside)
    with pytest.raises(OSError):
        restore(top, archive)
    assert list(outside.iterdir()) == []


def test_a_file_that_becomes_shorter_meanwhile_does_not_break_the_archive(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    open_file = archives.walk.open_file

    def shortened(name: str, *, at: int) -> object:
        file = open_file(name, at=at)
        os.truncate(top / "bans.txt", 0)
        return file

    monkeypatch.setattr(archives.walk, "open_file", shortened)
    archive = tmp_path / "1.tar.gz"
    write(top, archive)
    with tarfile.open(archive) as tar:
        assert {"bans.txt", "cfg/server.cfg", "cfg/deep/x.txt"} <= set(tar.getnames())


def test_holes_that_take_no_room_are_left_out(top: Path, tmp_path: Path):
    with (top / "huge").open("wb") as file:
        file.truncate(10**12)
    assert write(top, tmp_path / "1.tar.gz").skipped == 1


def test_an_archive_that_would_be_too_large_leaves_nothing(top: Path, tmp_path: Path):
    (top / "noise").write_bytes(os.urandom(200_000))
    with pytest.raises(archives.TooLarge):
        write(top, tmp_path / "backups" / "1.tar.gz", most=50_000)
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_server_without_files_has_an_empty_backup(tmp_path: Path):
    archive = tmp_path / "1.tar.gz"
    assert write(tmp_path / "nothing", archive).files == 0
    assert archives.read_list(archive) == []
