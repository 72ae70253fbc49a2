from __future__ import annotations

import errno
import os
import stat
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from left4me.core.files import room
from servers.gamehost.storage import KEPT, Storage, Used, _Selection, used

NOW = datetime(2026, 1, 10, tzinfo=UTC)


def with_upper(root: Path, server_id: int) -> Storage:
    storage = Storage(root)
    directory = storage.of(server_id)
    directory.prepare()
    (directory.upper / "file").write_text("kept")
    return storage


def test_the_tar_holds_links_as_links(tmp_path: Path) -> None:
    storage = with_upper(tmp_path, 1)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (storage.of(1).upper / "link").symlink_to(secret)
    assert storage.delete(1, now=NOW)
    [kept] = (tmp_path / "deleted").iterdir()
    with tarfile.open(kept) as tar:
        assert tar.getmember("upper/link").issym()
        assert tar.getmember("upper/file").isreg()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert secret.read_text() == "secret"


def test_holes_and_more_than_is_kept_of_a_server_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A game makes a file of a terabyte at no cost; reading and packing it would take hours and the disk."""
    storage = with_upper(tmp_path, 1)
    with (storage.of(1).upper / "a-hole").open("wb") as file:
        file.truncate(1024**4)
    monkeypatch.setattr("servers.gamehost.storage.MOST_KEPT", 3_000_000)
    for name in ("large1", "large2"):
        (storage.of(1).upper / name).write_bytes(os.urandom(2_000_000))
    assert storage.delete(1, now=NOW)
    [kept] = (tmp_path / "deleted").iterdir()
    with tarfile.open(kept) as tar:
        names = set(tar.getnames())
    assert "upper/a-hole" not in names
    assert {"upper", "upper/file"} <= names
    assert len(names & {"upper/large1", "upper/large2"}) == 1


def test_a_delete_that_was_cut_off_can_be_repeated(tmp_path: Path) -> None:
    storage = with_upper(tmp_path, 1)
    storage.of(1).upper.rename(tmp_path / "gone")
    assert storage.delete(1, now=NOW)
    assert not storage.delete(1, now=NOW)


def test_what_was_kept_for_a_week_goes(tmp_path: Path) -> None:
    storage = with_upper(tmp_path, 1)
    storage.delete(1, now=NOW - timedelta(days=8))
    with_upper(tmp_path, 2).delete(2, now=NOW - timedelta(days=6))
    (tmp_path / "deleted/readme.txt").write_text("somebody's")
    assert storage.purge_deleted(now=NOW) == ["1-20260102T000000Z.tar.gz"]
    assert sorted(path.name for path in (tmp_path / "deleted").iterdir()) == [
        "2-20260104T000000Z.tar.gz",
        "readme.txt",
    ]


def test_a_week_ends_after_seven_days_whatever_the_times_of_the_files_are(tmp_path: Path) -> None:
    storage = with_upper(tmp_path, 1)
    storage.delete(1, now=NOW - KEPT)
    assert timedelta(days=7) == KEPT
    assert storage.purge_deleted(now=NOW) == []
    (tmp_path / "deleted/3-20260101T000000Z.part").touch()
    assert sorted(storage.purge_deleted(now=NOW + timedelta(seconds=1))) == [
        "1-20260103T000000Z.tar.gz",
        "3-20260101T000000Z.part",
    ]


def test_servers_are_those_whose_directory_is_a_number(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert storage.ids() == []
    for name in ("10", "9", "lost+found", "x1"):
        (tmp_path / "servers" / name).mkdir(parents=True)
    assert storage.ids() == [9, 10]


def test_growth_is_the_difference_to_what_was_before() -> None:
    assert Used(10, 3).since(Used(4, 1)) == Used(6, 2)
    assert Used(10, 3).since(None) == Used(10, 3)


def test_disk_use_is_that_of_blocks_and_counts_each_name(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(b"x")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(10**9)
    blocks = sum(path.lstat().st_blocks for path in tmp_path.rglob("*"))
    assert used(tmp_path) == Used(blocks * 512, 3)
    assert used(tmp_path / "missing") == Used(0, 0)


@pytest.mark.parametrize(("code", "is_raised"), [(errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EIO, True)])
def test_a_full_disk_does_not_keep_the_files_of_a_deleted_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_raised: bool
) -> None:
    storage = with_upper(tmp_path, 1)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(tarfile.TarFile, "add", refuse)
    if is_raised:
        with pytest.raises(OSError, match="no"):
            storage.delete(1, now=NOW)
    else:
        assert storage.delete(1, now=NOW)
    assert storage.of(1).path.exists() is is_raised
    assert list((tmp_path / "deleted").iterdir()) == [], "nor half of them"


@pytest.mark.parametrize("free", [999_999, 1_000_000])
def test_no_more_is_kept_than_the_disk_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, free: int
) -> None:
    storage = with_upper(tmp_path, 1)
    (storage.of(1).upper / "file").unlink()
    (storage.of(1).upper / "large").write_bytes(os.urandom(1_000_000))
    monkeypatch.setattr(room, "left", lambda path: free)
    storage.delete(1, now=NOW)
    [kept] = (tmp_path / "deleted").iterdir()
    is_kept = free == 1_000_000
    with tarfile.open(kept) as tar:
        assert ("upper/large" in tar.getnames()) is is_kept
    assert ("1 files of server 1 are not kept" in caplog.text) is not is_kept


@pytest.mark.parametrize(
    ("size", "written", "is_kept"),
    [
        # Small, or half of it is there.
        (64 * 1024**2, 0, True),
        (64 * 1024**2 + 4096, 0, False),
        (66 * 1024**2, 33 * 1024**2, True),
    ],
)
def test_a_large_file_that_is_mostly_holes_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, written: int, is_kept: bool
) -> None:
    top = tmp_path / "upper"
    top.mkdir()
    with (top / "sparse").open("wb") as file:
        file.write(b"x" * written)
        file.truncate(size)
    selection = _Selection(top, most=10**9)
    info = tarfile.TarInfo("upper/sparse")
    info.size = size
    assert (selection(info) is not None) is is_kept
    assert selection.left_out == (0 if is_kept else 1)
    folder = tarfile.TarInfo("upper")
    folder.type = tarfile.DIRTYPE
    assert selection(folder) is folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes marks of deletion")
def test_a_restore_brings_back_marks_of_deletion_modes_and_owners(tmp_path: Path) -> None:
    storage = with_upper(tmp_path, 1)
    upper = storage.of(1).upper
    (upper / "folder").mkdir()
    os.mknod(upper / "folder/gone", stat.S_IFCHR, 0)
    os.chown(upper / "file", 64123, 64124)
    (upper / "file").chmod(0)
    os.utime(upper / "file", (1_000_000_000, 1_000_000_000))
    storage.delete(1, now=NOW)
    storage.restore(1)
    for _again in range(2):
        gone = (upper / "folder/gone").lstat()
        assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
        status = (upper / "file").stat()
        assert (status.st_uid, status.st_gid, status.st_mtime) == (64123, 64124, 1_000_000_000)
        assert upper.stat().st_uid == 0, "whose it is decides the next start"
        storage.restore(1)


def test_the_newest_of_several_deletions_is_restored(tmp_path: Path) -> None:
    for day, text in ((2, "newer"), (5, "older")):
        storage = with_upper(tmp_path, 1)
        (storage.of(1).upper / "file").write_text(text)
        storage.delete(1, now=NOW - timedelta(days=day))
    storage.restore(1)
    assert (storage.of(1).upper / "file").read_text() == "newer"


def test_purging_where_nothing_was_ever_deleted_does_nothing(tmp_path: Path) -> None:
    assert Storage(tmp_path).purge_deleted(now=NOW) == []


def test_disk_use_counts_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"x" * 1_000_000)
    layer = tmp_path / "upper"
    (layer / "deep").mkdir(parents=True)
    (layer / "deep/file").write_bytes(b"x" * 100_000)
    (layer / "link").symlink_to(tmp_path / "outside")
    assert 100_000 <= used(layer).size < 200_000


def test_a_restore_brings_back_files_and_folders_and_nothing_that_leads_elsewhere(tmp_path: Path) -> None:
    storage = with_upper(tmp_path, 1)
    upper = storage.of(1).upper
    (upper / "left4dead2/cfg").mkdir(parents=True)
    (upper / "left4dead2/cfg/banned_user.cfg").write_text("banid 0 STEAM_1:0:1")
    (upper / "out").symlink_to(tmp_path)
    assert storage.delete(1, now=NOW - timedelta(days=1))
    with_upper(tmp_path, 12).delete(12, now=NOW)
    assert storage.restore(1) == storage.restore(1) == 2, "it can be repeated"
    assert (upper / "file").read_text() == "kept"
    assert (upper / "left4dead2/cfg/banned_user.cfg").read_text() == "banid 0 STEAM_1:0:1"
    assert not (upper / "out").is_symlink() and not (upper / "out").exists()
    assert storage.restore(2) is None


def test_a_hostile_archive_writes_nothing_outside_of_the_server(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    (tmp_path / "deleted").mkdir()
    with tarfile.open(tmp_path / "deleted/1-20260102T000000Z.tar.gz", "w:gz") as tar:
        for name in ("../../evil", "upper/../../evil", "/tmp/evil-of-left4me", "elsewhere/evil"):
            tar.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("upper/link")
        link.type, link.linkname = tarfile.LNKTYPE, "../../../secret"
        tar.addfile(link)
        device = tarfile.TarInfo("upper/sda")
        device.type, device.devmajor, device.devminor = tarfile.BLKTYPE, 8, 0
        tar.addfile(device)
    assert storage.restore(1) == 0
    assert list(storage.of(1).upper.iterdir()) == []
    assert not list(tmp_path.rglob("evil")) and not Path("/tmp/evil-of-left4me").exists()
