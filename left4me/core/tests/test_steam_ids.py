from __future__ import annotations

import pytest

from left4me.core import steam_ids

ID = 76561197960287930  # of the account 22202


@pytest.mark.parametrize(
    "text",
    [
        "76561197960287930",
        "  76561197960287930\n",
        "STEAM_1:0:11101",
        "steam_0:0:11101",
        "STEAM_5:0:11101",
        "[U:1:22202]",
        "U:1:22202",
        "u:1:22202",
        "https://steamcommunity.com/profiles/76561197960287930",
        "http://www.steamcommunity.com/profiles/76561197960287930/?xml=1",
        "steamcommunity.com/profiles/[U:1:22202]#top",
    ],
)
def test_each_form_of_a_steam_id_is_read(text: str):
    assert steam_ids.parse(text) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "22202",
        "STEAM_6:0:11101",
        "STEAM_1:2:11101",
        "STEAM_1:0:99999999999",
        "STEAM_1:0:9999999999",
        "U:2:22202",
        "U:1:4294967296",
        "7656119796028793",
        "765611979602879300",
        "76561197960265728",
        "12345678901234567",
        "steamcommunity.com/id/gabe",
        "https://evil.example/profiles/76561197960287930",
        "1" * 17,
    ],
)
def test_any_other_text_is_none(text: str):
    assert steam_ids.parse(text) is None


@pytest.mark.parametrize(
    ("account", "is_one"), [(-1, False), (0, False), (1, True), (2**32 - 1, True), (2**32, False)]
)
def test_accounts_have_32_bits(account: int, is_one: bool):
    assert steam_ids.is_account(steam_ids.BASE + account) is is_one
    if account > 0:
        assert steam_ids.parse(f"U:1:{account}") == (steam_ids.BASE + account if is_one else None)


@pytest.mark.parametrize(
    ("steam_id", "written"), [(ID, "STEAM_1:0:11101"), (ID + 1, "STEAM_1:1:11101"), (ID + 2, "STEAM_1:0:11102")]
)
def test_the_form_of_the_console_leads_back(steam_id: int, written: str):
    assert steam_ids.steam_id_2(steam_id) == written
    assert steam_ids.parse(written) == steam_id


def test_a_person_has_a_page():
    assert steam_ids.profile_url(ID) == "https://steamcommunity.com/profiles/76561197960287930"
