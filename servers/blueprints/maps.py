"""The maps that servers can change to: those in the overlays of their blueprint, and those of the game itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from django.utils.translation import gettext as _

from overlays.campaigns import sources
from overlays.models import Overlay
from servers.blueprints.checks import Finding, Severity, config_lines
from servers.models import Blueprint, BlueprintOverlay

_START_MAP = re.compile(r"""((?:^|(?<=\s))\+map\s+["']?)([^\s"']+)""", re.IGNORECASE)

# code|title|chapters as `map:title`; a test compares this with the maps of the simulated game.
_STOCK = """
c1|Dead Center|c1m1_hotel:The Hotel,c1m2_streets:The Streets,c1m3_mall:The Mall,c1m4_atrium:The Atrium
c2|Dark Carnival|c2m1_highway:The Highway,c2m2_fairgrounds:The Fairgrounds,c2m3_coaster:The Coaster,\
c2m4_barns:The Barns,c2m5_concert:The Concert
c3|Swamp Fever|c3m1_plankcountry:Plank Country,c3m2_swamp:The Swamp,c3m3_shantytown:Shanty Town,\
c3m4_plantation:The Plantation
c4|Hard Rain|c4m1_milltown_a:The Milltown,c4m2_sugarmill_a:The Sugar Mill,c4m3_sugarmill_b:Mill Escape,\
c4m4_milltown_b:Return To Town,c4m5_milltown_escape:Town Escape
c5|The Parish|c5m1_waterfront:The Waterfront,c5m2_park:The Park,c5m3_cemetery:The Cemetery,\
c5m4_quarter:The Quarter,c5m5_bridge:The Bridge
c6|The Passing|c6m1_riverbank:The Riverbank,c6m2_bedlam:The Underground,c6m3_port:The Port
c7|The Sacrifice|c7m1_docks:Docks,c7m2_barge:Barge,c7m3_port:Port
c8|No Mercy|c8m1_apartment:The Apartments,c8m2_subway:The Subway,c8m3_sewers:The Sewer,\
c8m4_interior:The Hospital,c8m5_rooftop:Rooftop Finale
c9|Crash Course|c9m1_alleys:The Alleys,c9m2_lots:The Truck Depot Finale
c10|Death Toll|c10m1_caves:The Turnpike,c10m2_drainage:The Drains,c10m3_ranchhouse:The Church,\
c10m4_mainstreet:The Town,c10m5_houseboat:Boathouse Finale
c11|Dead Air|c11m1_greenhouse:The Greenhouse,c11m2_offices:The Crane,c11m3_garage:The Construction Site,\
c11m4_terminal:The Terminal,c11m5_runway:Runway Finale
c12|Blood Harvest|c12m1_hilltop:The Woods,c12m2_traintunnel:The Tunnel,c12m3_bridge:The Bridge,\
c12m4_barn:The Train Station,c12m5_cornfield:Farmhouse Finale
c13|Cold Stream|c13m1_alpinecreek:Alpine Creek,c13m2_southpinestream:South Pine Stream,\
c13m3_memorialbridge:Memorial Bridge,c13m4_cutthroatcreek:Cut-throat Creek
c14|The Last Stand|c14m1_junkyard:The Junkyard,c14m2_lighthouse:Lighthouse Finale
"""


@dataclass(frozen=True, slots=True)
class Chapter:
    map: str
    title: str
    campaign: str
    modes: tuple[str, ...] = ()
    code: str = ""  # of a campaign of the game itself: c1 … c14
    preview_url: str = ""  # of the workshop item that brings the map

    @property
    def drawing(self) -> str:
        """The static file with the drawing of its campaign; empty for maps that the game itself does not have."""
        return f"left4me/campaigns/{self.code}.svg" if self.code else ""

    def __str__(self) -> str:
        return f"{self.campaign}: {self.title}" if self.campaign else self.title


@cache
def stock() -> dict[str, Chapter]:
    """The maps of the game itself, in the order of the campaigns."""
    chapters = {}
    for row in _STOCK.split("\n"):
        if row:
            code, campaign, maps = row.split("|")
            for name, _, title in (entry.partition(":") for entry in maps.split(",")):
                chapters[name] = Chapter(name, title, campaign, code=code)
    return chapters


def added(blueprint_ids: Collection[int]) -> dict[int, dict[str, Chapter]]:
    """The maps in the overlays of these blueprints, by blueprint, in the order of their layers, in three queries."""
    links = BlueprintOverlay.objects.filter(blueprint__in=blueprint_ids).order_by("blueprint", "position")
    layers: dict[int, list[int]] = {pk: [] for pk in blueprint_ids}
    for blueprint_id, overlay_id in links.values_list("blueprint_id", "overlay_id") if blueprint_ids else ():
        layers[blueprint_id].append(overlay_id)
    found = sources.chapters({overlay_id for ids in layers.values() for overlay_id in ids}) if blueprint_ids else {}
    return {blueprint_id: _merged(ids, found) for blueprint_id, ids in layers.items()}


def playable(blueprint_id: int) -> dict[str, Chapter]:
    """Every map that a server of this blueprint can change to, those of its overlays first."""
    return {**added([blueprint_id])[blueprint_id], **stock()}


def of_layers(overlays: Sequence[Overlay]) -> dict[str, Chapter]:
    """Every map of a blueprint with these layers, the topmost first."""
    ids = [overlay.pk for overlay in overlays]
    return {**_merged(ids, sources.chapters(ids) if ids else {}), **stock()}


def grouped(chapters: dict[str, Chapter]) -> list[tuple[str, list[Chapter]]]:
    """The chapters by campaign, in the order of the campaigns' first maps."""
    groups: dict[str, list[Chapter]] = {}
    for chapter in chapters.values():
        groups.setdefault(chapter.campaign, []).append(chapter)
    return list(groups.items())


def start_map(arguments: str) -> str:
    """The map in `+map`; empty without one."""
    match = _START_MAP.search(arguments)
    return match[2].lower() if match else ""


def with_start_map(arguments: str, name: str) -> str:
    """The launch arguments with another map in `+map`; the game mode after it stays."""
    if _START_MAP.search(arguments):
        return _START_MAP.sub(lambda match: match[1] + name, arguments, count=1)
    return "\n".join([f"+map {name}", *arguments.splitlines()])


def check_start_map(arguments: str, overlays: Sequence[Overlay]) -> list[Finding]:
    """Warnings for a `+map` that neither the game nor an overlay has; none while an overlay was not inspected."""
    if not _other_start_maps(arguments):
        return []
    return _check(arguments, overlays, of_layers(overlays))


def check_start_maps(blueprints: Sequence[Blueprint]) -> dict[int, list[Finding]]:
    """The warnings of `check_start_map` for many blueprints, in three queries beside their layers."""
    others = {row.pk: row for row in blueprints if _other_start_maps(row.arguments)}
    known = added(others.keys())
    return {pk: _check(row.arguments, row.layers, known[pk]) for pk, row in others.items()}


def _check(arguments: str, overlays: Sequence[Overlay], known: Mapping[str, Chapter]) -> list[Finding]:
    if not all(overlay.is_inspected for overlay in overlays):
        return []
    return [
        Finding(
            field="arguments", line=number, severity=Severity.WARNED, message=_unknown_map(name, {**known, **stock()})
        )
        for number, name in _other_start_maps(arguments)
        if name not in known
    ]


def _other_start_maps(arguments: str) -> list[tuple[int, str]]:
    """The maps in `+map` that the game itself does not have, with their lines."""
    return [
        (number, name)
        for number, line in enumerate(config_lines(arguments), start=1)
        for match in _START_MAP.finditer(line)
        if (name := match[2].lower()) not in stock()
    ]


def _unknown_map(name: str, known: Collection[str]) -> str:
    nearest = next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None)
    if nearest:
        return _("Neither the game nor an overlay contains the map %(name)s. Did you mean %(nearest)s?") % {
            "name": name,
            "nearest": nearest,
        }
    return _("Neither the game nor an overlay contains the map %(name)s. Add an overlay with this map.") % {
        "name": name
    }


def _merged(overlay_ids: Sequence[int], found: sources.Chapters) -> dict[str, Chapter]:
    by_map: dict[str, Chapter] = {}
    for overlay_id in overlay_ids:
        for entry in found.get(overlay_id, ()):
            name = entry["map"]
            chapter = Chapter(
                name,
                entry.get("title", ""),
                entry.get("campaign", ""),
                tuple(entry.get("modes", ())),
                preview_url=entry.get("preview_url", ""),
            )
            if name in stock():
                # Mods and mutations describe stock maps again; their own titles are known better.
                continue
            if name not in by_map:
                by_map[name] = chapter
            elif not by_map[name].campaign and chapter.campaign:
                # The maps may be in one file and the mission that names them in another.
                by_map[name] = chapter
    return by_map
