"""Files that several workshop items bring, over one overlay or over a blueprint's stack of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from overlays.models import Overlay, OverlayWorkshopItem
from workshop import inspection
from workshop.models import WorkshopContents

LIMIT = 500


@dataclass(frozen=True)
class Found:
    """Conflicts, grouped by the items that meet; `is_cut` when there are more than are shown."""

    groups: list[tuple[str, tuple[str, ...], list[str]]]
    is_cut: bool


def between(overlays: Sequence[Overlay]) -> Found:
    """Conflicts among the items of `overlays`, the topmost first; an item in several of them counts once."""
    found = inspection.conflicts(_items(overlays), limit=LIMIT + 1)
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for conflict in found[:LIMIT]:
        groups.setdefault((conflict.winner, conflict.losers), []).append(conflict.path)
    return Found([(winner, losers, paths) for (winner, losers), paths in groups.items()], len(found) > LIMIT)


def _items(overlays: Sequence[Overlay]) -> Iterator[tuple[str, list[str]]]:
    seen: set[int] = set()
    for overlay in overlays:
        links = OverlayWorkshopItem.objects.filter(overlay=overlay, linked_version__isnull=False)
        # Addons without a list of their own are read in the order of their names, which are their numbers.
        for contents in (
            WorkshopContents.objects.filter(item__overlay_links__in=links)
            .select_related("item")
            .order_by("item__steam_id")
            .iterator(chunk_size=50)
        ):
            if contents.item_id not in seen:
                seen.add(contents.item_id)
                yield f"{contents.item} ({contents.item.steam_id})", contents.paths
