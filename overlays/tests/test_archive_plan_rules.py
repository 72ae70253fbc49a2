"""The rules by which the files of archives are placed, one by one: roots, variants, letter case, what is left out."""

from __future__ import annotations

import pytest

from overlays.files import archive_layout
from overlays.files.archive_layout import LeftOut, Plan


def plan(*names: str, **how) -> Plan:
    return archive_layout.make_plan(names, **how)


def targets(made: Plan) -> dict[str, str]:
    return {placement.name: "/".join(placement.target) for placement in made.placements}


def reasons(made: Plan) -> dict[str, str]:
    return {left.name: left.reason for left in made.left_out}


def test_below_a_chosen_folder_files_keep_their_paths():
    names = ["a/b.txt", "folder\\", "", "../x", "link", "bin/x.so", "a\\c.txt", "a/b.txt"]
    made = archive_layout.keep_paths(names, base=("left4dead2", "y"), special={4})
    assert [(each.entry, "/".join(each.target)) for each in made.placements] == [
        (7, "left4dead2/y/a/b.txt"),
        (6, "left4dead2/y/a/c.txt"),
    ]
    assert made.left_out == [
        LeftOut("../x", "“..” is not a valid file name. Choose another name."),
        LeftOut("link", "is not a regular file"),
        LeftOut("bin/x.so", "is a program of the game; only admins can include it", is_program=True),
        LeftOut("a/b.txt", "is replaced by “a/b.txt”"),
    ]
    made = archive_layout.keep_paths(names, base=("left4dead2", "y"), with_programs=True)
    assert [each.entry for each in made.placements] == [7, 4, 5, 6]


@pytest.mark.parametrize(
    ("names", "roots"),
    [
        (["B/cfg/1.cfg", "B/cfg/2.cfg", "A/cfg/1.cfg"], [("B",), ("A",)]),
        (["B/cfg/1.cfg", "A/cfg/1.cfg"], [("A",), ("B",)]),
        (["A/B/cfg/1.cfg", "A/B/cfg/2.cfg", "Z/cfg/1.cfg"], [("Z",), ("A", "B")]),
        (["cfg/a.cfg", "x/left4dead2/cfg/a.cfg"], [("x",), ()]),
        (["x/Left4Dead2_DLC2/maps/a.bsp"], [("x",)]),
        (["left4dead2"], []),
        (["cfg"], []),
        (["Pack/MOTD.txt"], [("Pack",)]),
        (["Pack/motd.txt/x"], []),
        (["motd.txt", "A/cfg/a.cfg"], [("A",), ()]),
        (["P/plugins/a.smx", "motd.txt"], [("P",), ()]),
        (["P/plugins/a.doc"], []),
        (["P/data/a.txt"], []),
        (["P/plugins"], []),
        (["sourcemod/x/addons/a.smx"], [("sourcemod", "x")]),
        (["sourcemod/left4dead2/a.smx"], [("sourcemod",)]),
        (["sourcemod/plugins/addons"], []),
        (["sourcemod/plugins/addons.smx"], [()]),
        (["/".join("p" * 8) + "/materials/a.vmt"], [tuple("p" * 8)]),
        (["/".join("p" * 9) + "/materials/a.vmt"], []),
    ],
)
def test_the_best_root_comes_first(names, roots):
    made = plan(*names)
    assert made.roots == roots
    assert made.is_recognised is bool(roots)
    assert made.root == (roots[0] if roots else ())


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a.nav", "left4dead2/maps/a.nav"),
        ("deep/A.BSP", "left4dead2/maps/A.BSP"),
        ("a.inc", "left4dead2/addons/sourcemod/scripting/include/a.inc"),
        ("a.games.txt", "left4dead2/addons/sourcemod/gamedata/a.games.txt"),
        ("x/a.cfg", "left4dead2/cfg/a.cfg"),
        ("x/a.doc", "x/a.doc"),
        ("x/a.txt", "x/a.txt"),
        ("HL2/a.doc", "hl2/a.doc"),
        ("Update/b", "update/b"),
        ("a.png", None),
        ("a.HTML", None),
        ("x/a.pdf", None),
    ],
)
def test_without_a_folder_of_the_game_the_ending_decides(name, target):
    assert targets(plan(name)).get(name) == target


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("x.VPK", "left4dead2/addons/x.VPK"),
        ("deep/x.vpk", "left4dead2/addons/x.vpk"),
        ("addons/workshop/1.vpk", "left4dead2/addons/workshop/1.vpk"),
        ("configs/c.cfg", "left4dead2/addons/sourcemod/configs/c.cfg"),
        ("Plugins/c.smx", "left4dead2/addons/sourcemod/plugins/c.smx"),
        ("metamod/c.vdf", "left4dead2/addons/metamod/c.vdf"),
        ("configs", "left4dead2/configs"),
        ("materials/a.png", "left4dead2/materials/a.png"),
        ("CFG/Server.CFG", "left4dead2/cfg/server.cfg"),
        ("CFG/Other.CFG", "left4dead2/cfg/Other.CFG"),
        ("Addons/SourceMod/Configs/Core.CFG", "left4dead2/addons/sourcemod/configs/core.cfg"),
        ("Addons/Other/Configs/Core.CFG", "left4dead2/addons/Other/Configs/Core.CFG"),
        ("scripts/Plugins/a.nut", "left4dead2/scripts/Plugins/a.nut"),
        ("MapCycle.txt", "left4dead2/mapcycle.txt"),
        ("Left4Dead2/left4dead2/Maps/a.bsp", "left4dead2/maps/a.bsp"),
        ("hl2/a", "hl2/a"),
    ],
)
def test_in_a_pack_each_file_gets_the_path_of_the_game(name, target):
    made = plan("cfg/other.cfg", name, root=())
    assert targets(made)[name] == target


