from __future__ import annotations

import pytest

from livestate.bans import targets


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("76561197960265829", "76561197960265829"),
        (" STEAM_1:1:50 ", "76561197960265829"),
        ("STEAM_0:1:50", "76561197960265829"),
        ("steam_1:1:50", "76561197960265829"),
        ("[U:1:101]", "76561197960265829"),
        ("https://steamcommunity.com/profiles/76561197960265829/", "76561197960265829"),
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("203.0.113.0", "203.0.113.0/24"),
        ("203.0.113", "203.0.113.0/24"),
        ("198.51.0.0/16", "198.51.0.0/16"),
        ("85.0.12.7", "85.0.12.7"),
    ],
)
def test_every_usual_form_of_a_player_or_an_address_is_understood(typed, target):
    assert targets.parse(typed) == target


@pytest.mark.parametrize(
    "typed",
    [
        *("", "Zoey", "123", "76561197960265728", "99999999999999999", "STEAM_ID_LAN", "STEAM_1:2:3", "BOT"),
        *("https://steamcommunity.com/id/zoey", "127.0.0.1", "0.0.0.0", "224.0.0.1", "::1", "2001:db8::1"),
        *("203.0.113.0/25", "203.0.113.256", "1.2.3.4.5", "1..2", "../1", "²³"),
    ],
)
def test_what_no_game_can_ban_is_refused_with_what_to_enter(typed):
    with pytest.raises(targets.NotTarget, match=r"\w"):
        targets.parse(typed)


@pytest.mark.parametrize("target", ["76561197960265829", "203.0.113.7", "203.0.113.0/24", "10.0.0.0/8"])
def test_what_a_game_is_told_is_read_back_as_the_same(target):
    assert targets.from_game(targets.in_game(target)) == target


def test_the_padding_of_a_listed_address_does_not_count():
    assert targets.from_game("203.  0.113.  7") == "203.0.113.7"
