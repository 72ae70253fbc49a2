"""What the finder of campaigns takes from a tree, and what it says of VPKs, missions and maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.core.files.tree import Node, Tree
from left4me.testing import vpk_files
from left4me.testing.recorded_run import RecordedRun
from overlays.campaigns import finder, rows
from overlays.campaigns.finder import Addon, Finder, Stamp
from overlays.models import OverlayAddon
from workshop import inspection

MISSION = b'"mission" { "Name" "%s" "Author" "me" "Version" "2" "modes" { "coop" { "1" { "Map" "%s_1" } } } }'


class All:
    """Every key is known."""

    def __contains__(self, _key: object) -> bool:
        return True


def node(name: str, size: int = 1, modified: float = 1.5, **is_what: bool) -> Node:
    return Node(name, is_what.get("is_folder", False), is_what.get("is_link", False), size, modified)


def found(root: Path, *, known=(), game: Path | None = None) -> dict[str, Addon]:
    walk = Finder()
    with Tree(root) as tree:
        for where, each in tree.walk():
            walk.take(where, each)
        addons = walk.inspect(tree, known=known, game=game or root / "game", check=lambda: None)
    return {addon.path: addon for addon in addons}


def put(root: Path, path: str, content: bytes = b"x") -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def test_files_of_campaigns_are_known_by_their_place(tmp_path: Path):
    for name in (
        "left4dead2/missions/a.txt",
        "left4dead2_dlc1/missions/b.txt",
        "other/missions/c.txt",
        "left4dead2/missions/deep/d.txt",
        "left4dead2/other/e.txt",
        "left4dead2/missions/f.res",
        "missions/g.txt",
    ):
        put(tmp_path, name, MISSION % (name[-5:-4].encode(), b"m"))
    for name in ("update/maps/a.bsp", "left4dead2/maps/deep/b.bsp", "other/maps/c.bsp", "left4dead2/maps/d.nav"):
        put(tmp_path, name)
    addons = found(tmp_path)
    assert set(addons) == {"left4dead2/missions/a.txt", "left4dead2_dlc1/missions/b.txt", "update/maps"}
    a = addons["left4dead2/missions/a.txt"]
    assert (a.inspection.title, a.inspection.author, a.inspection.version) == ("a", "me", "2")
    assert addons["update/maps"].inspection.maps == ("a",)
    assert not any(addon.is_broken for addon in addons.values())


def test_folders_and_links_are_left_out_and_very_many_files_are_not_taken(tmp_path: Path):
    walk = Finder()
    walk.take(("a.vpk",), node("a.vpk", is_folder=True))
    walk.take(("b.vpk",), node("b.vpk", is_link=True))
    for number in range(2001):
        walk.take(("left4dead2", "maps", f"{number}.bsp"), node(f"{number}.bsp"))
    for number in range(2001):
        walk.take((f"{number:04}.vpk",), node(f"{number:04}.vpk"))
    with Tree(tmp_path) as tree:
        maps, *archives = walk.inspect(tree, known=All(), game=tmp_path, check=lambda: None)
    assert (maps.path, len(maps.inspection.maps), maps.stamp.size) == ("left4dead2/maps", 2000, 2000)
    assert [addon.path for addon in archives] == [f"{number:04}.vpk" for number in range(2000)]
    assert {addon.inspection for addon in archives} == {None}


@pytest.mark.parametrize(("modified", "microseconds"), [(1.5, 1_500_000), (0, 0), (-7.0, 0)])
def test_a_stamp_is_the_size_and_the_time(tmp_path: Path, modified: float, microseconds: int):
    walk = Finder()
    walk.take(("a.vpk",), node("a.vpk", 5, modified))
    with Tree(tmp_path) as tree:
        [addon] = walk.inspect(tree, known=All(), game=tmp_path, check=lambda: None)
    assert addon.stamp == Stamp(5, microseconds)
    assert addon.key == (addon.stamp, False) == finder.key("a.vpk", addon.stamp)


@pytest.mark.parametrize(
    ("path", "is_loaded"),
    [
        ("left4dead2/addons/a.vpk", True),
        ("left4dead2/addons/workshop/a.vpk", True),
        ("left4dead2/addons/deep/a.vpk", False),
        ("left4dead2_dlc1/addons/a.vpk", False),
        ("update/PAK01_dir.vpk", True),
        ("update/deep/pak01_dir.vpk", False),
        ("other/pak01_dir.vpk", False),
        ("left4dead2/pak02_dir.vpk", False),
        ("a.vpk", False),
    ],
)
def test_a_vpk_is_loaded_from_the_places_of_the_game(tmp_path: Path, path: str, is_loaded: bool):
    vpk_files.write(
        put(tmp_path, path), {"missions/w.txt": MISSION % (b"w", b"w"), "addoninfo.txt": b'"x" { addontitle T }'}
    )
    [addon] = found(tmp_path).values()
    assert finder.key(path, addon.stamp)[1] is is_loaded
    assert addon.inspection.title == "T"
    codes = {warning.code: (warning.names, warning.count) for warning in addon.inspection.warnings}
    assert bool(addon.inspection.campaigns) is is_loaded
    assert ("not_loaded" in codes) is not is_loaded
    if not is_loaded:
        assert codes["not_loaded"] == (("left4dead2/addons",), 1)


def test_a_known_vpk_is_not_read_again_unless_its_parts_may_have_changed(tmp_path: Path):
    plain = put(tmp_path, "left4dead2/addons/a.vpk")
    vpk_files.write(plain, {"a.txt": b"1"})
    split = put(tmp_path, "left4dead2/addons/b_dir.vpk")
    part = split.with_name("b_000.vpk")
    vpk_files.write(split, {"b.txt": b"123"}, part=part)
    addons = found(tmp_path)
    assert set(addons) == {"left4dead2/addons/a.vpk", "left4dead2/addons/b_dir.vpk"}
    both = addons["left4dead2/addons/b_dir.vpk"]
    assert both.stamp.size == split.stat().st_size + 3
    assert both.stamp.modified_us == max(int(path.stat().st_mtime * 1_000_000) for path in (split, part))
    again = found(tmp_path, known={addon.key for addon in addons.values()})
    assert [addon.inspection is None for addon in again.values()] == [True, False]
    part.unlink()
    assert found(tmp_path)["left4dead2/addons/b_dir.vpk"].inspection.reason.startswith(
        "its content is in a missing part"
    )
    split.unlink()
    part.write_bytes(b"123")
    assert found(tmp_path)["left4dead2/addons/b_000.vpk"].inspection.reason == "is part of b_dir.vpk, which is missing"
    # A whole VPK may have the name of a part.
    vpk_files.write(part, {"c.txt": b"1"})
    vpk_files.write(split, {"b.txt": b"123"})
    assert {path.rpartition("/")[2] for path in found(tmp_path)} == {"a.vpk", "b_000.vpk", "b_dir.vpk"}


def test_files_of_the_game_that_a_vpk_replaces_are_named(tmp_path: Path):
    game = tmp_path / "installed"
    vpk_files.write(put(game, "left4dead2/pak01_dir.vpk"), {"scripts/a.txt": b"1"})
    for name in ("a", "b"):
        vpk_files.write(put(tmp_path, f"tree/left4dead2/addons/{name}.vpk"), {"scripts/a.txt": b"1"})
    addons = found(tmp_path / "tree", game=game)
    assert [[warning.code for warning in addon.inspection.warnings] for addon in addons.values()] == [
        ["replaces_game_files"]
    ] * 2


def test_a_loose_mission_takes_its_titles_from_loose_texts_and_its_maps_are_its_own(tmp_path: Path):
    put(
        tmp_path,
        "left4dead2/missions/w.txt",
        MISSION.replace(b'"Author"', b'"DisplayTitle" "#t" "Author"') % (b"w", b"w"),
    )
    put(tmp_path, "left4dead2/missions/empty.txt", b"nothing")
    put(tmp_path, "left4dead2/resource/w_english.txt", b'"lang" { "Tokens" { "t" "Walls" } }')
    put(tmp_path, "left4dead2/maps/w_1.bsp", b"12345")
    put(tmp_path, "left4dead2/maps/B.bsp", b"123")
    put(tmp_path, "left4dead2/maps/a.bsp", b"1234")
    addons = found(tmp_path)
    assert addons["left4dead2/missions/w.txt"].inspection.title == "Walls"
    assert set(addons) == {"left4dead2/missions/w.txt", "left4dead2/maps"}
    maps = addons["left4dead2/maps"]
    assert (maps.inspection.maps, maps.stamp.size) == (("a", "b"), 7)
    assert maps.inspection.valid


def test_what_a_mission_says_at_length_is_cut_and_the_first_website_counts(tmp_path: Path):
    first = (
        b'"mission" { "Name" "a" "Author" "'
        + b"a" * 300
        + b'" "Version" "'
        + b"v" * 99
        + b'" "modes" { "coop" { "1" { "Map" "m" } } } }'
    )
    second = (
        b'"mission" { "Name" "'
        + b"n" * 199
        + b'" "Website" "https://x.org" "modes" { "coop" { "1" { "Map" "m" } } } }'
    )
    put(tmp_path, "left4dead2/missions/a.txt", first + second)
    put(tmp_path, "left4dead2/missions/b.txt", b"//" + b"x" * (1024 * 1024 - 2) + b"\n" + second)
    [addon] = found(tmp_path).values()
    read: inspection.Inspection = addon.inspection
    assert (read.title, read.author, read.version) == ("a, " + "n" * 197, "a" * 200, "v" * 50)
    assert (read.website, len(read.campaigns)) == ("https://x.org", 2)


def test_what_vanishes_meanwhile_is_broken_or_nothing(tmp_path: Path):
    walk = Finder()
    for name in ("left4dead2/addons/a.vpk", "left4dead2/addons/b_000.vpk", "left4dead2/missions/c.txt"):
        walk.take(tuple(name.split("/")), node(name.rpartition("/")[2]))
    with Tree(tmp_path) as tree:
        addons = walk.inspect(tree, known=(), game=tmp_path, check=lambda: None)
    assert [(addon.path, addon.is_broken) for addon in addons] == [
        ("left4dead2/addons/a.vpk", True),
        ("left4dead2/addons/b_000.vpk", True),
    ]
    assert "does not exist" in addons[0].inspection.reason


def test_the_log_names_campaigns_and_what_the_game_does_not_load():
    run = RecordedRun()
    chapters = [{"map": "a"}, {"map": "b"}]
    rows.log(
        run,
        [
            OverlayAddon(path="plain.vpk", warnings=[{"code": "game_scripts"}]),
            OverlayAddon(path="w.vpk", campaigns=[{"title": "Walls"}, {"title": "Dam"}], chapters=chapters),
            OverlayAddon(path="there.vpk", warnings=[{"code": "game_scripts"}, {"code": "not_loaded"}]),
        ],
    )
    assert run.lines == [
        "w.vpk: “Walls”, “Dam”, 2 maps",
        "there.vpk is not in left4dead2/addons, so the game does not load it",
    ]
    broken = [OverlayAddon(path="a", reason="is bad", is_valid=False), OverlayAddon(path="b", is_valid=True)]
    assert rows.broken(broken) == ["a is bad"]