@pytest.mark.parametrize(
    ("name", "is_content"),
    [
        ("docs/a.txt", False),
        ("Docs/deep/a.txt", False),
        ("img/a.txt", False),
        ("cfg/docs/a.txt", True),
        ("cfg/readme.txt", True),
        ("README", False),
        ("Read me first.txt", False),
        ("changelog_2.txt", False),
        ("notes.md", False),
        ("a.lnk", False),
        ("Makefile", False),
        ("readmes.cfg", True),
        ("cfg/.gitignore", False),
        ("cfg/desktop.ini", False),
        ("addons/._a.vpk", False),
        ("left4dead2/docs/a.txt", True),
        ("/".join("p" * 7) + "/docs/a.txt", False),
        ("/".join("p" * 8) + "/docs/a.txt", True),
    ],
)
def test_what_belongs_to_the_repository_of_a_pack_is_left_out(name, is_content):
    made = plan("cfg/a.cfg", name, root=())
    assert (name in targets(made)) is is_content
    if not is_content:
        assert reasons(made)[name] == "is documentation or metadata of the pack"


def test_absolute_paths_count_only_through_a_folder_of_the_game():
    made = plan(
        "C:/Games/left4dead2/cfg/a.cfg",
        "D:\\cfg\\b.cfg",
        "/home/me/addons/c.vpk",
        "/etc/passwd",
        "E:/x/cfg",
        "C:",
        "/",
    )
    assert set(reasons(made)) >= {"/etc/passwd", "E:/x/cfg", "C:"}
    assert reasons(made)["/etc/passwd"] == "It is an absolute path outside the game's folders."
    assert made.roots == [("Games",), (), ("home", "me")]
    assert reasons(plan("."))["."] == "It has no name."
    assert plan("/home/me/addons/c.vpk").placements[0].target == ("left4dead2", "addons", "c.vpk")


