"""What a ban is for, as text: a SteamID64, an IPv4 address or an IPv4 network; and the forms that games write."""

from __future__ import annotations

import ipaddress
import re

from django.utils.translation import gettext as _

from left4me.core import steam_ids
from left4me.core.web.ids import parse_id
from livestate.status import steam_id_64

LONGEST = 18
_PROFILE = re.compile(r"(?:https?://)?(?:www\.)?steamcommunity\.com/profiles/(\d{17})/?")
_PREFIXES = (8, 16, 24, 32)


class NotTarget(ValueError):
    """The text names neither a Steam account nor addresses that a game can ban. The message says what to enter."""


def parse(text: str) -> str:
    """The target that somebody typed or a file contains. Raises NotTarget."""
    text = text.strip()
    if match := _PROFILE.fullmatch(text):
        text = match[1]
    if text.isascii() and text.isdecimal():
        if steam_ids.is_account(parse_id(text) or 0):
            return text
        raise NotTarget(_("This is not a Steam ID of a player: it has 17 digits and begins with 7656119."))
    if text.upper().startswith(("STEAM_", "[U:")):
        if account := steam_id_64(text.upper()):
            return account
        raise NotTarget(_("This is not a Steam ID of a player, such as STEAM_1:0:12345."))
    if "steamcommunity.com" in text:
        raise NotTarget(_("This profile address contains no Steam ID. Enter the number of the account instead."))
    return _parse_network(text)


def is_player(target: str) -> bool:
    return target.isdecimal()


def in_game(target: str) -> str:
    """The target as `banid` and `addip` take it. Games do without a mask: a part that is 0 stands for every number."""
    if is_player(target):
        return steam_ids.steam_id_2(int(target))
    return target.partition("/")[0]


def from_game(text: str) -> str:
    """The target of an entry that a game lists or writes. Raises NotTarget."""
    return parse(text.replace(" ", ""))


def _parse_network(text: str) -> str:
    address, _slash, prefix = text.partition("/")
    parts = address.split(".")
    if len(parts) < 4 and all(parts):
        # "203.0.113" bans the whole network in a game, and so does 203.0.113.0.
        parts += ["0"] * (4 - len(parts))
    try:
        network = ipaddress.ip_network(f"{'.'.join(parts)}/{prefix or _game_prefix(parts)}", strict=False)
    except ValueError:
        raise NotTarget(
            _("Enter a SteamID, the address of a Steam profile, an IPv4 address, or a network such as 203.0.113.0/24.")
        ) from None
    if network.version != 4 or network.prefixlen not in _PREFIXES:
        raise NotTarget(_("Games can ban networks of IPv4 with the masks /8, /16 and /24 only."))
    if network.is_loopback or network.is_multicast or network.network_address.packed[0] == 0:
        raise NotTarget(_("This address cannot be banned: left4me itself connects from it, or no player has it."))
    return str(network.network_address) if network.prefixlen == 32 else str(network)


def _game_prefix(parts: list[str]) -> int:
    """The mask that a game gives an address: parts at its end that are 0 do not count."""
    used = len(parts)
    while used and parts[used - 1].strip("0") == "":
        used -= 1
    return used * 8
