"""Reads campaigns and their chapters by game mode from mission files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from left4me.core import texts
from workshop import keyvalues

_MOST_CHAPTERS = 200
_LONGEST_TEXT = 200
_LONGEST_ADDRESS = 500
# Authors leave these in from Valve's examples; nobody gets a campaign there.
_EXAMPLE_SITES = ("steampowered.com", "valvesoftware.com", "l4d.com")
# These modes are shown first, in this order; the others follow by name.
_KNOWN_MODES = ("coop", "realism", "versus", "survival", "scavenge")
_MAP_NAME = re.compile(r"[a-z0-9_.\-+]{1,100}")

Translate = Callable[[str], str | None]


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
    website: str = ""
    modes: dict[str, tuple[Chapter, ...]] = field(default_factory=dict)

    @property
    def first_map(self) -> str | None:
        return next((chapters[0].map for chapters in self.modes.values() if chapters), None)


def read(raw: bytes, *, file: str = "", translate: Translate = lambda token: None) -> list[Campaign]:
    """The campaigns in a mission file; an empty list when it contains none that can be parsed.

    A campaign without a name is named after `file`. Titles that are tokens (`#MyCampaign_Title`) are looked up with
    `translate`; those it does not know become the campaign's name or the map's.
    """
    root = keyvalues.parse(texts.decode(raw).text)
    missions = (node for node in root.all("mission") if node.children)
    return [campaign for node in missions if (campaign := _campaign(node, file, translate)).modes]


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


def by_map(campaigns: Iterable[Campaign], maps: Iterable[str] = ()) -> list[dict[str, object]]:
    """Every map once, with its title, campaign and game modes; then those of `maps` that no campaign names."""
    entries: dict[str, dict[str, object]] = {}
    modes: dict[str, list[str]] = {}
    for campaign in campaigns:
        for mode, chapters in campaign.modes.items():
            for chapter in chapters:
                entries.setdefault(
                    chapter.map, {"map": chapter.map, "title": chapter.title, "campaign": campaign.title}
                )
                modes.setdefault(chapter.map, []).append(mode)
    for name in maps:
        if _MAP_NAME.fullmatch(name):
            entries.setdefault(name, {"map": name, "title": name, "campaign": ""})
    return [{**entry, "modes": modes.get(name, [])} for name, entry in entries.items()]


def is_address(text: str) -> bool:
    """Whether a link can be offered to players: an address of a web page, without a password in it."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and text.isprintable()
            and " " not in text
            and len(text) <= _LONGEST_ADDRESS
        )
    except ValueError:
        return False


def website(text: str) -> str:
    """The address that an author gave, or nothing if it is no address or that of an example."""
    text = text.strip()
    if not is_address(text):
        return ""
    host = urlsplit(text).hostname or ""
    is_example = any(host == site or host.endswith(f".{site}") for site in _EXAMPLE_SITES)
    return "" if is_example else text


def _campaign(mission: keyvalues.Node, file: str, translate: Translate) -> Campaign:
    modes: dict[str, tuple[Chapter, ...]] = {}
    for block in mission.all("modes"):
        for mode in block.children:
            chapters = () if mode.is_excluded else _chapters(mode, translate)
            if chapters:
                modes.setdefault(mode.key.casefold()[:50], chapters)
    name = _text(mission, "Name") or file[:_LONGEST_TEXT]
    return Campaign(
        name=name,
        title=_title(_text(mission, "DisplayTitle"), translate) or name,
        version=_text(mission, "Version"),
        author=_text(mission, "Author"),
        website=website(mission.text("Website")),
        modes=dict(sorted(modes.items(), key=lambda pair: _mode_order(pair[0]))),
    )


def _chapters(mode: keyvalues.Node, translate: Translate) -> tuple[Chapter, ...]:
    chapters: dict[int, Chapter] = {}
    for node in mode.children:
        name = node.text("Map").replace("\\", "/").casefold().removeprefix("maps/").removesuffix(".bsp")
        # The map name becomes part of a server's command line, so everything except plain names is rejected.
        is_number = node.key.isascii() and node.key.isdigit() and len(node.key) < 6
        if is_number and not node.is_excluded and _MAP_NAME.fullmatch(name):
            number = int(node.key)
            chapters[number] = Chapter(number, name, _title(_text(node, "DisplayName"), translate) or name)
    return tuple(chapters[number] for number in sorted(chapters)[:_MOST_CHAPTERS])


def _title(text: str, translate: Translate) -> str:
    """The text itself, or the translation of a token: empty when there is none."""
    if not text.startswith("#"):
        return text
    return _one_line(translate(text) or "")


def _text(node: keyvalues.Node, key: str) -> str:
    return _one_line(node.text(key))


def _one_line(text: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:_LONGEST_TEXT]


def _mode_order(mode: str) -> tuple[int, str]:
    return (_KNOWN_MODES.index(mode) if mode in _KNOWN_MODES else len(_KNOWN_MODES), mode)