def test_what_is_no_plain_file_is_left_out_by_its_number():
    made = plan("cfg/a.cfg", "cfg/b.cfg", "cfg/", "addons\\", "", special={1})
    assert targets(made) == {"cfg/a.cfg": "left4dead2/cfg/a.cfg"}
    assert reasons(made) == {"cfg/b.cfg": "is not a regular file"}


def test_programs_are_marked_as_such():
    made = plan("left4dead2/bin/x.so", "left4dead2/cfg/a.cfg", "../x")
    assert [(left.name, left.is_program) for left in made.left_out] == [("../x", False), ("left4dead2/bin/x.so", True)]


def test_of_variants_one_is_taken_and_parts_are_all():
    names = ["Easy/cfg/a.cfg", "Hard/cfg/A.CFG", "More/cfg/b.cfg", "More/addons/b.vpk", "Last/addons/B.vpk"]
    made = plan(*names, root=("Easy",))
    assert set(targets(made)) == {"Easy/cfg/a.cfg", "More/cfg/b.cfg", "More/addons/b.vpk"}
    assert reasons(made) == {
        "Hard/cfg/A.CFG": "is outside the chosen folder “Easy”",
        "Last/addons/B.vpk": "is outside the chosen folder “Easy”",
    }
    # Include files are the same in all parts.
    made = plan("A/addons/x.inc", "A/cfg/a.cfg", "B/addons/x.inc", "B/cfg/b.cfg")
    assert "B/cfg/b.cfg" in targets(made)


def test_what_stands_in_another_root_inside_can_be_chosen():
    made = plan("cfg/a.cfg", "Optional/cfg/b.cfg", "Optional/readme.md", "other/c.txt")
    assert reasons(made) == {
        "Optional/cfg/b.cfg": "is in “Optional”, which you can choose instead",
        "Optional/readme.md": "is in “Optional”, which you can choose instead",
    }
    assert targets(made)["other/c.txt"] == "left4dead2/other/c.txt"
    made = plan("Pack/cfg/a.cfg", "Elsewhere/b.txt", "readme.md")
    assert reasons(made) == {
        "Elsewhere/b.txt": "is outside the chosen folder “Pack”",
        "readme.md": "is documentation or metadata of the pack",
    }
    # A chosen root that is none of those found takes all below it.
    made = plan("A/B/cfg/a.cfg", "A/B/x.txt", root=("A",))
    assert set(targets(made)) == {"A/B/cfg/a.cfg", "A/B/x.txt"}


def test_of_spellings_the_most_frequent_wins_and_then_the_first():
    made = plan("addons/My/1.txt", "addons/my/2.txt", "addons/my/Sub/3.txt", "addons/MY/sub/4.txt")
    assert sorted(targets(made).values()) == [
        "left4dead2/addons/my/1.txt",
        "left4dead2/addons/my/2.txt",
        "left4dead2/addons/my/Sub/3.txt",
        "left4dead2/addons/my/Sub/4.txt",
    ]
    assert made.conflicts == []
    made = plan("addons/My/a.txt", "addons/my/A.txt", "addons/my/b.txt")
    assert made.conflicts == [("addons/My/a.txt", "addons/my/A.txt")]


def test_the_last_of_two_entries_of_a_path_counts():
    made = plan("cfg/a.cfg", "Cfg/A.cfg", "cfg/a.cfg")
    assert [each.entry for each in made.placements] == [2, 1]
    assert reasons(made) == {"cfg/a.cfg": "is replaced by “cfg/a.cfg”"}


def test_the_folders_of_a_plan_are_counted_two_levels_deep_the_fullest_first():
    made = plan(
        "addons/sourcemod/a.txt", "addons/b.txt", "cfg/a.cfg", "cfg/b.cfg", "cfg/c.cfg", "motd.txt", "hl2/x/y/z.txt"
    )
    assert made.folders() == [
        ("left4dead2/cfg", 3),
        ("left4dead2/addons", 2),
        ("hl2/x", 1),
        ("left4dead2", 1),
    ]
