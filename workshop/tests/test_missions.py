"""Campaigns and chapters from mission files."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop import missions

HELMS_DEEP = """
// a comment
"mission"
{
    "Name"    "HelmsDeep"
    "Version" "12"
    "Author"  "A \u0007 B"
    "DisplayTitle" "Helm's Deep Reborn"
    "modes"
    {
        "COOP"
        {
            "10" { "Map" "l4d2_helms_end"    "DisplayName" "The End" }
            "2"  { "Map" "L4D2_Helms_Wall"   "DisplayName" "The Wall" }
            "1"  { "Map" "l4d2_helms_gate"   }
            "x"  { "Map" "ignored" }
            "3"  { "Map" "evil;quit" }
            "4"  { "Map" "../../secret" }
        }
        "versus" { "1" { "Map" "l4d2_helms_gate" } }
        "mutation3" { "1" { "Map" "l4d2_helms_gate" } }
        "empty" { }
    }
}
"""


def test_chapters_stand_by_mode_and_in_numeric_order():
    [campaign] = missions.read(HELMS_DEEP.encode())
    assert (campaign.title, campaign.version, campaign.author) == ("Helm's Deep Reborn", "12", "A B")
    assert list(campaign.modes) == ["coop", "versus", "mutation3"]
    assert [c.map for c in campaign.modes["coop"]] == ["l4d2_helms_gate", "l4d2_helms_wall", "l4d2_helms_end"]
    assert campaign.modes["coop"][0].title == "l4d2_helms_gate"
    assert campaign.first_map == "l4d2_helms_gate"


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "utf-16"])
def test_a_chinese_title_survives_its_encoding(encoding):
    text = HELMS_DEEP.replace("Helm's Deep Reborn", "圣盔谷 重生版")
    assert missions.read(text.encode(encoding))[0].title == "圣盔谷 重生版"


AS_AUTHORS_WRITE = r"""
#base "another.txt"
"mission" // an addon
{ "Name" "Walls" "BuiltIn" "0"
  "DisplayTitle" "Console" [$X360]
  "DisplayTitle" "The Walls" [$WIN32]
  "Website" "https://walls.example/get"
  "poster" { "posterTitle" "#poster" "x" { "fullscreen" "maps/p" } }
  "Modes" { "coop" [!$X360] { "1" { "Map" "maps\Wall_1.bsp" "DisplayName" "#wall_1" } "2" { "Map" "wall_2"
      "DisplayName" "#unknown" } "03" { "map" "wall_3
      "DisplayName" "Third" } }
    "versus" [$X360] { "1" { "Map" "console_1" } }
    "survival" { "1" { "Map wall_3"
      "DisplayName" "lost"
      "Image" "x" } "2" { "Map" "wall_4" "Map" "twice" } }
  }
  "modes" { "coop" { "1" { "Map" "second" } } }
}
"""


def test_a_mission_is_read_as_authors_write_it():
    words = {"#wall_1": "  The\tGate "}
    [found] = missions.read(AS_AUTHORS_WRITE.encode("utf-16"), translate=words.get)
    assert (found.title, found.website) == ("The Walls", "https://walls.example/get")
    assert [(c.number, c.map, c.title) for c in found.modes["coop"]] == [
        (1, "wall_1", "The Gate"),
        (2, "wall_2", "wall_2"),
        (3, "wall_3", "Third"),
    ]
    assert [c.map for c in found.modes["survival"]] == ["wall_4"]
    assert list(found.modes) == ["coop", "survival"]


def test_a_campaign_without_a_title_has_its_name_and_without_a_name_that_of_its_file():
    text = '"mission" {{ {} "modes" {{ "coop" {{ "1" {{ "Map" "a" }} }} }} }}'
    [named] = missions.read(text.format('"Name" "Walls" "DisplayTitle" "#walls_title"').encode())
    [nameless] = missions.read(text.format('"DisplayTitle" "#walls_title"').encode(), file="walls")
    assert (named.title, nameless.name, nameless.title) == ("Walls", "walls", "walls")


def test_what_is_very_long_is_cut():
    chapters = " ".join(f'"{number}" {{ "Map" "m{number}" "DisplayName" "{"d" * 300}" }}' for number in range(1, 202))
    # A number of six digits is none, and a name of more than a hundred characters would be no map's.
    chapters += f' "99999" {{ "Map" "{"x" * 100}" }} "100000" {{ "Map" "a" }} "0" {{ "Map" "{"x" * 101}" }}'
    text = f'"mission" {{ "Author" "{"a" * 300}" "modes" {{ "{"m" * 60}" {{ {chapters} }} }} }}'
    [campaign] = missions.read(text.encode(), file="f" * 300)
    [(mode, read)] = campaign.modes.items()
    assert (len(campaign.name), len(campaign.author), len(mode)) == (200, 200, 50)
    assert [chapter.number for chapter in read] == list(range(1, 201))
    assert len(read[0].title) == 200
    [campaign] = missions.read(text.replace('"7" {', '"-7" {').encode())
    assert campaign.modes[mode][-1] == missions.Chapter(201, "m201", "d" * 200)
    [campaign] = missions.read(text.replace('"7" {', '"-7" {').replace('"8" {', '"-8" {').encode())
    assert campaign.modes[mode][-1].map == "x" * 100


def test_modes_stand_in_the_order_of_the_game_and_then_by_name():
    modes = ("scavenge", "mutation9", "survival", "versus", "community1", "realism", "coop")
    blocks = " ".join(f'"{mode}" {{ "1" {{ "Map" "a" }} }}' for mode in modes)
    [campaign] = missions.read(f'"mission" {{ "Name" "n" "modes" {{ {blocks} }} }}'.encode())
    expected = ["coop", "realism", "versus", "survival", "scavenge", "community1", "mutation9"]
    assert list(campaign.modes) == expected
    assert missions.by_map([campaign])[0]["modes"] == expected


def test_maps_that_no_campaign_names_come_last():
    campaigns = missions.read(HELMS_DEEP.encode())
    entries = missions.by_map(campaigns, ["l4d2_helms_gate", "lonely", "evil;quit"])
    assert [entry["map"] for entry in entries] == ["l4d2_helms_gate", "l4d2_helms_wall", "l4d2_helms_end", "lonely"]
    assert entries[0]["modes"] == ["coop", "versus", "mutation3"]
    assert entries[3] == {"map": "lonely", "title": "lonely", "campaign": "", "modes": []}


def test_several_files_may_describe_one_campaign():
    survival = '"mission" { "Name" "helmsdeep" "modes" { "survival" { "1" { "Map" "l4d2_helms_gate" } } } }'
    other = '"mission" { "Name" "Another" "modes" { "coop" { "1" { "Map" "a" } } } }'
    merged = missions.merge([c for raw in (HELMS_DEEP, survival, other) for c in missions.read(raw.encode())])
    assert [c.title for c in merged] == ["Another", "Helm's Deep Reborn"]
    assert list(merged[1].modes) == ["coop", "versus", "mutation3", "survival"]


@pytest.mark.parametrize("text", ["", "mission", '"mission" "x"', '"mission" { "modes" "x" }', "\x00" * 50])
def test_a_file_without_a_campaign_gives_none(text):
    assert missions.read(text.encode()) == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_crash(raw):
    missions.read(b'"mission" { "modes" { "coop" { "1" {' + raw)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" https://www.gamemaps.com/details/1 ", "https://www.gamemaps.com/details/1"),
        (
            "https://steamcommunity.com/sharedfiles/filedetails/?id=1",
            "https://steamcommunity.com/sharedfiles/filedetails/?id=1",
        ),
        ("http://store.steampowered.com/app/500/", ""),
        ("http://www.l4d.com", ""),
        ("http://valvesoftware.com/", ""),
        ("https://notl4d.com/", "https://notl4d.com/"),
        ("www.example.org", ""),
        ("ftp://example.org/", ""),
        ("https:///path", ""),
        ("https://user:secret@example.org/", ""),
        ("https://example.org/a b", ""),
        ("https://example.org/a\u202eb", ""),
        ("https://[example.org/", ""),
        (f"https://example.org/{'x' * 480}", f"https://example.org/{'x' * 480}"),
        (f"https://example.org/{'x' * 481}", ""),
        ("", ""),
    ],
)
def test_the_address_of_an_example_is_no_website(text, address):
    assert missions.website(text) == address
