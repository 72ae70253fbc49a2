"""Archives that are rarely packed like this: as 7z, with one path twice, below a folder that the user chose."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from left4me.core.files.tree import Tree
from overlays.files import archives
from overlays.files.archive_layout import make_plan

LIMITS = archives.ArchiveLimits(size=10_000_000)


def unpacked(archive: Path, root: Path, *, base: tuple[str, ...] = ()) -> dict[str, str]:
    with Tree(root) as content:
        archives.unpack(archive, into=content, base=base, limits=LIMITS, check=lambda: None)
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def zipped(names: list[str], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


@pytest.mark.skipif(not shutil.which("bsdtar"), reason="bsdtar is not installed")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Pack-main/addons/sourcemod/a.txt", "left4dead2/addons/sourcemod/a.txt"),
        ("Left4Dead2/CFG/Server.cfg", "left4dead2/cfg/server.cfg"),
        ("Pack/addons/说明文档.txt", "left4dead2/addons/说明文档.txt"),
    ],
)
def test_a_7z_is_laid_out_like_any_other_archive(tmp_path: Path, name: str, expected: str) -> None:
    source, seven_zip, converted = (tmp_path / each for each in ("a.tar", "a.7z", "b.tar"))
    with tarfile.open(source, "w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(name.encode())
        archive.addfile(info, io.BytesIO(name.encode()))
    for form, made, of in (("7zip", seven_zip, source), ("pax", converted, seven_zip)):
        environment = {"LC_ALL": "C.UTF-8"}
        subprocess.run(["bsdtar", "--format", form, "-cf", made, f"@{of}"], check=True, env=environment)
    assert unpacked(converted, tmp_path / "overlay") == {expected: name}


def test_of_two_entries_with_one_path_the_last_is_kept(tmp_path: Path) -> None:
    names = ["cfg/Server.cfg", "cfg/server.cfg"]
    archive = zipped(names, tmp_path / "a.zip")
    assert unpacked(archive, tmp_path / "overlay") == {"left4dead2/cfg/server.cfg": "cfg/server.cfg"}
    plan = make_plan(names)
    assert plan.conflicts == [("cfg/Server.cfg", "cfg/server.cfg")]
    assert [left.name for left in plan.left_out] == ["cfg/Server.cfg"]


def test_an_absolute_name_counts_only_if_it_leads_through_a_folder_of_the_game() -> None:
    plan = make_plan(["/srv/l4d2/cfg/a.cfg", "/etc/evil", "C:\\evil"])
    assert [placement.target for placement in plan.placements] == [("left4dead2", "cfg", "a.cfg")]
    assert [left.name for left in plan.left_out] == ["/etc/evil", "C:\\evil"]


def test_below_a_chosen_folder_no_folder_becomes_a_file(tmp_path: Path) -> None:
    archive = zipped(["x\\", "x\\addons\\a.txt"], tmp_path / "a.zip")
    found = unpacked(archive, tmp_path / "overlay", base=("left4dead2", "maps"))
    assert list(found) == ["left4dead2/maps/x/addons/a.txt"]


PARTS = st.sampled_from(
    [
        "left4dead2",
        "Addons",
        "addons",
        "cfg",
        "Pack",
        "..",
        "C:",
        "README.md",
        "bin",
        "a.so",
        "a.vpk",
        "A.vpk",
        "srcds_run",
        "",
    ]
)
NAMES = st.lists(st.lists(PARTS, min_size=1, max_size=5).map("/".join) | st.text(max_size=12), max_size=12)


@given(NAMES, st.booleans())
def test_every_file_is_placed_or_left_out_exactly_once_and_no_two_share_a_path(
    names: list[str], with_programs: bool
) -> None:
    plan = make_plan(names, with_programs=with_programs)
    targets = [placement.target for placement in plan.placements]
    assert len(targets) == len(set(targets))
    decided = [*(placement.name for placement in plan.placements), *(left.name for left in plan.left_out)]
    assert sorted(decided) == sorted(name for name in names if name and not name.endswith(("/", "\\")))
    assert all(not {"", ".", ".."}.intersection(target) for target in targets)
