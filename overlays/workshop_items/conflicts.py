"""Files contained in several workshop items of an overlay, or of the overlays of a blueprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from overlays.models import Overlay, OverlayWorkshopItem
from workshop import inspection
from workshop.models import WorkshopContents

LIMIT = 500


@dataclass(frozen=True)
class Conflicts:
    """Conflicts grouped by the items involved; `is_cut` when there are more than are shown."""

    groups: list[tuple[str, tuple[str, ...], list[str]]]
    is_cut: bool


def between(overlays: Sequence[Overlay]) -> Conflicts:
    """Conflicts among the items of `overlays`, highest priority first; an item in several overlays counts once."""
    conflicts = inspection.conflicts(_items(overlays), limit=LIMIT + 1)
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for conflict in conflicts[:LIMIT]:
        groups.setdefault((conflict.winner, conflict.losers), []).append(conflict.path)
    return Conflicts([(winner, losers, paths) for (winner, losers), paths in groups.items()], len(conflicts) > LIMIT)


def _items(overlays: Sequence[Overlay]) -> Iterator[tuple[str, list[str]]]:
    seen: set[int] = set()
    for overlay in overlays:
        links = OverlayWorkshopItem.objects.filter(overlay=overlay, linked_version__isnull=False)
        # The game loads addons in the order of their file names, which are their ids.
        for contents in (
            WorkshopContents.objects.filter(item__overlay_links__in=links)
            .select_related("item")
            .order_by("item__steam_id")
            .iterator(chunk_size=50)
        ):
            if contents.item_id not in seen:
                seen.add(contents.item_id)
                yield f"{contents.item} ({contents.item.steam_id})", contents.paths
