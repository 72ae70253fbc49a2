"""Files in a writable layer that hide others, and what can be done with them, in directories without a mount."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from servers.gamehost import copies, shadows
from servers.gamehost.copies import Aside, PutBack
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.shadows import Shadow, State

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes marks of deletion")


def write(path: Path, text: str, at: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def make_opaque(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.setxattr(folder, "user.overlay.opaque", b"y")


def delete(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR, 0)


class Layers:
    """The writable layer of a server above an overlay and the game."""

    def __init__(self, root: Path) -> None:
        self.directory = ServerDirectory(root / "servers/1")
        self.directory.prepare()
        self.upper = self.directory.upper
        self.overlay, self.game, self.before = (root / name for name in ("overlay", "game", "before"))
        for folder in (self.overlay, self.game, self.before):
            folder.mkdir()

    def find(self, **options: Any) -> list[Shadow]:
        return shadows.find(self.upper, [self.overlay, self.game], **options)

    def states(self, **options: Any) -> dict[str, State]:
        return {shadow.path: shadow.state for shadow in self.find(**options)}

    def set_aside(self, *paths: str, now: float) -> int:
        return copies.set_aside(self.directory, paths, now=now)

    def written(self, folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def test_a_copy_is_compared_with_the_topmost_original(layers: Layers):
    for name, text, at in (("same", "one", 50), ("same-time", "two", 10), ("changed", "x", 50), ("outdated", "x", 5)):
        write(layers.upper / name, text, at)
    for name in ("same", "changed", "outdated"):
        write(layers.game / name, "one", 10)
    # With the same time and size, the content is not read.
    write(layers.game / "same-time", "one", 10)
    write(layers.overlay / "changed", "overlay", 20)
    write(layers.upper / "own", "x", 50)
    found = {shadow.path: shadow for shadow in layers.find()}
    assert {path: (shadow.state, shadow.layer) for path, shadow in found.items()} == {
        "same": (State.SAME, 1),
        "same-time": (State.SAME, 1),
        "changed": (State.CHANGED, 0),
        "outdated": (State.OUTDATED, 1),
    }
    assert found["changed"] == Shadow(
        path="changed",
        layer=0,
        state=State.CHANGED,
        size=1,
        changed_at=50.0,
        original_changed_at=20.0,
        original=(7, 20_000_000_000),
    )


@pytest.mark.parametrize(("at", "state"), [(10, State.CHANGED), (9.999, State.OUTDATED)])
def test_a_copy_that_is_as_old_as_its_original_was_changed_by_the_server(layers: Layers, at: float, state: State):
    write(layers.game / "a", "original", 10)
    write(layers.upper / "a", "own", at)
    assert layers.states() == {"a": state}


def test_what_matters_most_comes_first(layers: Layers):
    for name, text, at in (("b", "own", 5), ("a", "own", 5), ("c", "own", 50), ("d", "original", 50)):
        write(layers.game / name, "original", 10)
        write(layers.upper / name, text, at)
    delete(layers.upper / "gone")
    write(layers.game / "gone", "original", 10)
    (layers.game / "folder").mkdir()
    make_opaque(layers.upper / "folder")
    assert [shadow.path for shadow in layers.find()] == ["a", "b", "folder/", "gone", "c", "d"]


def test_deleted_files_and_folders_are_marked_and_have_no_size(layers: Layers):
    write(layers.game / "cfg/a", "original", 10)
    write(layers.game / "folder/x", "original", 10)
    os.utime(layers.game / "folder", (30, 30))
    delete(layers.upper / "cfg/a")
    delete(layers.upper / "folder")
    deleted, folder = layers.find()
    assert (deleted.path, deleted.state, deleted.size, deleted.original_changed_at) == ("cfg/a", State.DELETED, 0, 10)
    assert (folder.path, folder.state, folder.original_changed_at) == ("folder/", State.DELETED, 30)


def test_a_folder_made_anew_hides_all_that_is_below_it(layers: Layers):
    write(layers.game / "folder/a", "original", 10)
    write(layers.overlay / "folder/b", "original", 10)
    make_opaque(layers.upper / "folder")
    write(layers.upper / "folder/a", "own", 50)
    make_opaque(layers.upper / "own-folder")
    folder, own = layers.find()
    assert (folder.path, folder.state, folder.layer, folder.size) == ("folder/", State.FOLDER, 0, 0)
    assert (own.path, own.state) == ("folder/a", State.CHANGED)


def test_what_is_left_out_and_what_no_layer_has_is_not_told(layers: Layers):
    for name in ("cfg/server.cfg", "cfg/other.cfg", "strange\n"):
        write(layers.game / name, "original", 10)
        write(layers.upper / name, "own", 50)
    # A file in the place of a folder is looked at, a folder in the place of a file is not looked into.
    write(layers.game / "file", "original", 10)
    write(layers.upper / "file/inner", "own", 50)
    write(layers.game / "folder/inner", "original", 10)
    write(layers.upper / "folder", "own", 50)
    assert layers.states(besides={"cfg/server.cfg"}) == {"cfg/other.cfg": State.CHANGED, "folder": State.OUTDATED}


def test_the_version_before_tells_whether_an_update_changed_a_file(layers: Layers):
    names = {
        # of the version before, of the game now, of the server
        "installed-again": ("one", "one", "own"),
        "updated": ("one", "two", "one"),
        "updated-and-changed": ("one", "two", "own"),
    }
    for name, (before, now, own) in names.items():
        write(layers.before / name, before, 10)
        write(layers.game / name, now, 100)
        write(layers.upper / name, own, 50)
    write(layers.game / "new", "two", 100)
    write(layers.upper / "new", "own", 150)
    assert layers.states(previous_game=layers.before) == {
        "installed-again": State.CHANGED,
        "updated": State.OUTDATED,
        "updated-and-changed": State.OUTDATED,
        "new": State.CHANGED,
    }
    os.utime(layers.upper / "updated", (200, 200))
    assert layers.states(previous_game=layers.before)["updated"] is State.OUTDATED, "its content is of before"
    assert layers.states()["updated"] is State.CHANGED
    since = {shadow.path: shadow.original_changed_at for shadow in layers.find(previous_game=layers.before)}
    assert (since["installed-again"], since["updated"]) == (10.0, 100.0)


def test_the_version_before_says_nothing_about_overlays(layers: Layers):
    write(layers.before / "a", "own", 10)
    write(layers.overlay / "a", "two", 100)
    write(layers.upper / "a", "own", 150)
    assert layers.states(previous_game=layers.before) == {"a": State.CHANGED}


def test_a_copy_that_is_wanted_beside_its_original_is_kept_until_that_changes(layers: Layers):
    write(layers.game / "a", "original", 10)
    write(layers.game / "b", "original", 10)
    write(layers.upper / "a", "own", 5)
    write(layers.upper / "b", "own", 5)
    found = layers.find()
    assert copies.keep(layers.directory, found[:1], found=found) == 1
    assert json.loads(layers.directory.kept_file.read_text()) == {"a": [8, 10_000_000_000]}
    kept = layers.directory.read_kept()
    assert layers.states(kept=kept) == {"a": State.KEPT, "b": State.OUTDATED}
    write(layers.game / "a", "original", 11)
    assert layers.states(kept=kept) == {"a": State.OUTDATED, "b": State.OUTDATED}
    # What is not found any more is forgotten.
    copies.keep(layers.directory, found[1:], found=found[1:])
    assert set(layers.directory.read_kept()) == {"b"}


def test_a_version_that_was_installed_again_keeps_what_was_kept(layers: Layers):
    write(layers.before / "a", "original", 10)
    write(layers.game / "a", "original", 100)
    write(layers.upper / "a", "own", 5)
    kept = {"a": (8, 10_000_000_000)}
    assert layers.states(previous_game=layers.before, kept=kept) == {"a": State.KEPT}


def test_times_that_no_calendar_has_are_bounded(layers: Layers):
    write(layers.game / "a", "original", 10)
    os.utime(write(layers.upper / "a", "own", 50), (-5, -5))
    write(layers.game / "b", "original", 10)
    os.utime(write(layers.upper / "b", "own", 50), (10**12, 10**12))
    changed = {shadow.path: shadow.changed_at for shadow in layers.find()}
    assert changed["a"] == 0.0
    assert changed["b"] <= 253_402_300_799.0


@pytest.mark.parametrize(("name", "value", "count"), [("MOST_FOUND", 3, 3), ("_MOST_LOOKED_AT", 4, 4)])
def test_a_game_that_makes_many_files_costs_no_more_than_the_bounds(
    layers: Layers, monkeypatch: pytest.MonkeyPatch, name: str, value: int, count: int
):
    assert (shadows.MOST_FOUND, shadows._MOST_LOOKED_AT) == (10_000, 500_000)
    for number in range(6):
        write(layers.game / str(number), "original", 10)
        write(layers.upper / str(number), "own", 50)
    monkeypatch.setattr(shadows, name, value)
    assert len(layers.find()) == count


@pytest.mark.parametrize(("most", "state"), [(8, State.SAME), (7, State.CHANGED)])
def test_only_so_many_bytes_are_compared(layers: Layers, monkeypatch: pytest.MonkeyPatch, most: int, state: State):
    assert shadows._MOST_COMPARED == 256 * 1024**2
    monkeypatch.setattr(shadows, "_MOST_COMPARED", most)
    write(layers.game / "a", "original", 10)
    write(layers.upper / "a", "original", 50)
    assert layers.states() == {"a": state}


def test_the_bytes_of_all_files_are_counted_together(layers: Layers, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shadows, "_MOST_COMPARED", 15)
    for name in ("a", "b"):
        write(layers.game / name, "original", 10)
        write(layers.upper / name, "original", 50)
    assert sorted(layers.states().values()) == [State.CHANGED, State.SAME]


@pytest.mark.parametrize(("own", "state"), [("x" * 3000, State.SAME), ("x" * 2999 + "y", State.CHANGED)])
def test_files_are_compared_to_their_end(layers: Layers, monkeypatch: pytest.MonkeyPatch, own: str, state: State):
    monkeypatch.setattr(shadows, "_PIECE", 1000)
    write(layers.game / "a", "x" * 3000, 10)
    write(layers.upper / "a", own, 50)
    assert layers.states() == {"a": state}


def test_deep_folders_are_looked_into_to_a_depth(layers: Layers):
    for root in (layers.upper, layers.game):
        for depth in (63, 64):
            write(root.joinpath(*["d"] * depth, "f"), str(root), 10 if root == layers.game else 50)
    assert [shadow.path.count("/") for shadow in layers.find()] == [63]


@pytest.fixture
def changed(layers: Layers) -> Layers:
    """A server with a copy, a mark of deletion and a folder that it made anew."""
    for name in ("cfg/a", "cfg/gone", "folder/x"):
        write(layers.game / name, "original", 10)
    write(layers.upper / "cfg/a", "own", 50)
    (layers.upper / "cfg").chmod(0o750)
    os.chown(layers.upper / "cfg", 64123, 64124)
    delete(layers.upper / "cfg/gone")
    make_opaque(layers.upper / "folder")
    write(layers.upper / "folder/mine", "own", 50)
    return layers


EVERYTHING = ("cfg/a", "cfg/gone", "folder/")


def test_what_is_set_aside_comes_back(changed: Layers):
    assert changed.set_aside(now=1.0) == 0
    assert copies.aside(changed.directory) is None and not changed.directory.aside.exists()
    assert changed.set_aside(*EVERYTHING, now=5.5) == 3
    assert (changed.find(), changed.written(changed.upper)) == ([], {"folder/mine"})
    assert copies.aside(changed.directory) == Aside(3, 5.5)
    cfg = (changed.directory.aside / "5.500000/cfg").stat()
    assert (cfg.st_uid, cfg.st_gid, cfg.st_mode & 0o777) == (64123, 64124, 0o750)
    assert changed.directory.aside.stat().st_mode & 0o777 == 0o700
    assert copies.put_back(changed.directory) == PutBack(3, 0)
    assert set(changed.states()) == set(EVERYTHING)
    assert copies.aside(changed.directory) is None
    assert list(changed.directory.aside.iterdir()) == []
    assert copies.put_back(changed.directory) == PutBack(0, 0)


def test_what_is_in_the_place_again_stays_and_the_copy_waits(changed: Layers):
    changed.set_aside(*EVERYTHING, now=1.0)
    write(changed.upper / "cfg/a", "newer", 60)
    assert copies.put_back(changed.directory) == PutBack(2, 1)
    assert (changed.upper / "cfg/a").read_text() == "newer"
    assert copies.aside(changed.directory) == Aside(1, 1.0)
    (changed.upper / "cfg/a").unlink()
    assert copies.put_back(changed.directory) == PutBack(1, 0)


def test_only_what_was_chosen_is_put_back(changed: Layers):
    changed.set_aside(*EVERYTHING, now=1.0)
    assert copies.put_back(changed.directory, only=["cfg/gone"]) == PutBack(1, 0)
    assert changed.written(changed.upper) == {"cfg/gone", "folder/mine"}
    assert copies.put_back(changed.directory, only=["folder/"]) == PutBack(1, 0)
    assert shadows.is_opaque(os.open(changed.upper / "folder", os.O_RDONLY))
    assert copies.aside(changed.directory) == Aside(1, 1.0)
    assert copies.put_back(changed.directory, only=[]) == PutBack(0, 0)


def test_the_newest_copy_wins_and_folders_are_made_again(layers: Layers):
    for at, text in ((1.0, "older"), (2.0, "newer")):
        write(layers.upper / "deep/folder/a", text, 50)
        layers.set_aside("deep/folder/a", now=at)
    (layers.upper / "deep/folder").rmdir()
    (layers.upper / "deep").rmdir()
    assert copies.aside(layers.directory) == Aside(2, 2.0)
    assert copies.put_back(layers.directory) == PutBack(1, 1)
    assert (layers.upper / "deep/folder/a").read_text() == "newer"
    assert [path.name for path in layers.directory.aside.iterdir()] == ["1.000000"]


def test_a_file_in_the_place_of_a_folder_keeps_all_below_it_aside(layers: Layers):
    write(layers.upper / "folder/a", "own", 50)
    write(layers.upper / "folder/b", "own", 50)
    layers.set_aside("folder/a", "folder/b", now=1.0)
    (layers.upper / "folder").rmdir()
    write(layers.upper / "folder", "a file", 50)
    assert copies.put_back(layers.directory) == PutBack(0, 2)


def test_what_was_set_aside_long_ago_is_forgotten(layers: Layers):
    for at in (1.0, 2.0, 3.0):
        write(layers.upper / "a", "own", 50)
        layers.set_aside("a", now=at)
    assert copies.forget_aside(layers.directory, before=2.0) == 1
    assert copies.aside(layers.directory) == Aside(2, 3.0)
    assert copies.forget_aside(layers.directory, before=2.0) == 0


def aside_names(layers: Layers) -> set[str]:
    return {path.name.partition(".")[0] for path in layers.directory.aside.iterdir()}


def set_aside_often(layers: Layers, times: Iterable[int], size: int) -> None:
    for at in times:
        write(layers.upper / "a", "x" * size, 50)
        layers.set_aside("a", now=float(at))


def test_only_so_many_times_are_kept(layers: Layers, monkeypatch: pytest.MonkeyPatch):
    assert copies.MOST_BATCHES == 20
    monkeypatch.setattr(copies, "MOST_BATCHES", 3)
    set_aside_often(layers, range(1, 6), 1)
    assert aside_names(layers) == {"3", "4", "5"}


@pytest.mark.parametrize(("most", "kept"), [(0, {"3"}), (2, {"2", "3"})])
def test_only_so_many_bytes_are_kept_and_the_newest_always(
    layers: Layers, monkeypatch: pytest.MonkeyPatch, most: int, kept: set[str]
):
    used: Callable[[Path], Any] = copies.used
    set_aside_often(layers, [1], 100_000)
    one = used(layers.directory.aside / "1.000000").size
    monkeypatch.setattr(copies, "MOST_KEPT", most * one)
    set_aside_often(layers, [2, 3], 100_000)
    assert aside_names(layers) == kept
