"""The tree of an overlay: nothing outside of it is touched, whatever lies in it."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from left4me.core.files import tree
from left4me.core.files.tree import BadPath, Tree
from left4me.testing.folders import listed


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "overlay"
    folder.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("hidden")
    return folder


def names(root, where=()):
    with Tree(root) as content:
        return [node.name for node in content.list(where)]


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/passwd", "\\\\host\\share", "c:/windows", "a\0b", "a\nb", "..\\x", ".left4me-x"],
)
def test_a_path_that_leads_elsewhere_is_refused(path):
    with pytest.raises(BadPath):
        tree.parts(path)


@pytest.mark.parametrize("path", ["x" * 300, "/".join("a" * 40), "é" * 200])
def test_a_path_that_is_too_long_or_deep_is_refused(path):
    with pytest.raises(BadPath):
        tree.parts(path)


def test_separators_of_either_kind_and_empty_parts_are_understood():
    assert tree.parts("left4dead2\\cfg//./server.cfg") == ("left4dead2", "cfg", "server.cfg")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_no_accepted_path_leaves_the_tree(path):
    try:
        found = tree.parts(path)
    except BadPath:
        return
    assert not any(part in ("", ".", "..") or "/" in part or "\\" in part or "\0" in part for part in found)


def test_a_file_is_written_whole_read_renamed_and_deleted(root):
    with Tree(root) as content:
        with content.writing(("a", "b.txt")) as stream:
            stream.write(b"1")
        with content.open(("a", "b.txt")) as stream:
            assert stream.read() == b"1"
        content.rename(("a", "b.txt"), ("c", "d.txt"))
        assert content.measure() == (1, 1)
        content.delete(("c",))
        assert content.measure() == (0, 0)


def test_a_write_that_fails_leaves_the_old_file(root):
    (root / "a.txt").write_text("old")
    with Tree(root) as content, pytest.raises(RuntimeError), content.writing(("a.txt",)) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert (root / "a.txt").read_text() == "old"
    assert listed(root) == ["a.txt"]


@pytest.mark.parametrize("link", ["folder", "file"])
def test_links_are_seen_and_never_followed(root, tmp_path, link):
    secret = tmp_path / "secret"
    (root / "link").symlink_to(secret if link == "folder" else secret / "key")
    inside = ("link", "key") if link == "folder" else ("link",)
    with Tree(root) as content:
        assert content.list(())[0].is_link
        with pytest.raises(BadPath):
            content.open(inside)
        if link == "folder":
            for act in (
                lambda: content.list(("link",)),
                lambda: content.make_folder(("link", "new")),
                lambda: content.rename(inside, ("mine",)),
                lambda: content.delete(inside),
            ):
                with pytest.raises(BadPath):
                    act()
        content.delete(("link",))
    assert (secret / "key").read_text() == "hidden"
    assert listed(secret) == ["key"]


def test_a_write_over_a_link_replaces_the_link(root, tmp_path):
    (root / "link").symlink_to(tmp_path / "secret" / "key")
    with Tree(root) as content, content.writing(("link",)) as stream:
        stream.write(b"mine")
    assert (tmp_path / "secret" / "key").read_text() == "hidden"
    assert (root / "link").read_text() == "mine"


def test_deleting_a_folder_removes_links_in_it_and_not_what_they_lead_to(root, tmp_path):
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "link").symlink_to(tmp_path / "secret")
    with Tree(root) as content:
        content.delete(("a",))
    assert names(root) == []
    assert (tmp_path / "secret" / "key").exists()


def test_a_pipe_does_not_hold_the_reader(root):
    os.mkfifo(root / "pipe")
    with Tree(root) as content, pytest.raises(BadPath):
        content.open(("pipe",))


@pytest.mark.parametrize(("old", "new"), [(("a",), ("b",)), (("a",), ("a", "x")), ((), ("x",)), (("none",), ("x",))])
def test_a_rename_that_cannot_be_says_so(root, old, new):
    (root / "a").mkdir()
    (root / "b").mkdir()
    with Tree(root) as content, pytest.raises(BadPath):
        content.rename(old, new)


def test_a_tree_that_is_changed_while_it_is_used_never_leads_out(root, tmp_path):
    """Somebody keeps exchanging a folder for a link to a secret one; no write ever lands there."""
    secret = tmp_path / "secret"
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            (root / "door").mkdir(exist_ok=True)
            for name in listed(root / "door"):
                (root / "door" / name).unlink(missing_ok=True)
            try:
                (root / "door").rmdir()
                (root / "door").symlink_to(secret)
                (root / "door").unlink()
            except OSError:
                continue

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        with Tree(root) as content:
            for _ in range(500):
                try:
                    with content.writing(("door", "planted")) as stream:
                        stream.write(b"x")
                    content.delete(("door", "key"))
                except (BadPath, OSError):
                    continue
    finally:
        stop.set()
        swapper.join()
    assert listed(secret) == ["key"]
