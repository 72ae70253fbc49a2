"""Packs as operators have them: what unpacking makes of each, also as 7z, rar, tar.gz and tar.xz."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from left4me.core.files.tree import Tree
from left4me.core.processes import commands
from left4me.testing import archive_shapes, packs
from left4me.testing.archive_shapes import SHAPES, Shape
from left4me.testing.packs import Pack
from overlays.files import archives
from overlays.tests import packed

LIMITS = archives.ArchiveLimits(size=100_000_000)


def unpacked(archive: Path, root: Path) -> tuple[archives.Unpacked, dict[str, bytes]]:
    with Tree(root) as content:
        done = archives.unpack(archive, into=content, base=(), limits=LIMITS, check=lambda: None)
    return done, {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _zip(shape: Shape, folder: Path) -> Path:
    return archive_shapes.zipped(shape, folder / "a.zip")


def _tar_gz(shape: Shape, folder: Path) -> Path:
    return archive_shapes.tarred(shape, folder / "a.tar.gz", mode="w:gz")


def _as_tar(archive: Path) -> Path:
    """What the job makes of a 7z, rar or xz: the same conversion, without its sandbox."""
    target = archive.with_suffix(".converted")
    command = ["bsdtar", "--format", "pax", "-cf", target, f"@{archive}"]
    commands.run(command, timeout=60, env={"LANG": "C.UTF-8"})
    return target


def _tar_xz(shape: Shape, folder: Path) -> Path:
    return _as_tar(archive_shapes.tarred(shape, folder / "a.tar.xz", mode="w:xz"))


def _seven_zip(shape: Shape, folder: Path) -> Path:
    source = archive_shapes.tarred(shape, folder / "source.tar")
    commands.run(
        ["bsdtar", "--format", "7zip", "-cf", folder / "a.7z", f"@{source}"], timeout=60, env={"LANG": "C.UTF-8"}
    )
    return _as_tar(folder / "a.7z")


def _rar(shape: Shape, folder: Path) -> Path:
    members = [(name, content) for name, content in shape.entries.items() if not name.endswith((b"\\", b"/"))]
    (folder / "a.rar").write_bytes(packed.rar(members))
    return _as_tar(folder / "a.rar")


# 7z holds names in UTF-16, bsdtar writes none that are not UTF-8, and a rar's separators are backslashes already.
_OLD_NAMES = ("CP866", "CP850", "CP1252", "GBK", "Big5", "Shift-JIS")
WAYS = {"zip": _zip, "tar.gz": _tar_gz, "tar.xz": _tar_xz, "7z": _seven_zip, "rar": _rar}
CASES = [
    pytest.param(shape, way, marks=[] if way in ("zip", "tar.gz") else [pytest.mark.archives], id=f"{shape} as {way}")
    for shape in SHAPES
    for way in WAYS
    if way != "7z" or shape not in _OLD_NAMES
]


@pytest.mark.parametrize(("shape", "way"), CASES)
def test_each_shape_becomes_the_same_whatever_it_is_packed_with(shape: str, way: str, tmp_path: Path) -> None:
    if way in ("tar.xz", "7z", "rar") and not shutil.which("bsdtar"):
        pytest.skip("bsdtar is not installed: apt-get install libarchive-tools")
    _done, found = unpacked(WAYS[way](SHAPES[shape], tmp_path), tmp_path / "overlay")
    assert found == SHAPES[shape].expected()


@pytest.mark.parametrize("pack", packs.PACKS, ids=lambda pack: pack.name)
def test_a_pack_is_unpacked_whole(pack: Pack, tmp_path: Path) -> None:
    archive = tmp_path / pack.name
    pack.write(archive)
    done, found = unpacked(archive, tmp_path / "overlay")
    assert set(pack.holds) <= found.keys()
    assert len(found) == pack.count
    assert all(path.startswith("left4dead2/") for path in found)
    assert all(left.reason for left in done.plan.left_out)


def test_programs_and_scripts_may_be_executed_and_nothing_else(tmp_path: Path) -> None:
    [pack] = [pack for pack in packs.PACKS if pack.name == "sourcemod-linux.tar.gz"]
    archive = tmp_path / pack.name
    pack.write(archive)
    unpacked(archive, tmp_path / "overlay")
    root = tmp_path / "overlay/left4dead2"
    assert (root / "addons/sourcemod/scripting/spcomp").stat().st_mode & 0o777 == 0o755
    assert (root / "cfg/sourcemod/sourcemod.cfg").stat().st_mode & 0o777 == 0o644
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_dir()} == {0o755}


def test_texts_that_the_game_could_not_execute_are_converted_and_named(tmp_path: Path) -> None:
    [pack] = [pack for pack in packs.PACKS if pack.name == "texts_of_windows.zip"]
    archive = tmp_path / pack.name
    pack.write(archive)
    done, found = unpacked(archive, tmp_path / "overlay")
    assert found["left4dead2/cfg/server.cfg"] == b"hostname bom\n"
    assert found["left4dead2/cfg/rules.cfg"].decode().startswith("// 服务器设置")
    # The game reads the bytes of other code pages as they are.
    assert found["left4dead2/cfg/gbk.cfg"].decode("gbk").startswith("// 服务器设置")
    assert sorted(done.converted) == [
        ("left4dead2/cfg/rules.cfg", "utf_16_le"),
        ("left4dead2/cfg/server.cfg", "utf_8_sig"),
    ]
