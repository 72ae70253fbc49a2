from __future__ import annotations

import os
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servers.gamehost.storage import Storage, used

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
