import os
import signal
import stat
import tarfile
import threading
from pathlib import Path

import pytest

from deploy.ops import archive
from left4me.core.processes import commands, identity

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a backup is made and restored by root")

OURS = (1234, 5678)


class Everything:
    def __contains__(self, part: object) -> bool:
        return True


def written(path, *trees, skip=lambda _: False):
    """An archive of `trees`; returns what was skipped."""
    with path.open("w+b") as file:
        writer = archive.Writer(file)
        for tree in trees:
            writer.add_tree(tree, tree.name, skip=skip)
        writer.finish({"release": "20260101-abc"})
    return writer.skipped


def restored(path, target):
    target.mkdir(mode=0o700)
    with path.open("rb") as file:
        archive.verify(file, archive.read_manifest(file))
        archive.extract(file, target, parts=Everything())
    return target


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def restored_without_root(path, target):
    """Unpacked by a user who could not open the archive, as the application unpacks trees."""
    target.mkdir(mode=0o700)
    os.chown(target, *OURS)
    with path.open("rb") as file:
        identity.run_as(
            identity.Identity(*OURS, groups=()),
            lambda: archive.extract(file, target, parts={"upper"}),
            keep=[file.fileno()],
        )
    return target


def there_and_back(tmp_path, tree):
    written(tmp_path / "a.tar", tree)
    return restored(tmp_path / "a.tar", tmp_path / "back") / tree.name


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "upper").mkdir()
    return tmp_path / "upper"


