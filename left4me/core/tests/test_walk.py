"""What is below a directory whose content nobody trusts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from left4me.core.files import walk
from left4me.testing.folders import count_handles, listed


def test_entries_are_sorted_and_those_with_the_prefix_left_out_with_all_below(tmp_path: Path):
    for name in ("b/two", "b/one", "a/.tmp-file", ".tmp-folder/inside", "last"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "link").symlink_to("../b/one")
    (tmp_path / "a" / "to-folder").symlink_to("../b")
    found = {path: target for path, _status, target in walk.entries(tmp_path, skip_prefix=".tmp-")}
    assert found == {
        "a": "",
        "b": "",
        "last": "",
        "a/to-folder": "../b",
        "a/link": "../b/one",
        "b/one": "",
        "b/two": "",
    }
    assert list(found) == ["a", "b", "last", "a/to-folder", "a/link", "b/one", "b/two"]


def test_what_vanishes_while_it_is_listed_has_no_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "gone").touch()
    (tmp_path / "stays").touch()
    look = os.stat

    def vanished(path, **where):
        if path == "gone":
            raise FileNotFoundError(path)
        return look(path, **where)

    monkeypatch.setattr(os, "stat", vanished)
    found = {path: status is None for path, status, _target in walk.entries(tmp_path, skip_prefix=".")}
    assert found == {"gone": True, "stays": False}


@pytest.mark.parametrize(
    ("path", "target", "leads_out"),
    [
        ("a/link", "b", False),
        ("a/link", "../b", False),
        ("a/link", "../../b", True),
        ("link", "..", True),
        ("link", "/etc/passwd", True),
        ("a/b/link", "../../c/../d", False),
        ("a/b/link", "../../c/../../d", True),
    ],
)
def test_a_link_leads_out_when_its_target_is_absolute_or_above(path: str, target: str, leads_out: bool):
    assert walk.leads_out(path.split("/"), target) is leads_out


def test_a_hard_link_never_names_what_a_link_points_to_even_one_that_appears_after_the_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "file").touch()
    look = walk.status

    def look_and_swap(name, **where):
        found = look(name, **where)
        (inside / "file").unlink()
        (inside / "file").symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(walk, "status", look_and_swap)
    with walk.folder(inside, []) as at:
        walk.make_hard_link("file", at=at, name="second", to=at)
    assert (inside / "second").is_symlink()
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_only_regular_files_get_a_second_name(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    os.mkfifo(tmp_path / "pipe")
    with walk.folder(tmp_path, []) as at:
        for name in ("folder", "link", "pipe", "missing"):
            with pytest.raises(walk.NotRegular):
                walk.make_hard_link(name, at=at, name="second", to=at)
    assert not os.path.lexists(tmp_path / "second")


@pytest.fixture
def at(tmp_path: Path):
    """A handle on a directory with a file, a folder, a link to each and a pipe."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "inside").write_text("inside")
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "to-folder").symlink_to("folder")
    (tmp_path / "to-nothing").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    with walk.folder(tmp_path, []) as handle:
        yield handle


def test_a_folder_is_reached_by_its_parts_and_never_by_a_link(tmp_path: Path, at: int):
    before = count_handles()
    for root in (tmp_path, at):
        with walk.folder(root, ["folder", "below"]) as handle:
            assert os.fstat(handle).st_ino == (tmp_path / "folder" / "below").stat().st_ino
        for parts in (["to-folder"], ["to-folder", "below"], ["file"], ["folder", "none"], [".."], ["folder/below"]):
            with pytest.raises(OSError, match=r".+"), walk.folder(root, parts):
                pass
    assert count_handles() == before, "every handle on the way is closed, and that of the caller is not"
    os.fstat(at)


def test_the_root_itself_may_be_a_link(tmp_path: Path, at: int):
    with walk.folder(tmp_path / "to-folder", ["below"]) as handle:
        assert os.fstat(handle).st_ino == (tmp_path / "folder" / "below").stat().st_ino


