"""Access below an untrusted directory by handles: whoever opens files there gets nothing from outside of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from left4me.core.files import walk
from left4me.core.files.tree import BadPath, Tree
from left4me.testing.folders import listed
from overlays import links, paths

_CFG = ("left4dead2", "cfg", "server.cfg")


def _read_by_walk(root: Path) -> bytes | None:
    try:
        with walk.open_below(root, _CFG) as stream:
            return stream.read()
    except OSError:
        return None


def _read_by_tree(root: Path) -> bytes | None:
    try:
        with Tree(root) as content, content.open(_CFG) as stream:
            return stream.read()
    except BadPath:
        return None


def _read_as_cfg(root: Path) -> bytes | None:
    text = paths.read_cfg(root)
    return None if text is None else text.encode()


def _list(root: Path) -> bytes | None:
    return b"secret" if "server.cfg" in walk.list_files(root, _CFG[:-1]) else None


Reader = Callable[[Path], bytes | None]
READERS = [_read_by_walk, _read_by_tree, _read_as_cfg, _list]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside/cfg").mkdir(parents=True)
    (tmp_path / "outside/cfg/server.cfg").write_text("secret")
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.mark.parametrize("read", READERS)
def test_a_regular_file_is_read(root: Path, read: Reader) -> None:
    (root / "left4dead2/cfg").mkdir(parents=True)
    (root / "left4dead2/cfg/server.cfg").write_text("secret")
    assert read(root) == b"secret"


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("linked", ["left4dead2", "left4dead2/cfg", "left4dead2/cfg/server.cfg"])
def test_a_link_is_followed_nowhere_on_the_way(root: Path, read: Reader, linked: str) -> None:
    outside = {"left4dead2": ".", "left4dead2/cfg": "cfg", "left4dead2/cfg/server.cfg": "cfg/server.cfg"}
    (root / linked).parent.mkdir(parents=True, exist_ok=True)
    (root / linked).symlink_to(root.parent / "outside" / outside[linked])
    assert read(root) is None


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_neither_blocks_nor_is_read(root: Path, read: Reader, make) -> None:
    (root / "left4dead2/cfg").mkdir(parents=True)
    make(root / "left4dead2/cfg/server.cfg")
    assert read(root) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_a_component_is_one_name(root: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError), walk.folder(root, (name,), make=0o755):
        pass
    with pytest.raises(FileNotFoundError):
        walk.open_below(root, ("a", name))


@pytest.mark.parametrize("linked", ["left4dead2", "left4dead2/addons"])
def test_directories_are_created_behind_no_link(root: Path, linked: str) -> None:
    outside = root.parent / "outside"
    (root / linked).parent.mkdir(exist_ok=True)
    (root / linked).symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        links.reconcile(root, targets={"1.vpk": "/cache/1.vpk"}, cache=Path("/cache"))
    with pytest.raises(NotADirectoryError), walk.folder(root, ("left4dead2", "addons", "x"), make=0o755):
        pass
    with Tree(root) as content, pytest.raises(BadPath):
        content.add_link(("left4dead2", "addons", "x"), "y")
    assert listed(outside) == ["cfg"]


def test_all_entries_are_listed_in_order_and_links_are_not_entered(root: Path) -> None:
    (root / "b").mkdir()
    (root / "b/file").write_text("1")
    (root / "a").symlink_to(root.parent / "outside")
    (root / ".left4me-unfinished").mkdir()
    (root / ".left4me-unfinished/file").write_text("1")
    found = [(path, target) for path, _status, target in walk.entries(root, skip_prefix=".left4me-")]
    assert found == [("a", str(root.parent / "outside")), ("b", ""), ("b/file", "")]


def test_a_new_file_is_written_through_no_link(root: Path) -> None:
    (root / "new").symlink_to(root.parent / "outside/cfg/server.cfg")
    with walk.folder(root, ()) as handle, pytest.raises(FileExistsError):
        walk.create_file("new", 0o600, at=handle)


@pytest.mark.parametrize(
    ("target", "expected"),
    [("../b", False), ("../../b", True), ("/etc/passwd", True), ("b/../../../c", True), ("b/../c", False)],
)
def test_a_link_that_points_out_of_its_tree_is_known(target: str, *, expected: bool) -> None:
    assert walk.leads_out(("folder", "link"), target) is expected
