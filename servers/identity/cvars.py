"""The settings by which players find and recognise a server, and which values they take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# Steam's own limits, in bytes of UTF-8: it cuts what is longer.
LONGEST_SHOWN_NAME: Final = 63
LONGEST_TAGS: Final = 127
LONGEST_VALUE: Final = 200
# SteamID64 of groups count from here; the game wants the number that is added to it.
_FIRST_GROUP: Final = 103582791429521408
_LARGEST_GROUP: Final = 2**32 - 1
# What would end the quoted value, or turn the direction of text.
_REFUSED: Final = re.compile(r'["\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]')


@dataclass(frozen=True, kw_only=True)
class IdentityCvar:
    """One setting. With `choices` it takes only those; `default` is what the game does without it."""

    name: str
    label: str | Promise
    help: str | Promise = ""
    choices: tuple[tuple[str, str | Promise], ...] = ()
    default: str = ""


ALL: Final = (
    IdentityCvar(
        name="hostname",
        label=gettext_lazy("Name in the game"),
        help=gettext_lazy(
            "{name} becomes the name of each server, {n} its number in this blueprint. Left blank: the server’s name."
        ),
    ),
    IdentityCvar(
        name="sv_tags",
        label=gettext_lazy("Tags"),
        help=gettext_lazy("Words that players search for in the server browser, separated by commas."),
    ),
    IdentityCvar(
        name="sv_region",
        label=gettext_lazy("Region"),
        choices=(
            ("0", gettext_lazy("US East")),
            ("1", gettext_lazy("US West")),
            ("2", gettext_lazy("South America")),
            ("3", gettext_lazy("Europe")),
            ("4", gettext_lazy("Asia")),
            ("5", gettext_lazy("Australia")),
            ("6", gettext_lazy("Middle East")),
            ("7", gettext_lazy("Africa")),
            ("255", gettext_lazy("World")),
        ),
    ),
    IdentityCvar(
        name="sv_contact",
        label=gettext_lazy("Contact"),
        help=gettext_lazy("An e-mail address or web address that everybody can see."),
    ),
    IdentityCvar(
        name="sv_steamgroup",
        label=gettext_lazy("Steam group"),
        help=gettext_lazy(
            "Its number, shown as ID on the page where admins edit the group. Separate several by commas."
        ),
    ),
    IdentityCvar(
        name="sv_steamgroup_exclusive",
        label=gettext_lazy("Who may start a game"),
        choices=(
            ("0", gettext_lazy("Everybody")),
            ("1", gettext_lazy("Members of the Steam group; others may join them")),
            ("2", gettext_lazy("Members of the Steam group, without public matchmaking")),
        ),
        default="0",
    ),
    IdentityCvar(
        name="sv_allow_lobby_connect_only",
        label=gettext_lazy("How players join"),
        choices=(
            ("1", gettext_lazy("From a lobby only")),
            ("0", gettext_lazy("From a lobby, or by address and server browser")),
        ),
        default="1",
    ),
    IdentityCvar(
        name="sv_gametypes",
        label=gettext_lazy("Modes for lobbies"),
        help=gettext_lazy(
            "Modes for which matchmaking may use the server, separated by commas: coop, realism, versus, survival, "
            "scavenge."
        ),
    ),
    IdentityCvar(
        name="sv_search_key",
        label=gettext_lazy("Search key"),
        help=gettext_lazy("Lobbies whose leader has set the same sv_search_key find only servers with this key."),
    ),
)
BY_NAME: Final = {cvar.name: cvar for cvar in ALL}


def normal(name: str, value: str) -> str:
    """The value as the game wants it: numbers of Steam groups instead of their SteamID64."""
    value = value.strip()
    if name == "sv_steamgroup":
        return ",".join(_group(part.strip()) for part in value.split(",")) if value else ""
    return value


def problem(name: str, value: str) -> str:
    """Why a value cannot be set; empty if it can. `value` is what `normal` returned."""
    cvar = BY_NAME[name]
    if _REFUSED.search(value):
        return _("Enter one line without quotation marks or invisible characters.")
    if len(value) > LONGEST_VALUE:
        return _("Enter at most %d characters.") % LONGEST_VALUE
    if cvar.choices and value and value not in dict(cvar.choices):
        return _("Choose one of: %s.") % ", ".join(choice for choice, _label in cvar.choices)
    if name == "sv_steamgroup" and value and not all(_is_group(part) for part in value.split(",")):
        return _("Enter the number of the group, for example 3921853. Names and addresses of groups do not work.")
    if name == "sv_tags" and len(value.encode()) > LONGEST_TAGS:
        return _("Steam cuts tags off after %d bytes. Use fewer or shorter ones.") % LONGEST_TAGS
    return ""


def _group(text: str) -> str:
    is_steam_id = text.isascii() and text.isdecimal() and len(text) == len(str(_FIRST_GROUP))
    return str(int(text) - _FIRST_GROUP) if is_steam_id and int(text) > _FIRST_GROUP else text


def _is_group(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10 and 0 < int(text) <= _LARGEST_GROUP
