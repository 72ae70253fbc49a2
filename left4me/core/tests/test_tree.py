"""The tree of an overlay: nothing outside of it is touched, whatever lies in it."""

from __future__ import annotations

import errno
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from left4me.core.files import tree, walk
from left4me.core.files.tree import BadPath, Tree
from left4me.testing.folders import count_handles, listed


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
    with pytest.raises(BadPath, match=r"too (long|deep)|too many folders"):
        tree.parts(path)


@pytest.mark.parametrize(
    "path", ["x" * 240, "é" * 120, "/".join("a" * 32), "/".join(["a" * 199] * 5) + "x", "ab:", "a:b/c", "a/b:", " c:"]
)
def test_a_path_at_the_limit_is_accepted(path):
    assert "/".join(tree.parts(path)) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/" + "x" * 241, "“xxx.*x…” is too long"),
        ("é" * 121, "is too long"),
        ("/".join("a" * 33), "too many folders"),
        ("/".join(["a" * 199] * 5) + "//", "too long or has too many folders"),
        ("/".join(["a" * 199] * 5) + "xxx", "too long or has too many folders"),
        ("a\ud83d", "is not a valid file name"),
        ("a/..", "“..” is not a valid file name"),
        ("\\a", "must be inside the overlay"),
        ("c:", "must be inside the overlay"),
    ],
)
def test_a_path_beyond_the_limit_is_refused_with_the_reason(path, reason):
    with pytest.raises(BadPath, match=reason):
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


def test_a_missing_root_is_made_and_its_handle_closed(tmp_path):
    before = count_handles()
    with Tree(tmp_path / "not" / "yet" / "there") as content:
        content.make_folder(("a", "b"))
    with Tree(tmp_path / "not" / "yet" / "there") as content:
        assert content.node(("a", "b")).is_folder
    assert count_handles() == before


def test_a_folder_is_listed_folders_first_and_then_as_people_sort(root):
    for name in ("b10", "B9", "z"):
        (root / name).mkdir()
    for name in ("a10.txt", "a9.txt", ".left4me-unfinished"):
        (root / name).write_text("four")
    (root / "link").symlink_to("z")
    with Tree(root) as content:
        nodes = content.list(())
    assert [node.name for node in nodes] == ["B9", "b10", "z", "a9.txt", "a10.txt", "link"]
    assert [(node.is_folder, node.is_link, node.size) for node in nodes[2:5]] == [
        (True, False, 0),
        (False, False, 4),
        (False, False, 4),
    ]
    assert (nodes[5].is_folder, nodes[5].is_link) == (False, True)
    assert nodes[3].modified == (root / "a9.txt").stat().st_mtime


def test_modes_are_as_asked_or_usual(root):
    finished = root.parent / "finished"
    with Tree(root) as content:
        for where, how in ((("a.txt",), {}), (("cfg", "b.txt"), {"mode": 0o755})):
            with content.writing(where, **how) as stream:
                stream.write(b"1")
            finished.write_text("2")
            content.take(finished, ("taken", *where), **how)
    modes = {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in root.rglob("*")}
    expected = {"a.txt": 0o644, "cfg": 0o755, "cfg/b.txt": 0o755}
    assert modes == expected | {"taken": 0o755} | {f"taken/{name}": mode for name, mode in expected.items()}
    assert not finished.exists()


def test_a_file_never_takes_the_place_of_a_folder(root):
    (root / "a" / "b").mkdir(parents=True)
    source = root.parent / "source"
    source.write_text("x")
    with Tree(root) as content:
        for where in (("a",), ("a", "b")):
            with pytest.raises(BadPath, match=f"“{where[-1]}” is a folder"), content.writing(where):
                pass
            with pytest.raises(BadPath, match=f"“{where[-1]}” is a folder"):
                content.take(source, where)
        with pytest.raises(BadPath, match="Enter a file name"), content.writing(()):
            pass
    assert source.exists()


