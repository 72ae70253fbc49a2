"""The stock campaigns, as the mission files list them and the script plays them."""

from __future__ import annotations

import os

# code, title, survivors' set ("1": those of the first game), chapters as `map:title`
_TABLE = """
c1|Dead Center|2|c1m1_hotel:The Hotel,c1m2_streets:The Streets,c1m3_mall:The Mall,c1m4_atrium:The Atrium
c2|Dark Carnival|2|c2m1_highway:The Highway,c2m2_fairgrounds:The Fairgrounds,c2m3_coaster:The Coaster,\
c2m4_barns:The Barns,c2m5_concert:The Concert
c3|Swamp Fever|2|c3m1_plankcountry:Plank Country,c3m2_swamp:The Swamp,c3m3_shantytown:Shanty Town,\
c3m4_plantation:The Plantation
c4|Hard Rain|2|c4m1_milltown_a:The Milltown,c4m2_sugarmill_a:The Sugar Mill,c4m3_sugarmill_b:Mill Escape,\
c4m4_milltown_b:Return To Town,c4m5_milltown_escape:Town Escape
c5|The Parish|2|c5m1_waterfront:The Waterfront,c5m2_park:The Park,c5m3_cemetery:The Cemetery,\
c5m4_quarter:The Quarter,c5m5_bridge:The Bridge
c6|The Passing|2|c6m1_riverbank:The Riverbank,c6m2_bedlam:The Underground,c6m3_port:The Port
c7|The Sacrifice|1|c7m1_docks:Docks,c7m2_barge:Barge,c7m3_port:Port
c8|No Mercy|1|c8m1_apartment:The Apartments,c8m2_subway:The Subway,c8m3_sewers:The Sewer,\
c8m4_interior:The Hospital,c8m5_rooftop:Rooftop Finale
c9|Crash Course|1|c9m1_alleys:The Alleys,c9m2_lots:The Truck Depot Finale
c10|Death Toll|1|c10m1_caves:The Turnpike,c10m2_drainage:The Drains,c10m3_ranchhouse:The Church,\
c10m4_mainstreet:The Town,c10m5_houseboat:Boathouse Finale
c11|Dead Air|1|c11m1_greenhouse:The Greenhouse,c11m2_offices:The Crane,c11m3_garage:The Construction Site,\
c11m4_terminal:The Terminal,c11m5_runway:Runway Finale
c12|Blood Harvest|1|c12m1_hilltop:The Woods,c12m2_traintunnel:The Tunnel,c12m3_bridge:The Bridge,\
c12m4_barn:The Train Station,c12m5_cornfield:Farmhouse Finale
c13|Cold Stream|2|c13m1_alpinecreek:Alpine Creek,c13m2_southpinestream:South Pine Stream,\
c13m3_memorialbridge:Memorial Bridge,c13m4_cutthroatcreek:Cut-throat Creek
c14|The Last Stand|1|c14m1_junkyard:The Junkyard,c14m2_lighthouse:Lighthouse Finale
"""

MODES = ("coop", "realism", "versus", "survival", "scavenge", "mutation")


class Campaign:
    __slots__ = ("chapters", "code", "survivors", "title")

    def __init__(self, row: str) -> None:
        self.code, self.title, survivors, chapters = row.split("|")
        self.survivors = ("Bill", "Zoey", "Francis", "Louis")
        if survivors == "2":
            self.survivors = ("Nick", "Rochelle", "Coach", "Ellis")
        self.chapters = [(name, title) for name, _, title in (c.partition(":") for c in chapters.split(","))]


CAMPAIGNS = [Campaign(row) for row in _TABLE.split("\n") if row]
MAPS = [name for campaign in CAMPAIGNS for name, _ in campaign.chapters]


def stock_maps() -> list[str]:
    """Maps that lie in the tree; the stock list where the tree has no maps directory."""
    try:
        names = sorted(os.listdir("left4dead2/maps"))
    except OSError:
        return list(MAPS)
    return [name[:-4] for name in names if name.endswith(".bsp")]


def campaign_of(name: str) -> Campaign:
    """The campaign with map `name`; for an addon's map the first one."""
    for campaign in CAMPAIGNS:
        if any(name == chapter for chapter, _ in campaign.chapters):
            return campaign
    return CAMPAIGNS[0]


def is_finale(name: str) -> bool:
    """Whether a stock campaign ends with map `name`."""
    return name == campaign_of(name).chapters[-1][0]


def next_map(name: str, known: list[str]) -> str:
    """The chapter after `name`; after a finale the next campaign's first. `known` holds an addon's maps in order."""
    order = MAPS if name in MAPS else sorted(known) or MAPS
    if name not in order:
        return order[0]
    return order[(order.index(name) + 1) % len(order)]
