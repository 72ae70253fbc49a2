"""The campaigns in overlays, wherever they come from: workshop items, uploaded or scripted VPKs, loose files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from left4me.core.natural_order import NaturalOrder
from left4me.core.statements import Numbers, select
from overlays import labels
from overlays.models import Overlay, OverlayAddon, OverlayWorkshopItem
from workshop.models import WorkshopItem

Chapters = Mapping[int, list[Mapping[str, Any]]]


@dataclass(frozen=True)
class Source:
    """A file with campaigns, maps or warnings in an overlay: `addon` or workshop `item` is set."""

    overlay_id: int
    addon: OverlayAddon | None = None
    item: WorkshopItem | None = None

    @property
    def found(self) -> OverlayAddon | WorkshopItem:
        found = self.addon or self.item
        if found is None:
            raise ValueError("A source is an addon or a workshop item.")
        return found

    @property
    def title(self) -> str:
        return str(self.found)

    @property
    def path(self) -> str:
        return f"left4dead2/addons/{self.item.steam_id}.vpk" if self.item else self.addon.path if self.addon else ""

    @property
    def size(self) -> int:
        return self.addon.size if self.addon else self.item.file_size if self.item else 0

    @property
    def reason(self) -> str:
        """Why the game cannot use it."""
        return self.addon.reason if self.addon else self.item.last_error if self.item else ""

    @property
    def link(self) -> str:
        """Where players get it: its page on Steam, the address given by a user, or that of its author."""
        if self.item:
            return self.item.get_absolute_url()
        return (self.addon.link or self.addon.website) if self.addon else ""

    @property
    def kind(self) -> str:
        """What it is, for pages."""
        if self.item:
            return _("Workshop item")
        return _("VPK") if self.path.lower().endswith(".vpk") else _("Loose files")

    @property
    def preview_url(self) -> str:
        return self.item.preview_url if self.item else ""

    @property
    def warnings(self) -> list[labels.WarningLabel]:
        return labels.warnings(self.found.warnings)

    @property
    def campaigns(self) -> list[dict[str, Any]]:
        return list(self.found.campaigns)

    @property
    def other_maps(self) -> list[str]:
        """Maps that belong to no campaign."""
        return [entry["map"] for entry in self.found.chapters if not entry.get("campaign")]


def of_overlay(overlay: Overlay) -> list[Source]:
    """Everything found in one overlay that has a campaign, a map or a fault; workshop items only while linked."""
    return [
        source
        for source in of_overlays([overlay.pk]).get(overlay.pk, [])
        if source.found.chapters or source.found.warnings or not source.found.is_valid
    ]


_addons = select(
    lambda: OverlayAddon.objects.filter(overlay__in=Numbers("overlays")).order_by("overlay_id", NaturalOrder("path"))
)
_linked = select(
    lambda: (
        OverlayWorkshopItem.objects.filter(overlay__in=Numbers("overlays"), linked_version__isnull=False)
        .select_related("item")
        .order_by(NaturalOrder("item__title"), "item__steam_id")
    )
)


def of_overlays(overlay_ids: Collection[int]) -> dict[int, list[Source]]:
    """Everything found in these overlays, by overlay: addons by path, then linked workshop items by title."""
    sources: dict[int, list[Source]] = {}
    if not overlay_ids:
        return sources
    for addon in _addons.rows(overlays=overlay_ids):
        sources.setdefault(addon.overlay_id, []).append(Source(addon.overlay_id, addon=addon))
    for link in _linked.rows(overlays=overlay_ids):
        sources.setdefault(link.overlay_id, []).append(Source(link.overlay_id, item=link.item))
    return sources


def chapters(overlay_ids: Collection[int]) -> dict[int, list[Mapping[str, Any]]]:
    """The maps in these overlays, by overlay, in two queries; those of workshop items with their `preview_url`."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    addons = OverlayAddon.objects.filter(overlay__in=overlay_ids).exclude(is_valid=False).order_by("path")
    items = OverlayWorkshopItem.objects.filter(overlay__in=overlay_ids).exclude(item__is_valid=False)
    for overlay_id, entries in addons.values_list("overlay_id", "chapters"):
        found.setdefault(overlay_id, []).extend(entries)
    of_items = items.order_by("item__title", "item__steam_id")
    for overlay_id, entries, url in of_items.values_list("overlay_id", "item__chapters", "item__preview_url"):
        found.setdefault(overlay_id, []).extend({**entry, "preview_url": url} for entry in entries)
    return found


def fault_counts(overlay_ids: Collection[int]) -> dict[int, int]:
    """How many workshop items and files of these overlays cannot be used or downloaded, by overlay; in two queries."""
    counts: dict[int, int] = {}
    for rows in (failed_items(), broken_addons()):
        chosen = rows.filter(overlay__in=overlay_ids).order_by()
        counted = chosen.values("overlay").annotate(count=Count("pk")).values_list("overlay", "count")
        for overlay_id, count in counted:
            counts[overlay_id] = counts.get(overlay_id, 0) + count
    return counts


def failed_items() -> QuerySet[OverlayWorkshopItem]:
    """The workshop items in overlays that cannot be used or downloaded."""
    return OverlayWorkshopItem.objects.filter(
        ~Q(item__last_error="") | ~Q(item__steam_error="") | Q(item__is_valid=False)
    )


def broken_addons() -> QuerySet[OverlayAddon]:
    """The files in overlays that cannot be used."""
    return OverlayAddon.objects.filter(is_valid=False)