def test_files_directories_links_and_their_times_come_back(tmp_path, open_path, tree):
    (tree / "empty").mkdir(mode=0o750)
    (tree / "closed").mkdir()
    (tree / "closed/file").write_text("")
    (tree / "closed").chmod(0o550)
    (tree / "file").write_bytes(b"x" * 3_000_001)
    (tree / "file").chmod(0o640)
    os.utime(tree / "file", (1_700_000_000.25, 1_700_000_000.25))
    (tree / "link").symlink_to("/nowhere/at all")
    written(tmp_path / "a.tar", tree)
    back = restored_without_root(tmp_path / "a.tar", open_path / "back") / tree.name
    assert (back / "file").read_bytes() == (tree / "file").read_bytes()
    assert (back / "file").stat().st_mtime == 1_700_000_000.25
    assert stat.S_IMODE((back / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((back / "empty").stat().st_mode) == 0o750
    assert stat.S_IMODE((back / "closed").stat().st_mode) == 0o550
    assert str((back / "link").readlink()) == "/nowhere/at all"
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in back.rglob("*")} == {OURS}


def test_what_the_kernel_notes_in_a_writable_layer_comes_back(tmp_path, open_path, tree):
    os.mknod(tree / "deleted", stat.S_IFCHR, os.makedev(0, 0))
    (tree / "opaque").mkdir()
    os.setxattr(tree / "opaque", "user.overlay.opaque", b"y")
    (tree / "moved").write_text("")
    os.setxattr(tree / "moved", "user.overlay.redirect", b"/a=b%20\xff\0\n9 ")
    os.setxattr(tree / "moved", "user.overlay.origin", b"\0\xfb\x1d")
    written(tmp_path / "a.tar", tree)
    back = restored_without_root(tmp_path / "a.tar", open_path / "back") / tree.name
    seen = (back / "deleted").lstat()
    assert stat.S_ISCHR(seen.st_mode) and seen.st_rdev == 0 and (seen.st_uid, seen.st_gid) == OURS
    assert os.getxattr(back / "opaque", "user.overlay.opaque") == b"y"
    assert os.getxattr(back / "moved", "user.overlay.redirect") == b"/a=b%20\xff\0\n9 "
    # The handle of a file on another disk would be worse than none.
    assert "user.overlay.origin" not in os.listxattr(back / "moved")


def test_names_need_not_be_text(tmp_path, tree):
    names = [b"caf\xe9", b"new\nline", "größe".encode(), b"x" * 250, b"9 path=../../x\n"]
    for name in names:
        (tree / os.fsdecode(name.replace(b"/", b"_"))).write_bytes(b"1")
    back = there_and_back(tmp_path, tree)
    assert names_in(back) == names_in(tree)


def test_no_file_comes_back_with_the_rights_of_another_user(tmp_path, tree):
    (tree / "program").write_text("")
    (tree / "program").chmod(0o6755)
    assert stat.S_IMODE((there_and_back(tmp_path, tree) / "program").stat().st_mode) == 0o755


def test_devices_pipes_and_sockets_are_left_out_and_named(tmp_path, tree):
    os.mkfifo(tree / "pipe")
    os.mknod(tree / "disk", stat.S_IFBLK, os.makedev(254, 0))
    (tree / "file").write_text("kept")
    skipped = written(tmp_path / "a.tar", tree)
    assert skipped.count == 2
    assert {name.partition(":")[0] for name in skipped.names} == {"upper/pipe", "upper/disk"}
    assert names_in(restored(tmp_path / "a.tar", tmp_path / "back") / "upper") == ["file"]


def test_a_file_of_holes_does_not_fill_the_disk(tmp_path, tree):
    with (tree / "holes").open("wb") as file:
        file.truncate(10 * 1024**4)
    skipped = written(tmp_path / "a.tar", tree)
    assert "mostly holes" in skipped.names[0]
    assert (tmp_path / "a.tar").stat().st_size < 1024**2


def test_a_tree_deeper_than_any_of_ours_is_cut_and_named(tmp_path, tree):
    here = os.open(tree, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (tree / "file").write_text("kept")
    skipped = written(tmp_path / "a.tar", tree)
    # pytest would remove its directories by a recursion that does not reach so deep.
    commands.run(["rm", "-rf", tree], timeout=60)
    assert [name.endswith("too deep") for name in skipped.names] == [True]
    assert (restored(tmp_path / "a.tar", tmp_path / "back") / "upper/file").read_text() == "kept"


def test_no_link_leads_out_of_the_tree_however_often_it_is_exchanged(tmp_path, tree):
    """A game that exchanges a directory of its own for a link to another one, again and again, gains nothing."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("the secret key")
    (tree / "a").mkdir()
    (tree / "a" / "key").write_text("harmless")
    (tree / "b").symlink_to(secret)
    # A process of its own: a thread would take turns with us, and never come between two steps.
    game = os.fork()
    if game == 0:
        os.chdir(tree)
        while True:
            for source, target in (("a", "c"), ("b", "a"), ("c", "b")):
                os.rename(source, target)  # noqa: PTH104 -- a Path object takes longer than the rename
    try:
        for number in range(1000):
            written(tmp_path / "a.tar", tree)
            assert b"the secret key" not in (tmp_path / "a.tar").read_bytes(), number
    finally:
        os.kill(game, signal.SIGKILL)
        os.waitpid(game, 0)


def test_files_that_grow_shrink_and_vanish_leave_a_whole_archive(tmp_path, tree):
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            path = tree / f"{number % 50}.log"
            path.write_bytes(b"line\n" * (number * 37 % 5000))
            if number % 3 == 0:
                path.unlink()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(40):
            written(tmp_path / "a.tar", tree)
            restored(tmp_path / "a.tar", tmp_path / f"back{number}")
    finally:
        stop.set()
        thread.join()


def test_a_damaged_or_cut_archive_is_refused(tmp_path, tree):
    (tree / "file").write_bytes(os.urandom(100_000))
    written(tmp_path / "a.tar", tree)
    whole = (tmp_path / "a.tar").read_bytes()
    for name, data in {
        "cut": whole[:-512],
        "damaged": whole[:300_000] + bytes([whole[300_000] ^ 1]) + whole[300_001:],
        "longer": whole + b"\0",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(archive.BadArchive):
            restored(tmp_path / name, tmp_path / f"to-{name}")


def test_an_archive_that_was_never_finished_is_refused(tmp_path, tree):
    with (tmp_path / "a.tar").open("w+b") as file:
        archive.Writer(file).add_tree(tree, "upper")
    with (tmp_path / "a.tar").open("rb") as file, pytest.raises(archive.BadArchive, match="is incomplete"):
        archive.read_manifest(file)


@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 600_000])
def test_any_other_file_is_refused(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    with (tmp_path / "a.tar").open("rb") as file, pytest.raises(archive.BadArchive):
        archive.read_manifest(file)


def crafted(path, *members):
    """An archive that no writer of ours would make, with the right checksum."""
    with path.open("w+b") as file:
        writer = archive.Writer(file)
        for info in members:
            writer._tar.addfile(info)
        writer.finish({})
    return path


def member(name, kind=tarfile.REGTYPE, **attributes):
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("/outside")],
        [member("a/../../outside")],
        [member("a//b")],
        [member("link", tarfile.SYMTYPE, linkname=".."), member("link/outside")],
        [member("link", tarfile.SYMTYPE, linkname="../outside"), member("link")],
        [member("twice"), member("twice")],
        [member("hard", tarfile.LNKTYPE, linkname="../../etc/passwd")],
        [member("disk", tarfile.BLKTYPE, devmajor=254, devminor=0)],
        [member("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
        [member("pipe", tarfile.FIFOTYPE)],
    ],
    ids=lambda members: members[-1].name,
)
def test_nothing_of_a_crafted_archive_lands_outside(tmp_path, members):
    crafted(tmp_path / "a.tar", *members)
    with pytest.raises(archive.BadArchive):
        restored(tmp_path / "a.tar", tmp_path / "to")
    assert names_in(tmp_path) == ["a.tar", "to"]


def test_a_tree_has_so_many_levels_and_a_path_so_many_letters(tmp_path, tree, monkeypatch):
    tree.joinpath(*["d"] * 64).mkdir(parents=True)
    assert written(tmp_path / "a.tar", tree).count == 0
    assert len(list(restored(tmp_path / "a.tar", tmp_path / "back").rglob("d"))) == 64
    tree.joinpath(*["d"] * 65).mkdir()
    skipped = written(tmp_path / "a.tar", tree)
    assert skipped.names == ["/".join(["upper"] + ["d"] * 65) + ": too deep"]
    # Below the directory itself: the whole path may be longer than the kernel takes at once.
    monkeypatch.chdir(tree)
    Path(*["x" * 200] * 20).mkdir(parents=True)
    assert written(tmp_path / "a.tar", tree).count == 2


def test_what_was_left_out_is_counted_and_some_of_it_named_in_the_manifest(tmp_path, tree):
    for number in range(60):
        os.mkfifo(tree / f"{number:02}-{'x' * 220}")
    skipped = written(tmp_path / "a.tar", tree)
    with (tmp_path / "a.tar").open("rb") as file:
        manifest = archive.read_manifest(file)
    assert manifest["skipped"] == {"count": 60, "names": skipped.names}
    assert len(skipped.names) == 50
    assert {len(name.partition(":")[0]) for name in skipped.names} == {200}


def test_a_manifest_that_does_not_fit_is_no_archive(tmp_path):
    with (tmp_path / "a.tar").open("w+b") as file:
        writer = archive.Writer(file)
        with pytest.raises(ValueError, match="larger than its space"):
            writer.finish({"release": "x" * 256 * 1024})


@pytest.mark.parametrize(("size", "there", "count"), [(64, 0, 0), (65, 32, 1), (66, 33, 0)])
def test_a_large_file_is_left_out_when_less_than_half_of_it_is_there(tmp_path, tree, size, there, count):
    with (tree / "file").open("wb") as file:
        file.write(b"x" * there * 1024**2)
        file.truncate(size * 1024**2)
    assert written(tmp_path / "a.tar", tree).count == count


def test_each_part_is_counted_and_progress_told(tmp_path, tree):
    (tree / "folder").mkdir()
    (tree / "folder/file").write_bytes(b"x" * 3000)
    (tree / "empty").touch()
    (tmp_path / "alone").write_bytes(b"y" * 10)
    told = []
    with (tmp_path / "a.tar").open("w+b") as file:
        writer = archive.Writer(file, on_bytes=told.append)
        writer.add_tree(tree, "upper", skip=lambda path: path == "empty")
        writer.add_tree(tmp_path / "missing", "missing")
        writer.add_file(tmp_path / "alone", "settings/alone")
        writer.finish({})
    with (tmp_path / "a.tar").open("rb") as file:
        manifest = archive.read_manifest(file)
        assert manifest["parts"] == {"upper": {"files": 1, "bytes": 3000}, "settings": {"files": 1, "bytes": 10}}
        assert (manifest["size"], sum(told)) == ((tmp_path / "a.tar").stat().st_size, 3010)
        told.clear()
        archive.verify(file, manifest, on_bytes=told.append)
        assert sum(told) == manifest["size"] - 512 - 256 * 1024
        told.clear()
        (tmp_path / "part").mkdir()
        archive.extract(file, tmp_path / "part", parts={"settings"}, on_bytes=told.append)
    assert (sum(told), names_in(tmp_path / "part")) == (10, ["settings"])


def test_a_file_that_cannot_be_read_is_named_with_its_reason(tmp_path, tree, monkeypatch):
    (tree / "file").touch()
    (tree / "other").touch()

    def refuse(name, *, at):
        raise OSError(5, "Input/output error") if name == "file" else FileNotFoundError(2, "gone")

    monkeypatch.setattr(archive.walk, "open_file", refuse)
    skipped = written(tmp_path / "a.tar", tree)
    assert (skipped.count, skipped.names) == (1, ["upper/file: Input/output error"])


def test_a_full_disk_is_no_fault_of_the_archive(tmp_path, tree, monkeypatch):
    (tree / "file").touch()
    written(tmp_path / "a.tar", tree)

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.walk, "create_file", refuse)
    with pytest.raises(OSError, match="No space left"):
        restored(tmp_path / "a.tar", tmp_path / "back")


@pytest.mark.parametrize("changed", [{"sha256": 5}, {"sha256": "0" * 64}, {"size": 5}])
def test_a_manifest_that_does_not_fit_its_archive_is_refused(tmp_path, tree, changed):
    written(tmp_path / "a.tar", tree)
    with (tmp_path / "a.tar").open("r+b") as file:
        manifest = archive.read_manifest(file) | changed
        file.seek(0)
        file.write(archive._manifest_block(archive.json.dumps(manifest).encode()))
        with pytest.raises(archive.BadArchive):
            archive.verify(file, archive.read_manifest(file))