@pytest.mark.parametrize(("mode", "names"), [(0o640, 2), (0o644, 1)])
def test_a_shared_file_is_the_same_one_unless_it_needs_another_mode(root, mode, names):
    source = root.parent / "source"
    source.write_text("shared")
    source.chmod(0o640)
    with Tree(root) as content:
        content.share(source, ("a", "b", "name"), mode=mode)
        content.add_link(("a", "c", "link"), "../b/name")
        assert content.link_target(("a", "c", "link")) == "../b/name"
        assert content.link_target(("a", "b", "name")) == ""
        with pytest.raises(FileExistsError):
            content.add_link(("a", "c", "link"), "x")
    shared = root / "a" / "b" / "name"
    assert (shared.read_text(), shared.stat().st_mode & 0o777, source.stat().st_nlink) == ("shared", mode, names)


def test_a_shared_file_is_copied_where_it_cannot_have_another_name(root, monkeypatch):
    source = root.parent / "source"
    source.write_text("shared")

    def refuse(*_what, **_where):
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(os, "link", refuse)
    with Tree(root) as content:
        content.share(source, ("name",), mode=source.stat().st_mode & 0o777)
    assert ((root / "name").read_text(), source.stat().st_nlink) == ("shared", 1)


def test_what_is_not_there_is_named(root):
    (root / "a").mkdir()
    (root / "a" / "file").write_text("x")
    (root / "a" / "pipe").touch()
    with Tree(root) as content:
        assert content.node(("a", "file")).size == 1
        content.make_folder(("a", "b", "c"))
        assert content.node(("a", "b", "c")).is_folder
        for act, words in (
            (lambda: content.node(("a", "none")), "“a/none” no longer exists"),
            (lambda: content.node(()), "“” no longer exists"),
            (lambda: content.open(("a", "none")), "The file “a/none” does not exist"),
            (lambda: content.open(()), "The file “” does not exist"),
            (lambda: content.open(("a",)), "“a” is not a regular file"),
            (lambda: content.list(("a", "file", "x")), "The folder “a/file/x” does not exist"),
            (lambda: content.list(("none",)), "The folder “none” does not exist"),
            (lambda: content.rename(("a", "none"), ("b",)), "“a/none” no longer exists"),
            (lambda: content.rename(("a", "file"), ("a", "pipe")), "“a/pipe” already exists"),
            (lambda: content.delete(()), "top folder can't be removed"),
        ):
            with pytest.raises(BadPath, match=words):
                act()


def test_a_folder_that_nobody_may_enter_is_as_one_that_is_not_there(root, monkeypatch):
    def refuse(*_where, **_how):
        raise PermissionError

    with Tree(root) as content:
        monkeypatch.setattr(walk, "open_folder", refuse)
        with pytest.raises(BadPath, match="The folder “a” does not exist"):
            content.list(("a",))


def test_an_entry_moves_into_another_tree_even_under_its_own_path(root, tmp_path):
    (root / "a").mkdir()
    (root / "a" / "file").write_text("x")
    with Tree(root) as content, Tree(tmp_path / "other") as other:
        content.rename(("a",), ("a",), into=other)
        assert other.measure() == (1, 1)
        assert content.measure() == (0, 0)
        other.rename(("a", "file"), ("ab",))
        assert sorted(node.name for node in other.list(())) == ["a", "ab"]
        other.rename(("a",), ("b", "c"))
        assert listed(tmp_path / "other") == ["ab", "b"]


def test_a_tree_is_measured_and_walked_to_a_depth(root):
    deep = root.joinpath(*(["d"] * 32))
    deep.mkdir(parents=True)
    (root / "a.txt").write_text("123")
    (deep.parent / "at-31").write_text("12345")
    (deep / "at-32").write_text("1")
    (deep / "folder").mkdir()
    (deep / "folder" / "deeper").write_text("unseen")
    (root / "d" / "link").symlink_to("x")
    with Tree(root) as content:
        assert content.measure() == (4, 3 + 5 + 1 + 1)
        assert content.measure(("d",)) == (3, 5 + 1 + 1)
        assert {where[-1]: len(where) for where, _node in content.walk()} == {
            "a.txt": 1,
            "link": 2,
            "at-31": 32,
            "at-32": 33,
        }


def test_a_folder_that_is_too_deep_to_be_removed_says_so(root):
    (root / "a").mkdir()

    def refuse(*_what, **_where):
        raise walk.TooDeep

    with Tree(root) as content, pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "delete", refuse)
        with pytest.raises(BadPath, match="too many levels"):
            content.delete(("a",))


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
