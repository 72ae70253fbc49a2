"""Keeps what games were started with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from overlays.models import OverlayWorkshopItem
from servers.blueprints import maps
from servers.game_access import lists, roster
from servers.models import GameRun, Server
from servers.state import good_runs


def content(server: Server, applied: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """What a run keeps of a start with the values `applied`, as `launch_plan.applied` returns them."""
    return {
        **applied,
        "blueprint_id": server.blueprint_id,
        "blueprint_name": server.blueprint.name,
        "blueprint_version": server.blueprint.version,
        "host": server.host.name,
        "restart_when_hung": server.restart_when_hung,
        "items": _items([overlay["id"] for overlay in applied["overlays"]]),
        "access": lists.of_roster(roster.of_one(server, now=now)),
        # The game looks for addons only when it starts, so these are the maps of its overlays until it ends.
        "maps": sorted(maps.added([server.blueprint_id])[server.blueprint_id]),
    }


def _items(overlays: list[int]) -> dict[str, dict[str, int]]:
    """The version of each workshop item, by overlay and Steam ID. The keys are texts, as JSON has them."""
    links = OverlayWorkshopItem.objects.filter(overlay__in=overlays, linked_version__isnull=False)
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for overlay, steam_id, version in links.values_list("overlay_id", "item__steam_id", "linked_version"):
        found[str(overlay)][str(steam_id)] = version or 0
    return dict(found)


def begin(server: Server, applied: Mapping[str, Any], *, now: datetime) -> None:
    """Keep what a game was just started with."""
    good = good_runs.last_good(server)
    run = GameRun.objects.create(server=server, started_at=now, content=content(server, applied, now=now))
    server.game_runs.exclude(pk__in=[each.pk for each in (run, good) if each]).delete()
