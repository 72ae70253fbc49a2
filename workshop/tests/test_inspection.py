"""The inspection of VPK files."""

import io
import json
import os
import struct
import zipfile

import pytest

from left4me.testing import vpk_files
from workshop import inspection, vpk

MISSION = '"mission" { "Name" "c" "modes" { "coop" { "1" { "Map" "c1" } } } }'


@pytest.fixture
def look(tmp_path):
    def look(files, **how):
        path = tmp_path / "a.vpk"
        vpk_files.write(path, {name: c.encode() if isinstance(c, str) else c for name, c in files.items()})
        return inspection.inspect(path, **how)

    return look


def bsp(names, *, l4d2_order=True, after=b"", grow=0, shift=0):
    """A map whose pakfile lump is a zip with `names`; its place can be said wrongly."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, os.urandom(100))
    lump = packed.getvalue()
    lumps = [(0, 0, 0, 0)] * 64
    at = 8 + 64 * 16 + 4
    at, length = at + shift, len(lump) + grow
    lumps[40] = (0, at, length, 0) if l4d2_order else (at, length, 0, 0)
    head = struct.pack("<4si", b"VBSP", 21) + b"".join(struct.pack("<iiii", *one) for one in lumps) + bytes(4)
    return head + lump + after


def codes(found):
    return {notice.code: notice.names for notice in found.warnings}


def test_title_campaigns_and_maps_are_read_whatever_the_case(look):
    found = look(
        {
            "ADDONINFO.TXT": '"AddonInfo" { "addonTitle" "T" addonAuthor "me" addonversion 1.2 }',
            "Missions/C.txt": MISSION,
            "maps/c1.bsp": bsp(["stringtable_dictionary.dct"]),
        }
    )
    assert (found.valid, found.title, found.author, found.version) == (True, "T", "me", "1.2")
    assert found.campaigns[0].modes["coop"][0].map == "c1"
    assert found.maps == ("c1",)
    assert found.warnings == ()
    assert found.paths == ("addoninfo.txt", "maps/c1.bsp", "missions/c.txt")
    json.dumps(found.as_json())


@pytest.mark.parametrize("l4d2_order", [True, False])
def test_a_map_without_its_string_table_is_named(look, l4d2_order):
    found = look(
        {
            "maps/good.bsp": bsp(["a", "stringtable_dictionary.dct"], l4d2_order=l4d2_order),
            "maps/bad.bsp": bsp(["a"], l4d2_order=l4d2_order),
            "maps/stub.bsp": b"VBSP",
            "maps/other.bsp": b"X" + bsp(["stringtable_dictionary.dct"], l4d2_order=l4d2_order)[1:],
            "maps/more.bsp": bsp(["StringTable_Dictionary.dct"], l4d2_order=l4d2_order, after=bytes(99)),
            "maps/long.bsp": bsp(["stringtable_dictionary.dct"], l4d2_order=l4d2_order, grow=1),
            "maps/below.bsp": bsp(["stringtable_dictionary.dct"], l4d2_order=l4d2_order, shift=-9999),
            "maps/cut.bsp": bsp(["stringtable_dictionary.dct"], l4d2_order=l4d2_order)[: 8 + 41 * 16 - 1],
            "maps/no.bsp": bsp(["stringtable_dictionary.dct"], l4d2_order=l4d2_order, grow=-9999),
        }
    )
    assert codes(found) == {"no_string_table": ("bad", "below", "cut", "long", "no", "other", "stub")}


def test_only_the_end_of_a_large_map_is_searched_for_its_string_table(look):
    window = 4 * 1024 * 1024
    name = b"stringtable_dictionary.dct"
    maps = {}
    for title, behind in (("near", window - len(name)), ("far", window - len(name) + 1)):
        lump = name + bytes(behind)
        at = 8 + 64 * 16 + 4
        lumps = [(0, 0, 0, 0)] * 64
        lumps[40] = (0, at, len(lump), 0)
        maps[f"maps/{title}.bsp"] = (
            struct.pack("<4si", b"VBSP", 21) + b"".join(struct.pack("<iiii", *one) for one in lumps) + bytes(4) + lump
        )
    assert codes(look(maps)) == {"no_string_table": ("far",)}


def test_only_missions_maps_and_the_info_in_their_places_are_read(look):
    found = look(
        {
            "missions/c.dat": MISSION,
            "other/c.txt": MISSION,
            "missions/deep/c.txt": MISSION,
            "maps/deep/a.bsp": b"VBSP",
            "maps/a.nav": b"x",
            "a.bsp": b"VBSP",
            "deep/addoninfo.txt": '"x" { addontitle "T" }',
        }
    )
    assert (found.campaigns, found.maps, found.title, found.warnings) == ((), (), "", ())
    assert [entry["map"] for entry in look({"maps/b.bsp": b"", "missions/c.txt": MISSION}).chapters] == ["c1", "b"]


def test_texts_of_authors_are_cut(look):
    info = '"x" { addontitle "' + "t" * 300 + '" addonauthor "' + "a" * 300 + '" addonversion "' + "v" * 99
    found = look({"addoninfo.txt": info + '" addonURL0 "https://x.org/" }'})
    assert (found.title, found.author, found.version) == ("t" * 200, "a" * 200, "v" * 50)
    assert found.website == "https://x.org/"
    assert look({"addoninfo.txt": "addontitle T"}).title == ""
    start = '"x" { addontitle "T" // '
    for size, author in ((1024 * 1024, "me"), (1024 * 1024 + 1, "m")):
        line = start + "x" * (size - len(start) - 15) + "\naddonauthor me"
        assert len(line) == size
        assert look({"addoninfo.txt": line}).author == author


def test_of_very_many_files_the_first_are_read(look):
    missions = {f"missions/{n:02}.txt": MISSION.replace('"c"', f'"c{n:02}"') for n in range(65)}
    assert [campaign.name for campaign in look(missions).campaigns] == [f"c{n:02}" for n in range(64)]
    # As many as there may be missions, maps and files of texts together.
    assert len(look({f"maps/{n:03}.bsp": b"" for n in range(300)}).maps) == 64 + 200 + 32


def test_of_very_many_paths_the_first_are_kept(look):
    names = [f"{n:06}" for n in range(100_001)]
    assert look(dict.fromkeys(names, b"")).paths == tuple(names[:-1])


def test_scripts_that_reach_into_every_map_are_named(look):
    found = look(
        {
            "scripts/vscripts/mapspawn_addon.nut": "x",
            "scripts/vscripts/director_base_addon.nut": "x",
            "scripts/gamemodes.txt": "x",
            "scripts/weapon_rifle.txt": "x",
            "scripts/vscripts/my_own.nut": "x",
        }
    )
    assert codes(found) == {
        "global_scripts": ("scripts/vscripts/director_base_addon.nut", "scripts/vscripts/mapspawn_addon.nut"),
        "game_scripts": ("scripts/gamemodes.txt", "scripts/weapon_rifle.txt"),
    }


def test_files_that_replace_the_games_own_are_counted_and_some_named(look):
    files = {f"models/m{n:03}.mdl": "x" for n in range(50)}
    found = look(files | {"addoninfo.txt": "x"}, stock=frozenset(files) | {"addoninfo.txt"})
    [notice] = found.warnings
    assert (notice.code, notice.count, len(notice.names)) == ("replaces_game_files", 50, 20)


def test_an_invalid_file_is_an_answer_not_an_error(tmp_path):
    path = tmp_path / "a.vpk"
    path.write_bytes(b"<html>")
    assert inspection.inspect(path) == inspection.Inspection(valid=False, reason="is a web page, not a VPK")


def test_conflicts_name_the_winner_in_the_order_given():
    items = [
        ("one", ["addoninfo.txt", "a", "b"]),
        ("two", ["addoninfo.txt", "b", "c"]),
        ("three", ["b", "c", "d"]),
    ]
    assert inspection.conflicts(items, limit=9) == [
        inspection.Conflict("b", "one", ("two", "three")),
        inspection.Conflict("c", "two", ("three",)),
    ]
    assert len(inspection.conflicts(items, limit=1)) == 1


def test_a_list_of_paths_packs_into_a_row():
    paths = [f"materials/models/survivors/coach/{n}.vtf" for n in range(5000)]
    packed = inspection.pack_paths(paths)
    assert len(packed) < 20_000
    assert inspection.unpack_paths(packed) == paths


def test_the_games_own_files_come_from_its_directories(tmp_path):
    for folder in ("left4dead2", "left4dead2_dlc1", "update"):
        (tmp_path / folder).mkdir()
    vpk_files.write(tmp_path / "left4dead2" / "pak01_dir.vpk", {"a/b.txt": b"1"})
    vpk_files.write(tmp_path / "update" / "pak01_dir.vpk", {"c.txt": b"1"})
    (tmp_path / "left4dead2_dlc1" / "pak01_dir.vpk").write_bytes(b"broken")
    (tmp_path / "aaa").mkdir()
    (tmp_path / "aaa" / "pak01_dir.vpk").symlink_to("nothing")
    assert inspection.stock_paths(tmp_path) == {"a/b.txt", "c.txt"}
    assert inspection.stock_paths(tmp_path / "missing") == frozenset()


def test_a_vpk_of_several_files_is_read_with_its_parts(tmp_path):
    path = tmp_path / "big_dir.vpk"
    mission = b'"mission" { "Name" "big" "modes" { "coop" { "1" { "Map" "big_1" } } } }'
    vpk_files.write(path, {"missions/big.txt": mission, "maps/big_1.bsp": b"VBSP"}, part=tmp_path / "big_000.vpk")
    parts = {0: tmp_path / "big_000.vpk"}
    with path.open("rb") as stream:
        found = inspection.inspect_stream(stream, open_part=lambda number: parts[number].open("rb"))
    assert ([c.name for c in found.campaigns], found.warnings[0].code) == (["big"], "several_files")
    (tmp_path / "big_000.vpk").write_bytes(b"short")
    with path.open("rb") as stream, pytest.raises(vpk.NotValid, match="extends beyond the end"):
        inspection.inspect_stream(stream, open_part=lambda number: parts[number].open("rb"))
    assert inspection.inspect(path).reason == "its content is in a missing part (_000.vpk)"


@pytest.mark.parametrize(
    ("name", "directory"),
    [("a_000.vpk", "a_dir.vpk"), ("A_B_012.VPK", "A_B_dir.vpk"), ("a_dir.vpk", None), ("a_12.vpk", None)],
)
def test_a_numbered_part_names_its_directory(name, directory):
    assert vpk.directory_of(name) == directory
    if directory:
        number = int(name[-7:-4])
        assert vpk.part_name(directory, number).lower() == name.lower()