def test_folders_on_the_way_are_made_with_a_mode_when_wanted(tmp_path: Path, at: int):
    before = os.umask(0)
    try:
        with walk.folder(tmp_path, ["folder", "new", "deep"], make=0o751):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("folder/new", "folder/new/deep")] == [0o751] * 2
    for name in ("", ".", "..", "a/b", "a\0b"):
        with pytest.raises(FileNotFoundError, match="is not a file name"), walk.folder(tmp_path, [name], make=0o755):
            pass
    assert not (tmp_path / "new").exists()


def test_only_regular_files_are_opened(tmp_path: Path, at: int):
    before = count_handles()
    for name in ("pipe", "folder"):
        with pytest.raises(walk.NotRegular, match=f"{name} is not a regular file"):
            walk.open_file(name, at=at)
    for name in ("to-file", "none", "", "folder/inside"):
        with pytest.raises(OSError, match=r".+"):
            walk.open_file(name, at=at)
    assert count_handles() == before
    for opened in (walk.open_file("file", at=at), walk.open_file(tmp_path / "file")):
        with opened:
            assert opened.read() == b"content"
    (tmp_path / "folder" / "below" / "deep").write_text("deep")
    for parts, content in (
        (["file"], b"content"),
        (["folder", "inside"], b"inside"),
        (["folder", "below", "deep"], b"deep"),
    ):
        with walk.open_below(tmp_path, parts) as opened:
            assert opened.read() == content
    with pytest.raises(OSError, match=r".+"):
        walk.open_below(tmp_path, ["to-folder", "inside"])
    os.close(walk.open_folder("folder", at=at))
    os.close(walk.open_folder(tmp_path / "folder"))
    for name, where in (("to-folder", at), ("folder/below", at), (tmp_path / "to-folder", None)):
        with pytest.raises(OSError, match=r".+"):
            walk.open_folder(name, at=where)


def test_a_new_file_takes_no_name_that_is_there(tmp_path: Path, at: int):
    with walk.create_file("new", 0o640, at=at) as stream:
        stream.write(b"1")
    assert ((tmp_path / "new").read_text(), (tmp_path / "new").stat().st_mode & 0o777) == ("1", 0o640)
    for name in ("file", "to-nothing"):
        with pytest.raises(FileExistsError):
            walk.create_file(name, 0o640, at=at)
    with pytest.raises(FileNotFoundError, match="is not a file name"):
        walk.create_file("folder/x", 0o640, at=at)


def test_a_directory_is_listed_as_its_entries_are(tmp_path: Path, at: int):
    found = dict(walk.scan(at))
    assert set(found) == {"file", "folder", "to-file", "to-folder", "to-nothing", "pipe"}
    assert stat.S_ISLNK(found["to-file"].st_mode)
    assert found["file"].st_size == 7
    assert dict(walk.links(at)) == {
        "file": None,
        "folder": None,
        "pipe": None,
        "to-file": "file",
        "to-folder": "folder",
        "to-nothing": "nothing",
    }
    assert {name: status.st_size for name, status in walk.list_files(tmp_path, []).items()} == {"file": 7}
    assert set(walk.list_files(tmp_path, ["folder"])) == {"inside"}
    for parts in (["none"], ["to-folder"], ["file"]):
        assert walk.list_files(tmp_path, parts) == {}


def test_what_vanishes_while_a_directory_is_scanned_is_left_out(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).touch()
    with walk.folder(tmp_path, []) as handle:
        found = walk.scan(handle)
        names = {next(found)[0]}
        (tmp_path / ("b" if names == {"a"} else "a")).unlink()
        names |= {name for name, _status in found}
    assert len(names) == 1


def test_the_status_is_that_of_the_entry_itself(at: int):
    found = walk.status("to-nothing", at=at)
    assert found is not None
    assert stat.S_ISLNK(found.st_mode)
    assert walk.status("nothing", at=at) is None
    assert walk.target("to-nothing", at=at) == "nothing"
    with pytest.raises(OSError, match="Invalid argument"):
        walk.target("file", at=at)


