"""The store of copies on another host: what a copy holds, which one counts, and when they go."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from left4me.core.concurrency import Cancelled
from left4me.testing.folders import listed
from overlays.replication import store
from overlays.replication.manifest import Entry, Manifest
from overlays.replication.store import Copies
from overlays.tests.replicas import bring, publish


@pytest.fixture
def copies(left4me_root: Path, monkeypatch) -> Copies:
    monkeypatch.setattr(store, "_mounts", [])
    return Copies(7)


def test_a_copy_is_what_the_manifest_says(copies: Copies):
    plain, program = bring(copies, b"plain", b"program")
    # The link comes first in the manifest, and a folder that it names is made before it all the same.
    entries = (
        Entry("a/link", link="b"),
        Entry("a/b/plain", plain, 5),
        Entry("program", program, 7, is_program=True),
        Entry("empty/folder"),
    )
    current = copies.publish(Manifest(4, entries), is_whole=False)
    tree = copies.tree(current)
    assert (tree / "a" / "link" / "plain").read_text() == "plain"
    assert (tree / "a" / "link").readlink() == Path("b")
    assert [(tree / name).stat().st_mode & 0o777 for name in ("a/b/plain", "program")] == [0o644, 0o755]
    assert (tree / "empty" / "folder").is_dir()
    assert (current.content_version, current.is_whole, len(current.name)) == (4, False, 32)
    assert copies.current() == current
    assert listed(copies.path) == sorted([current.name, f"{current.name}.json", "current.json"])
    assert copies.available_files() == {plain: tree / "a/b/plain", program: tree / "program"}
    assert (copies.path / "current.json").stat().st_mode & 0o777 == 0o640


def test_the_files_of_the_copy_before_are_the_same_ones_in_the_next(copies: Copies):
    first = publish(copies, {"a": b"same", "b": b"old"})
    second = copies.publish(
        Manifest(2, (Entry("c", hashlib.sha256(b"same").hexdigest(), 4), Entry("b", *bring(copies, b"new"), 3)))
    )
    assert (copies.tree(first) / "a").samefile(copies.tree(second) / "c")
    assert copies.current() == second
    before = copies.tree(second).stat().st_ino
    again = publish(copies, {"c": b"same", "b": b"new"}, version=3)
    assert (again.name, again.content_version, copies.tree(again).stat().st_ino) == (second.name, 3, before)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"name": "%s", "content_version": "x", "is_whole": true}',
        '{"name": "../%s", "content_version": 1, "is_whole": true}',
        '{"name": "00000000000000000000000000000000", "content_version": 1, "is_whole": true}',
    ],
)
def test_a_damaged_store_has_no_current_copy(copies: Copies, content: str):
    assert copies.current() is None
    current = publish(copies, {"a": b"1"})
    (copies.path / "current.json").write_text(content.replace("%s", current.name))
    assert copies.current() is None
    assert copies.available_files() == {}


def test_without_its_list_of_hashes_a_copy_brings_no_files(copies: Copies):
    current = publish(copies, {"a": b"1"})
    (copies.path / f"{current.name}.json").unlink()
    bring(copies, b"2")
    (copies.incoming / "unfinished.part").touch()
    assert list(copies.available_files()) == [hashlib.sha256(b"2").hexdigest()]


def test_copies_go_when_they_are_neither_current_nor_mounted_nor_fresh(copies: Copies, monkeypatch):
    old, mounted, fresh, current = (publish(copies, {"a": text}) for text in (b"1", b"2", b"3", b"4"))
    monkeypatch.setattr(store, "_mounts", [lambda: {copies.tree(mounted)}, set])
    now = time.time()
    for copy, age in ((old, 3700), (mounted, 9999), (fresh, 3500), (current, 9999)):
        os.utime(copies.tree(copy), (now - age, now - age))
    assert copies.remove_unused() == 1
    assert not copies.tree(old).exists()
    assert f"{old.name}.json" not in listed(copies.path)
    assert all(copies.tree(copy).is_dir() for copy in (mounted, fresh, current))
    copies.touch(fresh)
    assert copies.tree(fresh).stat().st_mtime > now - 100
    assert copies.remove() is False
    assert listed(copies.path) == sorted([mounted.name] + [f"{copy.name}.json" for copy in (mounted,)])
    assert copies.current() is None
    monkeypatch.setattr(store, "_mounts", [])
    assert copies.remove() is True
    assert not copies.path.exists()
    assert copies.remove() is True


def test_the_overlays_of_the_store_are_its_directories(copies: Copies):
    assert store.overlay_ids() == []
    publish(copies, {"a": b"1"})
    publish(Copies(12), {"a": b"1"})
    (store.root() / "other").mkdir()
    assert store.overlay_ids() == [7, 12]


def test_a_mount_under_its_real_name_counts(copies: Copies, left4me_root: Path, settings, monkeypatch):
    (left4me_root.parent / "linked").symlink_to(left4me_root)
    settings.LEFT4ME_ROOT = left4me_root.parent / "linked"
    linked = Copies(7)
    copy = publish(linked, {"a": b"1"})
    mounts: list[set[Path]] = [{linked.tree(copy).resolve()}]
    monkeypatch.setattr(store, "_mounts", [])
    store.register_mounts(lambda: mounts[0])
    assert linked.remove() is False
    mounts[0] = set()
    assert linked.remove() is True


def test_only_one_job_works_on_the_copies_and_the_others_can_be_cancelled(copies: Copies, monkeypatch):
    monkeypatch.setattr(store, "_LOOK_SECONDS", 0)
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 3:
            raise Cancelled

    with copies.locked(check):
        assert checks == []
        with pytest.raises(Cancelled), copies.locked(check):
            pass
    assert len(checks) == 3
    with copies.locked(check):
        pass
