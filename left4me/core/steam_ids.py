"""Steam IDs of people: read from what they paste, and written in the forms that the game uses."""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import gettext_lazy as _

# A Steam ID of 64 bits is this number, which says "a person in the public universe", plus the account's number.
BASE: Final = 76561197960265728
_HIGHEST_ACCOUNT: Final = 2**32 - 1
HINT: Final = _(
    "This is not a Steam ID. Enter 17 digits that begin with 7656, STEAM_1:0:11101, or the address of a profile with "
    "its number: steamcommunity.com/profiles/…"
)

_PROFILE = re.compile(r"(?:https?://)?(?:www\.)?steamcommunity\.com/profiles/([^/?#]+)/?(?:[?#].*)?", re.IGNORECASE)
_WRITTEN = re.compile(r"STEAM_[0-5]:([01]):([0-9]{1,10})", re.IGNORECASE)
_BRACKETED = re.compile(r"\[?U:1:([0-9]{1,10})\]?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{17}")


def parse(text: str) -> int | None:
    """The Steam ID of 64 bits in any of its forms, also in a link to a profile; None for any other text."""
    text = text.strip()
    if profile := _PROFILE.fullmatch(text):
        text = profile[1]
    if written := _WRITTEN.fullmatch(text):
        account = 2 * int(written[2]) + int(written[1])
    elif bracketed := _BRACKETED.fullmatch(text):
        account = int(bracketed[1])
    elif _NUMBER.fullmatch(text):
        account = int(text) - BASE
    else:
        return None
    return BASE + account if is_account(BASE + account) else None


def is_account(steam_id: int) -> bool:
    """Whether this number of 64 bits can be a person's."""
    return 0 < steam_id - BASE <= _HIGHEST_ACCOUNT


def steam_id_2(steam_id: int) -> str:
    """As `STEAM_1:0:11101`, the form of the game's console and of SourceMod's files."""
    account = steam_id - BASE
    return f"STEAM_1:{account % 2}:{account // 2}"


def profile_url(steam_id: int) -> str:
    return f"https://steamcommunity.com/profiles/{steam_id}"