def test_what_is_removed_is_the_entry_itself(tmp_path: Path, at: int):
    walk.unlink("to-file", at=at)
    with pytest.raises(OSError, match="folder"):
        walk.unlink("folder", at=at)
    for name in ("none", ".", "folder/inside"):
        with pytest.raises(FileNotFoundError):
            walk.unlink(name, at=at)
    walk.delete("to-folder", at=at)
    walk.delete("none", at=at)
    assert listed(tmp_path) == ["file", "folder", "pipe", "to-nothing"]
    assert listed(tmp_path / "folder") == ["below", "inside"]
    walk.delete("folder", at=at)
    assert listed(tmp_path) == ["file", "pipe", "to-nothing"]


@pytest.mark.parametrize(("depth", "is_removed"), [(128, True), (129, False)])
def test_a_tree_is_removed_to_a_depth(tmp_path: Path, at: int, depth: int, is_removed: bool):
    # The depth counts from the root of the tree, not from the entry that is removed.
    (tmp_path / "deep" / "er").mkdir(parents=True)
    if is_removed:
        walk.delete("deep", at=at, depth=depth - 1)
    else:
        with pytest.raises(walk.TooDeep):
            walk.delete("deep", at=at, depth=depth - 1)
    assert (tmp_path / "deep").exists() is not is_removed


def test_an_entry_is_moved_into_another_directory(tmp_path: Path, at: int):
    with walk.folder(tmp_path, ["folder"]) as to:
        walk.move("to-file", at=at, to=to)
        walk.move("file", at=at, to=to, new_name="inside")
        for name, new_name in (("folder/inside", None), ("pipe", "../x")):
            with pytest.raises(FileNotFoundError, match="is not a file name"):
                walk.move(name, at=at, to=to, new_name=new_name)
    assert (tmp_path / "folder" / "inside").read_text() == "content"
    assert listed(tmp_path / "folder") == ["below", "inside", "to-file"]


def test_modes_owners_and_links_are_given_to_the_entry_itself(tmp_path: Path, at: int):
    (tmp_path / "file").chmod(0o600)
    walk.add_mode("file", 0o640, at=at)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o640
    made_at = (tmp_path / "file").stat().st_ctime_ns
    walk.add_mode("file", 0o200, at=at)
    assert (tmp_path / "file").stat().st_ctime_ns == made_at, "what has the bits is left alone"
    walk.add_mode("to-file", 0o222, at=at)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640, "what a link leads to is left alone"
    walk.give("to-nothing", (os.getuid(), os.getgid()), at=at)
    walk.make_link("fresh", "file", at=at)
    assert (tmp_path / "fresh").readlink() == Path("file")
    with pytest.raises(FileExistsError):
        walk.make_link("file", "x", at=at)
    walk.make_hard_link("file", at=at, name="second", to=at)
    assert (tmp_path / "file").stat().st_nlink == 2
    for name in ("folder/x", ".."):
        with pytest.raises(FileNotFoundError, match="is not a file name"):
            walk.make_link(name, "file", at=at)
        with pytest.raises(FileNotFoundError, match="is not a file name"):
            walk.give(name, (0, 0), at=at)
    assert walk.is_readable("file", at=at)
    assert walk.is_readable("to-file", at=at)
    assert not walk.is_readable("to-nothing", at=at)


def test_what_is_readable_counts_for_the_user_that_the_process_acts_as(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda *what, **how: (what, how))
    assert walk.is_readable("file", at=3) == (("file", os.R_OK), {"dir_fd": 3, "effective_ids": True})


def test_the_mark_of_a_deleted_file_is_a_device_of_number_zero(monkeypatch: pytest.MonkeyPatch):
    made = []
    monkeypatch.setattr(os, "mknod", lambda *what, **where: made.append((what, where)))
    walk.mark_deleted("gone", at=3)
    assert made == [(("gone", stat.S_IFCHR, 0), {"dir_fd": 3})]
    null = Path("/dev/null").stat()
    values = list(null)
    assert not walk.is_deletion_mark(null), "a device, but not of number zero"
    mark = os.stat_result([*values[:10]], {"st_rdev": 0})
    assert walk.is_deletion_mark(mark)
    assert not walk.is_deletion_mark(Path(__file__).stat())
