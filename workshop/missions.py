"""Reads campaigns and their chapters by game mode from the mission files in a VPK."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from workshop import keyvalues

_MOST_CHAPTERS = 200
_LONGEST_TEXT = 200
# These modes are shown first, in this order; the others follow by name.
_KNOWN_MODES = ("coop", "realism", "versus", "survival", "scavenge")
_MAP_NAME = re.compile(r"[a-z0-9_.\-+]{1,100}")


@dataclass(frozen=True)
class Chapter:
    number: int
    map: str
    title: str


@dataclass(frozen=True)
class Campaign:
    name: str
    title: str
    version: str
    author: str
    modes: dict[str, tuple[Chapter, ...]] = field(default_factory=dict)

    @property
    def first_map(self) -> str | None:
        return next((chapters[0].map for chapters in self.modes.values() if chapters), None)


def read(raw: bytes) -> list[Campaign]:
    """The campaigns in a mission file; an empty list when it contains none that can be parsed."""
    root = keyvalues.parse(keyvalues.decode(raw))
    missions = (node for node in root.children if node.key.casefold() == "mission" and node.children)
    return [campaign for node in missions if (campaign := _campaign(node)).modes]


def merge(campaigns: Iterable[Campaign]) -> list[Campaign]:
    """Merge campaigns of the same name: several files may describe the modes of one campaign."""
    by_name: dict[str, Campaign] = {}
    for campaign in campaigns:
        merged = by_name.get(campaign.name.casefold())
        if merged is None:
            by_name[campaign.name.casefold()] = campaign
        else:
            for mode, chapters in campaign.modes.items():
                merged.modes.setdefault(mode, chapters)
    return sorted(by_name.values(), key=lambda campaign: campaign.title.casefold())


def _campaign(mission: keyvalues.Node) -> Campaign:
    modes: dict[str, tuple[Chapter, ...]] = {}
    for block in (node for node in mission.children if node.key.casefold() == "modes"):
        for mode in block.children:
            chapters = _chapters(mode)
            if chapters:
                modes.setdefault(mode.key.casefold()[:50], chapters)
    name = _text(mission, "Name")
    return Campaign(
        name=name,
        title=_text(mission, "DisplayTitle") or name,
        version=_text(mission, "Version"),
        author=_text(mission, "Author"),
        modes=dict(sorted(modes.items(), key=lambda pair: _mode_order(pair[0]))),
    )


def _chapters(mode: keyvalues.Node) -> tuple[Chapter, ...]:
    chapters: dict[int, Chapter] = {}
    for node in mode.children:
        name = node.text("Map").casefold()
        # The map name becomes part of a server's command line, so everything except plain names is rejected.
        if node.key.isascii() and node.key.isdigit() and len(node.key) < 6 and _MAP_NAME.fullmatch(name):
            number = int(node.key)
            chapters[number] = Chapter(number, name, _text(node, "DisplayName") or name)
    return tuple(chapters[number] for number in sorted(chapters)[:_MOST_CHAPTERS])


def _text(node: keyvalues.Node, key: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in node.text(key))
    return " ".join(printable.split())[:_LONGEST_TEXT]


def _mode_order(mode: str) -> tuple[int, str]:
    return (_KNOWN_MODES.index(mode) if mode in _KNOWN_MODES else len(_KNOWN_MODES), mode)
