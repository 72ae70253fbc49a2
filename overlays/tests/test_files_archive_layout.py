"""Where the files of archives go that are packed as people really pack them: on Windows, by GitHub, with wrappers."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from left4me.core.files.tree import Tree
from overlays.files import archive_layout, archive_names, archives

LIMITS = archives.ArchiveLimits(size=10_000_000)

# Names as packed, and where each must go; "" where a file is left out.
SHAPES = {
    "the game's folder itself": {
        "left4dead2/cfg/server.cfg": "left4dead2/cfg/server.cfg",
        "left4dead2/addons/a.vpk": "left4dead2/addons/a.vpk",
    },
    "without the game's folder": {
        "addons/sourcemod/plugins/a.smx": "left4dead2/addons/sourcemod/plugins/a.smx",
        "cfg/server.cfg": "left4dead2/cfg/server.cfg",
    },
    "GitHub's download": {
        "Pack-main/addons/sourcemod/plugins/a.smx": "left4dead2/addons/sourcemod/plugins/a.smx",
        "Pack-main/README.md": "",
        "Pack-main/LICENSE": "",
        "Pack-main/.github/workflows/build.yml": "",
    },
    "two folders around it": {
        "My Pack v1.2/Server files/left4dead2/cfg/server.cfg": "left4dead2/cfg/server.cfg",
        "My Pack v1.2/readme.txt": "",
    },
    "a dot in front": {"./Pack/left4dead2/maps/a.bsp": "left4dead2/maps/a.bsp"},
    "Windows separators and case": {
        "Left4Dead2\\Addons\\SourceMod\\plugins\\a.smx": "left4dead2/addons/sourcemod/plugins/a.smx",
        "Left4Dead2\\CFG\\Server.cfg": "left4dead2/cfg/server.cfg",
    },
    "folders as entries with a backslash": {"addons\\": "", "addons\\metamod.vdf": "left4dead2/addons/metamod.vdf"},
    "a drive letter": {"C:\\games\\left4dead2\\cfg\\server.cfg": "left4dead2/cfg/server.cfg", "..\\evil.cfg": ""},
    "everything that the game's folder holds": {
        "addons/a.vpk": "left4dead2/addons/a.vpk",
        "motd.txt": "left4dead2/motd.txt",
        "host.txt": "left4dead2/host.txt",
        "mapcycle.txt": "left4dead2/mapcycle.txt",
        "resource/left4dead2_english.txt": "left4dead2/resource/left4dead2_english.txt",
        "stripper/maps/a.cfg": "left4dead2/stripper/maps/a.cfg",
        "scenes/a.vcd": "left4dead2/scenes/a.vcd",
        "transitions/a": "left4dead2/transitions/a",
    },
    "a campaign beside its description": {"Campaign/map.vpk": "left4dead2/addons/map.vpk", "Campaign/readme.txt": ""},
    "programs of the game": {
        "srcds_run": "",
        "bin/engine_srv.so": "",
        "left4dead2/bin/server_srv.so": "",
        "left4dead2/addons/metamod/bin/server.so": "left4dead2/addons/metamod/bin/server.so",
    },
    "a repository of a plugin": {
        "Votes-main/plugins/votes.smx": "left4dead2/addons/sourcemod/plugins/votes.smx",
        "Votes-main/scripting/votes.sp": "left4dead2/addons/sourcemod/scripting/votes.sp",
        "Votes-main/translations/votes.phrases.txt": "left4dead2/addons/sourcemod/translations/votes.phrases.txt",
        "Votes-main/cfg/votes.cfg": "left4dead2/cfg/votes.cfg",
        "Votes-main/README.md": "",
    },
    "plugins without any folder of the game": {
        "gamedata/votes.txt": "left4dead2/addons/sourcemod/gamedata/votes.txt",
        "plugins/votes.smx": "left4dead2/addons/sourcemod/plugins/votes.smx",
    },
    "SourceMod beside Metamod": {
        "sourcemod/plugins/a.smx": "left4dead2/addons/sourcemod/plugins/a.smx",
        "metamod/sourcemod.vdf": "left4dead2/addons/metamod/sourcemod.vdf",
    },
    "a file of the game beside the folder with everything": {
        "motd.txt": "left4dead2/motd.txt",
        "Server files/addons/a.vpk": "left4dead2/addons/a.vpk",
        "Server files/cfg/server.cfg": "left4dead2/cfg/server.cfg",
    },
    "a variant inside": {
        "Pack/cfg/server.cfg": "left4dead2/cfg/server.cfg",
        "Pack/addons/a.vpk": "left4dead2/addons/a.vpk",
        "Pack/Optional/cfg/server.cfg": "",
    },
    "parts of one pack in folders of their own": {
        "metamod/addons/metamod.vdf": "left4dead2/addons/metamod.vdf",
        "sourcemod/addons/sourcemod/plugins/a.smx": "left4dead2/addons/sourcemod/plugins/a.smx",
        "rules/cfg/server.cfg": "left4dead2/cfg/server.cfg",
    },
    "an installation with its additions": {
        "left4dead2/cfg/a.cfg": "left4dead2/cfg/a.cfg",
        "left4dead2_dlc1/cfg/b.cfg": "left4dead2_dlc1/cfg/b.cfg",
    },
    "a plugin without folders": {
        "votes.smx": "left4dead2/addons/sourcemod/plugins/votes.smx",
        "votes.sp": "left4dead2/addons/sourcemod/scripting/votes.sp",
        "votes.phrases.txt": "left4dead2/addons/sourcemod/translations/votes.phrases.txt",
        "votes.png": "",
    },
    "what Windows and macOS leave behind": {
        "cfg/a.cfg": "left4dead2/cfg/a.cfg",
        "cfg/Thumbs.db": "",
        "addons/.DS_Store": "",
        "__MACOSX/addons/._a.vpk": "",
    },
    "the game's folder twice": {"left4dead2/left4dead2/cfg/a.cfg": "left4dead2/cfg/a.cfg"},
    "a whole path of the author's": {
        r"C:\Program Files (x86)\Steam\steamapps\common\Left 4 Dead 2\left4dead2\cfg\a.cfg": "left4dead2/cfg/a.cfg",
    },
    "content below a name that is set aside elsewhere": {
        "addons/sourcemod/docs/a.txt": "left4dead2/addons/sourcemod/docs/a.txt",
    },
}


def _zipped(names: dict[str, str], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("\\") else name.encode())
    return path


def _tarred(names: dict[str, str], path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            if not name.endswith("\\"):
                info = tarfile.TarInfo(name)
                info.size = len(name.encode())
                archive.addfile(info, io.BytesIO(name.encode()))
    return path


@pytest.mark.parametrize("packed", [_zipped, _tarred])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_file_goes_where_the_game_looks_for_it(
    shape: str, packed: Callable[[dict[str, str], Path], Path], tmp_path: Path
) -> None:
    names = SHAPES[shape]
    archive = packed(names, tmp_path / "archive")
    with Tree(tmp_path / "overlay") as content:
        archives.unpack(archive, into=content, base=(), limits=LIMITS, check=lambda: None)
    root = tmp_path / "overlay"
    extracted = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
    assert extracted == {target: name for name, target in names.items() if target}


def test_a_folder_that_the_user_chose_takes_the_files_as_they_are(tmp_path: Path) -> None:
    archive = _zipped({"Pack-main/addons/a.vpk": ""}, tmp_path / "archive.zip")
    with Tree(tmp_path / "overlay") as content:
        archives.unpack(archive, into=content, base=("left4dead2", "x"), limits=LIMITS, check=lambda: None)
    assert (tmp_path / "overlay/left4dead2/x/Pack-main/addons/a.vpk").is_file()


def test_names_that_differ_in_letter_case_only_are_named() -> None:
    plan = archive_layout.make_plan(["addons/sourcemod/plugins/A.smx", "addons/SourceMod/plugins/a.smx"])
    assert plan.conflicts == [("addons/sourcemod/plugins/A.smx", "addons/SourceMod/plugins/a.smx")]
    assert {placement.target[:-1] for placement in plan.placements} == {
        ("left4dead2", "addons", "sourcemod", "plugins")
    }


def test_another_folder_can_be_taken_for_the_root() -> None:
    names = ["Pack/Easy/cfg/server.cfg", "Pack/Hard/cfg/server.cfg"]
    first = archive_layout.make_plan(names)
    assert first.roots == [("Pack", "Easy"), ("Pack", "Hard")]
    assert [placement.entry for placement in first.placements] == [0]
    assert "is outside the chosen folder “Pack/Easy”" in first.left_out[0].reason
    second = archive_layout.make_plan(names, root=("Pack", "Hard"))
    assert [placement.entry for placement in second.placements] == [1]


def test_no_folder_need_be_taken_off() -> None:
    plan = archive_layout.make_plan(["Pack/cfg/server.cfg"], root=())
    assert [placement.target for placement in plan.placements] == [("left4dead2", "Pack", "cfg", "server.cfg")]


def test_an_admin_may_take_in_the_programs_of_the_game() -> None:
    plan = archive_layout.make_plan(["srcds_run", "left4dead2/cfg/a.cfg"], with_programs=True)
    assert [placement.target for placement in plan.placements] == [("srcds_run",), ("left4dead2", "cfg", "a.cfg")]


@pytest.mark.parametrize(
    ("code_page", "name"),
    [
        ("cp866", "addons/Карта кампании.vpk"),
        ("gb18030", "addons/求生之路地图包.vpk"),
        ("big5", "addons/伺服器地圖說明.vpk"),
        ("cp932", "addons/マップファイル.vpk"),
        ("cp850", "addons/Übung für Ärger.vpk"),
        ("cp437", "addons/Übung für Ärger.vpk"),
        ("cp1252", "addons/Übung für Ärger.vpk"),
        ("utf_8", "addons/说明 Карта.vpk"),
    ],
)
def test_the_code_page_of_names_is_found(code_page: str, name: str) -> None:
    decoded = archive_names.decode([name.encode(code_page), b"addons/plain.vpk"])
    assert decoded.names == [name, "addons/plain.vpk"]


def test_a_chosen_code_page_wins_over_the_one_that_was_found() -> None:
    raw = "Карта.vpk".encode("cp866")
    assert archive_names.decode([raw], code_page="cp1251").names != ["Карта.vpk"]
    assert archive_names.decode([raw], code_page="cp866").names == ["Карта.vpk"]


_PART = st.sampled_from(
    ["left4dead2", "Left4Dead2", "addons", "Addons", "cfg", "a", "A", "pack", "readme.md", "x.vpk", "..", "srcds_run"]
)


@given(st.lists(st.lists(_PART, min_size=1, max_size=5).map("/".join), max_size=12, unique=True))
def test_every_entry_is_placed_or_left_out_and_none_leaves_the_overlay(names: list[str]) -> None:
    plan = archive_layout.make_plan(names)
    placed = [placement.name for placement in plan.placements]
    assert sorted([*placed, *(left.name for left in plan.left_out)]) == sorted(names)
    assert all(part not in ("", ".", "..") for placement in plan.placements for part in placement.target)
