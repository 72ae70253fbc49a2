"""Entries of rotations and queues: what they are called, and which a server can play."""

from __future__ import annotations

import pytest

from livestate.rotation.entries import Availability, Entry, Kind, Maps
from servers.blueprints.maps import Chapter

CHAPTERS = {
    chapter.map: chapter
    for chapter in (
        Chapter("yama_1", "Gate", "Yama"),
        Chapter("yama_2", "Temple", "Yama"),
        Chapter("alone", "Alone", ""),
        Chapter("nameless", "", ""),
        Chapter("long", "x" * 300, ""),
        Chapter("c1m1_hotel", "Hotel", "Dead Center"),
    )
}


@pytest.mark.parametrize(
    ("code", "called"),
    [
        ("campaign:yama_1", "Yama"),
        ("map:yama_1", "Yama: Gate"),
        ("campaign:alone", "Alone"),
        ("map:nameless", "nameless"),
        ("map:long", "x" * 200),
    ],
)
def test_an_entry_is_called_as_it_was_when_it_was_listed(code: str, called: str):
    entry = Entry.parse(code, CHAPTERS)
    assert entry is not None
    assert (entry.title, entry.code) == (called, code)
    assert Entry.load(entry.dump()) == entry
    assert entry.called({}) == called


@pytest.mark.parametrize("code", ["", "map", "map:", "map:gone", "plugin:yama_1", "yama_1"])
def test_what_the_server_does_not_have_is_no_entry(code: str):
    assert Entry.parse(code, CHAPTERS) is None


def test_an_entry_without_a_title_is_called_by_its_map():
    assert Entry(Kind.MAP, "gone").called(CHAPTERS) == "gone"


@pytest.mark.parametrize(
    ("code", "played_on"),
    [
        ("campaign:yama_1", {"yama_1", "yama_2"}),
        ("map:yama_1", {"yama_1"}),
        # Maps without a campaign are of no campaign together.
        ("campaign:alone", {"alone"}),
        ("campaign:gone", {"gone"}),
    ],
)
def test_a_campaign_is_played_on_each_of_its_maps(code: str, played_on: set[str]):
    kind, _colon, name = code.partition(":")
    entry = Entry(Kind(kind), name)
    assert {each for each in (*CHAPTERS, "gone") if entry.is_played_on(each, CHAPTERS)} == played_on


@pytest.mark.parametrize(
    ("loaded", "name", "availability"),
    [
        (["yama_1"], "yama_1", Availability.READY),
        (["yama_1"], "yama_2", Availability.RESTART),
        ([], "c1m1_hotel", Availability.READY),
        (None, "yama_2", Availability.READY),
        (None, "gone", Availability.GONE),
    ],
)
def test_what_the_running_game_has_not_loaded_needs_a_restart(
    loaded: list[str] | None, name: str, availability: Availability
):
    assert Maps(CHAPTERS, loaded).availability(Entry(Kind.MAP, name)) is availability


def test_a_campaign_ends_with_its_last_map():
    maps = Maps(CHAPTERS, None)
    assert maps.chapters_of("yama_2") == ["yama_1", "yama_2"]
    assert (maps.chapters_of("alone"), maps.chapters_of("gone")) == (["alone"], ["gone"])
    assert [name for name in (*CHAPTERS, "gone") if maps.is_last(name)] == ["yama_2", "c1m1_hotel"]
