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
