"""Titles of maps and campaigns: those of the game itself, and those of a server's workshop items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from servers.models import Server
from workshop.models import WorkshopItem

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

    def __str__(self) -> str:
        return f"{self.campaign}: {self.title}" if self.campaign else self.title


@cache
def stock() -> dict[str, Chapter]:
    """The maps of the game itself, in the order of the campaigns."""
    chapters = {}
    for row in _STOCK.split("\n"):
        if row:
            _, campaign, maps = row.split("|")
            for name, _, title in (entry.partition(":") for entry in maps.split(",")):
                chapters[name] = Chapter(name, title, campaign)
    return chapters


def added(servers: Iterable[Server]) -> dict[int, dict[str, Chapter]]:
    """The maps in each server's workshop items, by server id."""
    by_blueprint: dict[int, dict[str, Chapter]] = {}
    blueprints = {server.blueprint_id for server in servers}
    rows = (
        WorkshopItem.objects.filter(overlay_links__overlay__blueprints__in=blueprints)
        .exclude(is_valid=False)
        .order_by("title", "pk")
        .values_list("overlay_links__overlay__blueprints", "chapters")
        .distinct()
    )
    for blueprint_id, chapters in rows if blueprints else ():
        by_map = by_blueprint.setdefault(blueprint_id, {})
        for entry in chapters:
            by_map.setdefault(entry["map"], Chapter(entry["map"], entry.get("title", ""), entry.get("campaign", "")))
    return {server.pk: by_blueprint.get(server.blueprint_id, {}) for server in servers}


def playable(server: Server) -> dict[str, Chapter]:
    """Every map that this server can change to, those of its workshop items first."""
    return {**added([server])[server.pk], **stock()}


class MapTitles:
    """Looks up chapters by map for a set of servers. Queries workshop items only for a map that is not stock."""

    def __init__(self, servers: Iterable[Server]) -> None:
        self._servers = list(servers)
        self._added: dict[int, dict[str, Chapter]] | None = None

    def chapter(self, server_id: int, name: str) -> Chapter | None:
        """The chapter of this map; None when no mission file describes it."""
        if not name or name in stock():
            return stock().get(name)
        if self._added is None:
            self._added = added(self._servers)
        return self._added.get(server_id, {}).get(name)
