"""What a rotation and a queue consist of: whole campaigns and single maps, and whether a server can play them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from django.utils.translation import gettext as _

from servers.blueprints import maps
from servers.blueprints.maps import Chapter
from servers.models import GameRun, Server

MOST_ENTRIES = 200
LONGEST_TITLE = 200


class Kind(StrEnum):
    CAMPAIGN = "campaign"
    MAP = "map"


class Availability(StrEnum):
    READY = "ready"  # the running game can change to it
    RESTART = "restart"  # its overlay was added or changed after the game was started
    GONE = "gone"  # neither the game nor an overlay of the blueprint has it


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole campaign, named by its first map, or a single map. `title` is what it was called when it was listed."""

    kind: Kind
    map: str
    title: str = ""

    @classmethod
    def load(cls, stored: Mapping[str, str]) -> Self:
        return cls(Kind(stored["kind"]), stored["map"], stored.get("title", ""))

    @classmethod
    def parse(cls, code: str, chapters: Mapping[str, Chapter]) -> Self | None:
        """The entry with this code, such as `campaign:c1m1_hotel`; None if the server has no such map."""
        kind, _colon, name = code.partition(":")
        if kind not in (*Kind,) or name not in chapters:
            return None
        entry = cls(Kind(kind), name)
        return cls(entry.kind, name, entry.called(chapters)[:LONGEST_TITLE])

    @property
    def code(self) -> str:
        return f"{self.kind}:{self.map}"

    def dump(self) -> dict[str, str]:
        return {"kind": self.kind.value, "map": self.map, "title": self.title}

    def called(self, chapters: Mapping[str, Chapter]) -> str:
        """What pages and players read; the old title of one that is gone."""
        chapter = chapters.get(self.map)
        if chapter is None:
            return self.title or self.map
        if self.kind is Kind.CAMPAIGN and chapter.campaign:
            return chapter.campaign
        return str(chapter) if chapter.title else self.map

    def is_played_on(self, name: str, chapters: Mapping[str, Chapter]) -> bool:
        """Whether a server that has this map loaded plays the entry."""
        if self.map == name or self.kind is Kind.MAP:
            return self.map == name
        own, other = chapters.get(self.map), chapters.get(name)
        return own is not None and other is not None and bool(own.campaign) and own.campaign == other.campaign


@dataclass(frozen=True)
class Maps:
    """The maps that the next start of a server has, and those of the game that runs: None if these are not known."""

    chapters: Mapping[str, Chapter]
    loaded: Collection[str] | None

    def availability(self, entry: Entry) -> Availability:
        if entry.map not in self.chapters:
            return Availability.GONE
        is_there = entry.map in maps.stock() or self.loaded is None or entry.map in self.loaded
        return Availability.READY if is_there else Availability.RESTART

    def chapters_of(self, name: str) -> list[str]:
        """The maps of the campaign to which a map belongs, in their order; the map alone if it belongs to none."""
        own = self.chapters.get(name)
        if own is None or not own.campaign:
            return [name]
        return [each.map for each in self.chapters.values() if each.campaign == own.campaign]

    def is_last(self, name: str) -> bool:
        """Whether a campaign ends with this map."""
        chapter = self.chapters.get(name)
        return chapter is not None and bool(chapter.campaign) and self.chapters_of(name)[-1] == name


def of_server(server: Server) -> Maps:
    run = GameRun.objects.filter(server=server).first()
    # A game that an older release started kept no list.
    is_present = run is not None and server.started_at is not None and run.started_at == server.started_at
    return Maps(maps.playable(server.blueprint_id), run.content.get("maps") if is_present and run else None)


def choices(chapters: Mapping[str, Chapter]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The choices of a form: whole campaigns first, then the maps of each."""
    groups = maps.grouped(dict(chapters))
    whole = [(f"{Kind.CAMPAIGN}:{found[0].map}", campaign) for campaign, found in groups if campaign]
    single = [
        (campaign or _("Other maps"), [(f"{Kind.MAP}:{each.map}", each.title or each.map) for each in found])
        for campaign, found in groups
    ]
    return [(_("Whole campaigns"), whole), *single]
