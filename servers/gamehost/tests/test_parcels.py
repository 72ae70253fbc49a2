"""Parcels: the files of a server as one stream, whatever a game left in its directory and whatever a machine sends."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from left4me.core.files import atomic, walk
from servers.gamehost import parcels, shadows
from servers.gamehost.parcels import LeftOut, Malformed
from servers.gamehost.sandbox.identity import Identity


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def nothing() -> None:
    pass


def packed(**trees: Path) -> bytes:
    return b"".join(parcels.pack(trees, besides={}, left_out=LeftOut()))


def pieces(raw: bytes, size: int = 1000) -> Iterator[bytes]:
    return (raw[at : at + size] for at in range(0, len(raw), size))


def unpacked(raw: bytes, **trees: Path) -> parcels.Unpacked:
    for tree in trees.values():
        tree.mkdir(exist_ok=True)
    return parcels.unpack(pieces(raw), trees, owners={}, check=nothing)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    return tmp_path / "old"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new"


def test_files_arrive_with_content_mode_and_time(old: Path, new: Path):
    (old / "left4dead2/logs").mkdir(parents=True)
    (old / "left4dead2/logs/L1.log").write_bytes(os.urandom(3_000_000))
    (old / "empty").touch()
    (old / "run.sh").write_text("x")
    (old / "run.sh").chmod(0o755)
    os.utime(old / "run.sh", ns=(1, 1_234_567_890_123_456_789))
    assert unpacked(packed(upper=old), upper=new).files == 3
    assert (new / "left4dead2/logs/L1.log").read_bytes() == (old / "left4dead2/logs/L1.log").read_bytes()
    assert (new / "empty").read_bytes() == b""
    status = (new / "run.sh").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o755, 1_234_567_890_123_456_789)


def test_the_stream_is_the_same_each_time(old: Path):
    for name in ("b", "a", "c"):
        (old / name).write_bytes(name.encode() * 1000)
    assert packed(upper=old) == packed(upper=old)


def test_what_the_game_deleted_and_made_anew_stays_so_whichever_mark_says_it(old: Path, new: Path):
    for name in ("kernel", "fuse", "fuse-file"):
        (old / name).mkdir()
    shadows.set_opaque(_handle(old / "kernel"), opaque=True)
    (old / "fuse-file/.wh..wh..opq").touch()
    os.setxattr(old / "fuse", "user.fuseoverlayfs.opaque", b"y")
    os.mknod(old / "gone-by-device", stat.S_IFCHR, 0)
    (old / ".wh.gone-by-name").touch()
    (old / "gone-by-attribute").touch()
    os.setxattr(old / "gone-by-attribute", "user.overlay.whiteout", b"")
    unpacked(packed(upper=old), upper=new)
    assert all(shadows.is_opaque(_handle(new / name)) for name in ("kernel", "fuse", "fuse-file"))
    assert names(new) == [
        "fuse",
        "fuse-file",
        "gone-by-attribute",
        "gone-by-device",
        "gone-by-name",
        "kernel",
    ]
    assert all(walk.is_deletion_mark((new / f"gone-by-{how}").lstat()) for how in ("attribute", "device", "name"))
    assert names(new / "fuse-file") == []


def _handle(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def test_holes_are_neither_sent_nor_filled(old: Path, new: Path):
    with (old / "sparse").open("wb") as file:
        file.seek(10_000_000_000)
        file.write(b"end")
        file.truncate(50_000_000_000)
    raw = packed(upper=old)
    assert len(raw) < 100_000
    unpacked(raw, upper=new)
    status = (new / "sparse").stat()
    assert (status.st_size, status.st_blocks < 1000) == (50_000_000_000, True)
    with (new / "sparse").open("rb") as file:
        file.seek(10_000_000_000)
        assert file.read(4) == b"end\0"


def test_hard_links_are_sent_once_and_stay_links_within_the_server(old: Path, new: Path):
    (old / "one").write_bytes(os.urandom(100_000))
    (old / "folder").mkdir()
    for number in range(20):
        os.link(old / "one", old / f"folder/{number}")
    raw = packed(upper=old)
    assert len(raw) < 110_000
    unpacked(raw, upper=new)
    assert (new / "folder/7").stat().st_ino == (new / "one").stat().st_ino
    assert (new / "one").read_bytes() == (old / "one").read_bytes()


def test_what_could_lead_out_or_is_no_file_is_left_out(old: Path, new: Path):
    (old / "inside").symlink_to("folder/x")
    (old / "folder").mkdir()
    (old / "folder/x").write_text("x")
    (old / "passwd").symlink_to("/etc/passwd")
    (old / "folder/up").symlink_to("../../../etc")
    os.mkfifo(old / "pipe")
    left_out = LeftOut()
    raw = b"".join(parcels.pack({"upper": old}, besides={}, left_out=left_out))
    unpacked(raw, upper=new)
    assert sorted(left_out.paths) == ["folder/up", "passwd", "pipe"]
    assert sorted(str(path.relative_to(new)) for path in new.rglob("*")) == ["folder", "folder/x", "inside"]


@pytest.mark.parametrize("name", [b"two\nlines", b'{"end": 0}', b"\\", "ü".encode(), b"\xff\xfe", b" "])
def test_any_name_arrives_as_it_is(old: Path, new: Path, name: bytes):
    (old / os.fsdecode(name)).write_bytes(b"content\n{}\n")
    unpacked(packed(upper=old), upper=new)
    assert [os.fsencode(each) for each in names(new)] == [name]
    assert (new / os.fsdecode(name)).read_bytes() == b"content\n{}\n"


def test_folders_and_files_that_the_game_has_closed_are_carried(old: Path, new: Path):
    (old / "closed").mkdir()
    (old / "closed/secret").write_text("x")
    (old / "closed/secret").chmod(0)
    (old / "closed").chmod(0)
    unpacked(packed(upper=old), upper=new)
    assert (new / "closed/secret").read_text() == "x"


def test_too_many_files_are_refused(old: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parcels, "MOST_ENTRIES", 3)
    for number in range(4):
        (old / str(number)).touch()
    with pytest.raises(parcels.TooMany):
        packed(upper=old)


def test_so_many_entries_may_be_carried(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch):
    assert parcels.MOST_ENTRIES == 500_000
    for number in range(3):
        (old / str(number)).touch()
    raw = packed(upper=old)
    monkeypatch.setattr(parcels, "MOST_ENTRIES", 3)
    assert packed(upper=old) == raw
    done = unpacked(raw, upper=new)
    assert (done.files, done.entries) == (3, 3)
    monkeypatch.setattr(parcels, "MOST_ENTRIES", 2)
    with pytest.raises(Malformed, match="too many files"):
        unpacked(raw, upper=new.with_name("other"))


def test_folders_are_carried_down_to_a_depth_and_what_is_deeper_is_named(old: Path, new: Path):
    deepest = old.joinpath(*["d"] * 64)
    deepest.mkdir(parents=True)
    (deepest / "file").touch()
    left_out = LeftOut()
    raw = b"".join(parcels.pack({"upper": old}, besides={}, left_out=left_out))
    assert left_out.count == 0
    assert unpacked(raw, upper=new).entries == 65
    (deepest / "deeper").mkdir()
    b"".join(parcels.pack({"upper": old}, besides={}, left_out=left_out))
    assert (left_out.count, left_out.paths) == (1, ["/".join(["d"] * 64 + ["deeper"])])
    told = [{"tree": "upper"}, {**FILE, "path": "/".join("d" * 66)}, {"end": 1}]
    with pytest.raises(Malformed, match="too deep"):
        unpacked(b"".join(json.dumps(line).encode() + b"\n" for line in told), upper=new)


def test_of_what_is_left_out_ten_are_named_and_all_are_counted(old: Path):
    for number in range(12):
        os.mkfifo(old / f"{number:02}")
    left_out = LeftOut()
    b"".join(parcels.pack({"upper": old}, besides={}, left_out=left_out))
    assert (left_out.count, left_out.paths) == (12, [f"{number:02}" for number in range(10)])


def test_a_name_that_is_no_text_is_named_all_the_same(old: Path):
    os.mkfifo(old / os.fsdecode(b"\xff"))
    left_out = LeftOut()
    b"".join(parcels.pack({"upper": old}, besides={}, left_out=left_out))
    assert left_out.paths == ["\\udcff"]


def test_several_trees_are_carried_and_one_that_is_missing_is_not(old: Path, tmp_path: Path):
    (tmp_path / "logs").mkdir()
    for folder in (old, tmp_path / "logs"):
        (folder / "one").write_text(folder.name)
        os.link(folder / "one", folder / "two")
    raw = packed(upper=old, missing=tmp_path / "missing", logs=tmp_path / "logs")
    assert unpacked(raw, upper=tmp_path / "a", logs=tmp_path / "b").entries == 4
    assert ((tmp_path / "a/one").read_text(), (tmp_path / "b/two").read_text()) == ("old", "logs")
    assert (tmp_path / "b/two").stat().st_nlink == 2


def test_a_file_that_the_writer_of_atomic_files_left_is_not_carried(old: Path, new: Path):
    (old / f"{atomic.TEMPORARY}x").touch()
    (old / "x").touch()
    unpacked(packed(upper=old), upper=new)
    assert names(new) == ["x"]


def test_pieces_are_so_large_and_only_the_last_is_shorter(old: Path, new: Path):
    (old / "large").write_bytes(b"x" * (2 * parcels.PIECE + 5))
    raw = packed(upper=old)
    told = [json.loads(line) for line in raw.replace(b"x", b"").splitlines() if b'"at"' in line]
    assert told == [
        {"at": 0, "bytes": parcels.PIECE},
        {"at": parcels.PIECE, "bytes": parcels.PIECE},
        {"at": 2 * parcels.PIECE, "bytes": 5},
    ]
    assert parcels.PIECE == 1024**2
    unpacked(raw, upper=new)
    assert (new / "large").stat().st_size == 2 * parcels.PIECE + 5


@pytest.mark.parametrize("while_in_use", [False, True])
def test_what_changes_while_it_is_read_is_a_fault_unless_a_game_may_run(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, while_in_use: bool
):
    (old / "shrinks").write_bytes(b"x" * 1000)
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, count - 400, at))
    left_out = LeftOut()

    def pack() -> bytes:
        return b"".join(parcels.pack({"upper": old}, besides={}, left_out=left_out, while_in_use=while_in_use))

    if not while_in_use:
        with pytest.raises(OSError, match="shrinks became shorter"):
            pack()
        return
    unpacked(pack(), upper=new)
    assert (new / "shrinks").read_bytes() == b"x" * 600 + bytes(400)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), PermissionError(13, "closed")])
@pytest.mark.parametrize("while_in_use", [False, True])
def test_what_cannot_be_opened_is_a_fault_unless_a_game_may_run(
    old: Path, monkeypatch: pytest.MonkeyPatch, while_in_use: bool, error: OSError
):
    (old / "file").write_text("x")
    (old / "folder").mkdir()
    (old / "folder").chmod(0)
    left_out = LeftOut()

    def refuse(name: str, *, at: int) -> None:
        raise error

    monkeypatch.setattr(walk, "open_file", refuse)
    monkeypatch.setattr(walk, "open_folder", refuse)

    def pack() -> bytes:
        with monkeypatch.context() as patch:
            patch.setattr(walk, "folder", _top)
            return b"".join(parcels.pack({"upper": old}, besides={}, left_out=left_out, while_in_use=while_in_use))

    if not while_in_use:
        with pytest.raises(type(error)):
            pack()
        return
    assert pack().splitlines()[1:] == [b'{"end": 0}']
    assert left_out.paths == ([] if isinstance(error, FileNotFoundError) else ["file", "folder"])
    assert (old / "folder").stat().st_mode & 0o777 == 0, "no mode is changed below a game"


@contextlib.contextmanager
def _top(top: Path, parts: tuple[str, ...]) -> Iterator[int]:
    assert parts == ()
    handle = _handle(top)
    yield handle
    os.close(handle)


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives files away")
def test_everything_belongs_to_the_games_user_where_it_has_one(old: Path, new: Path):
    (old / "folder").mkdir()
    (old / "folder/file").touch()
    (old / "link").symlink_to("folder/file")
    os.mknod(old / "gone", stat.S_IFCHR, 0)
    raw = packed(upper=old)
    for by_root, owner in ((True, (64123, 64124)), (False, (0, 0))):
        target = new / str(by_root)
        target.mkdir(parents=True)
        who = Identity(uid=64123, gid=64124, by_root=by_root)
        parcels.unpack(pieces(raw), {"upper": target}, owners={"upper": who}, check=nothing)
        found = [path.lstat() for path in target.rglob("*")]
        assert {(status.st_uid, status.st_gid) for status in found} == {owner}
        assert len(found) == 4


def test_an_unpacking_can_be_ended_at_each_entry_and_each_piece(old: Path, new: Path):
    (old / "large").write_bytes(os.urandom(3 * parcels.PIECE))
    raw = packed(upper=old)
    new.mkdir()
    checks: list[int] = []
    parcels.unpack(pieces(raw), {"upper": new}, owners={}, check=lambda: checks.append(1))
    assert len(checks) == 3 + 3

    def cancel() -> None:
        raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, Malformed)):
        parcels.unpack(pieces(raw), {"upper": new}, owners={}, check=cancel)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"end": 0}', "ends early"),
        (b"x" * 300_000, "a line is too long"),
        (b"7\n", "a line is no object"),
        (b'{"kind": "gone", "path": "x"}\n', "no tree was named"),
    ],
)
def test_what_is_no_stream_is_refused_with_a_reason(new: Path, raw: bytes, reason: str):
    with pytest.raises(Malformed, match=reason):
        unpacked(raw, upper=new)


def test_a_line_may_be_long_and_come_in_pieces(new: Path):
    raw = b'{"tree": "upper"}\n{"end": 0' + b" " * 250_000 + b"}\n"
    assert unpacked(raw, upper=new).entries == 0


def test_what_each_start_makes_anew_stays(old: Path, new: Path):
    (old / "cfg").mkdir()
    (old / "cfg/server.cfg").write_text("rcon_password secret")
    (old / "cfg/own.cfg").write_text("x")
    raw = b"".join(parcels.pack({"upper": old}, besides={"upper": {"cfg/server.cfg"}}, left_out=LeftOut()))
    assert b"secret" not in raw
    unpacked(raw, upper=new)
    assert names(new / "cfg") == ["own.cfg"]


FILE = {"path": "x", "kind": "file", "mode": 0o644, "size": 3, "time": 0}
FOLDER = {"path": "d", "kind": "dir", "mode": 0o755, "opaque": False}


@pytest.mark.parametrize(
    "told",
    [
        [{**FILE, "path": "../x"}, {"end": 1}],
        [{**FILE, "path": "/etc/x"}, {"end": 1}],
        [{**FILE, "path": "d/../../x"}, {"end": 1}],
        [{**FILE, "path": ""}, {"end": 1}],
        [{**FILE, "path": "nul\0"}, {"end": 1}],
        [{"path": "l", "kind": "link", "target": "/etc"}, {**FILE, "path": "l/x"}, {"end": 2}],
        [{"path": "l", "kind": "link", "target": "../.."}, {"end": 1}],
        [FOLDER, {"path": "l", "kind": "link", "target": "d"}, {**FILE, "path": "l/x"}, {"end": 3}],
        [{"path": "l", "kind": "link", "target": "d"}, {"path": "h", "kind": "same", "as": "l"}, {"end": 2}],
        [{"path": "h", "kind": "same", "as": "../outside"}, {"end": 1}],
        [{"path": "h", "kind": "same", "as": "/etc/passwd"}, {"end": 1}],
        [FILE, FILE, {"end": 2}],
        [{**FILE, "size": -1}, {"end": 1}],
        [{**FILE, "size": 2**80}, {"end": 1}],
        [{**FILE, "time": 2**120}, {"end": 1}],
        [{**FILE, "mode": "x"}, {"end": 1}],
        [FILE, {"at": 3, "bytes": 1}, {"end": 1}],
        [FILE, {"at": 0, "bytes": 10**12}, {"end": 1}],
        [FILE, {"at": -1, "bytes": 1}, {"end": 1}],
        [FILE],
        [{"end": 7}],
        [{"path": "x", "kind": "device"}, {"end": 1}],
        [{"tree": "elsewhere"}, {"end": 0}],
        [[1, 2]],
    ],
)
def test_a_machine_that_lies_writes_nowhere_else(tmp_path: Path, new: Path, told: list[object]):
    (tmp_path / "outside").write_text("untouched")
    raw = b"".join(json.dumps(line).encode() + b"\n" for line in [{"tree": "upper"}, *told])
    with pytest.raises((Malformed, OSError)):
        unpacked(raw + b"y", upper=new)
    assert (tmp_path / "outside").read_text() == "untouched"
    assert (tmp_path / "outside").stat().st_nlink == 1
    assert names(tmp_path) == ["new", "outside"]


def test_a_file_with_special_rights_arrives_without_them(new: Path):
    told = [{"tree": "upper"}, {**FILE, "mode": 0o106777, "size": 0}, {"end": 1}]
    unpacked(b"".join(json.dumps(line).encode() + b"\n" for line in told), upper=new)
    assert stat.S_IMODE((new / "x").stat().st_mode) == 0o777
