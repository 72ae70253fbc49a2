"""The list of bans of a game: what `listid` and `listip` print, and the commands that change it. Knows no rows.

Two habits of the engine matter here. `removeid` compares texts, so that an entry is removed by the text that the game
lists, not by another form of the same account. And the minutes in the list are those that were given, not those that
are left, so that they prove only whether a ban is permanent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from livestate.bans import targets
from servers.gamehost.rcon import packets

LIST = "listid;listip"
# A ban that is about to end still has a length: 0 would make it permanent.
_SHORTEST_MINUTES = 0.02
_HEAD = re.compile(r"^(ID|IP) filter list: (?:(empty)|(\d+) entr(?:y|ies))$", re.MULTILINE)
_ENTRY = re.compile(r"^\d+ (STEAM_\S+|\[U:\S+|[\d .]+) : (?:(permanent)|([\d.]+) min)$", re.MULTILINE)
_FILE_ENTRY = re.compile(r"^\s*(banid|addip|banip)\s+([\d.]+)\s+\"?(\S+?)\"?(?:\s+kick)?\s*(?://.*)?$", re.IGNORECASE)


class NotList(ValueError):
    """The game's answer is not its whole list."""


@dataclass(frozen=True, slots=True)
class Entry:
    text: str
    minutes: float  # 0 for a permanent ban


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to be sent to a game, and what it has that left4me does not know of."""

    add: dict[str, float] = field(default_factory=dict)  # minutes by target
    remove: dict[str, str] = field(default_factory=dict)  # the listed text by target
    foreign: dict[str, float] = field(default_factory=dict)  # minutes by target


def parse(text: str) -> dict[str, Entry]:
    """The entries by target. Raises NotList for an answer in which one of the lists is missing or incomplete."""
    heads = {match[1]: int(match[3] or 0) for match in _HEAD.finditer(text)}
    rows = list(_ENTRY.finditer(text))
    if len(heads) != 2 or sum(heads.values()) != len(rows):
        raise NotList("The game did not answer with its whole list of bans.")
    entries = {}
    for row in rows:
        # Accounts that only LAN games have, and addresses such as 127.0.0.1, belong to no list.
        try:
            entries[targets.from_game(row[1])] = Entry(row[1].replace(" ", ""), float(row[3] or 0))
        except targets.NotTarget:
            continue
    return entries


def parse_file(text: str) -> Iterator[tuple[str, float]]:
    """Target and minutes of each line of a banned_user.cfg or banned_ip.cfg; other lines are left out."""
    for line in text.splitlines():
        if match := _FILE_ENTRY.match(line):
            try:
                yield targets.from_game(match[3]), float(match[2])
            except ValueError:
                continue


def compare(
    listed: Mapping[str, Entry],
    wanted: Mapping[str, datetime | None],
    known: Mapping[str, str | None],
    *,
    now: datetime,
) -> Changes:
    """What differs. `known` are the targets that left4me has banned in this game, with the end of each ban."""
    changes = Changes()
    for target, expires_at in wanted.items():
        entry = listed.get(target)
        is_listed = entry is not None and bool(entry.minutes) == bool(expires_at)
        if not is_listed or (expires_at and known.get(target) != expires_at.isoformat()):
            left = (expires_at - now).total_seconds() / 60 if expires_at else 0.0
            changes.add[target] = max(left, _SHORTEST_MINUTES) if expires_at else 0.0
    for target, entry in listed.items():
        if target in wanted:
            continue
        if target in known:
            changes.remove[target] = entry.text
        else:
            changes.foreign[target] = entry.minutes
    return changes


def commands(changes: Changes) -> list[str]:
    """The packets to send, each with as many commands as one may have."""
    lines = [f"{'removeid' if targets.is_player(t) else 'removeip'} {text}" for t, text in changes.remove.items()]
    for target, minutes in changes.add.items():
        length = f"{minutes:.2f}" if minutes else "0"
        name = targets.in_game(target)
        lines.append(f"banid {length} {name} kick" if targets.is_player(target) else f"addip {length} {name}")
    changed = [*changes.add, *changes.remove]
    # Every map change executes these files: without this, a ban that was lifted would come back.
    if any(map(targets.is_player, changed)):
        lines.append("writeid")
    if not all(map(targets.is_player, changed)):
        lines.append("writeip")
    return _packed(lines)


def files(wanted: Iterable[str]) -> dict[str, str]:
    """The files that server.cfg executes. Bans for a time are permanent in them, until the worker gives their end.

    A game that a supervisor restarts while the worker is away so keeps players out rather than letting them in.
    """
    wanted = sorted(wanted)
    players = [target for target in wanted if targets.is_player(target)]
    addresses = [target for target in wanted if not targets.is_player(target)]
    return {
        "banned_user.cfg": "".join(f"banid 0 {targets.in_game(target)}\n" for target in players),
        "banned_ip.cfg": "".join(f"addip 0 {targets.in_game(target)}\n" for target in addresses),
    }


def _packed(lines: Iterable[str]) -> list[str]:
    packed: list[str] = []
    for line in lines:
        if packed and len(packed[-1]) + len(line) + 1 <= packets.LONGEST_BODY_SENT:
            packed[-1] += f";{line}"
        else:
            packed.append(line)
    return packed
