"""The rows of the page of an overlay's workshop items, with their filter and sort order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.db.models.expressions import Combinable

from left4me.core.natural_order import NaturalOrder
from left4me.jobs.models import Job
from overlays import labels
from overlays.models import Overlay, OverlayWorkshopItem
from workshop.models import WorkshopItem

PER_PAGE = 100
SORTS: dict[str, tuple[str | Combinable, ...]] = {
    "title": (NaturalOrder("item__title"), "pk"),
    "-size": ("-item__file_size", "pk"),
    "-updated": ("-item__time_updated", "pk"),
    "-added": ("-added_at", "-pk"),
}


@dataclass(frozen=True)
class Row:
    link: OverlayWorkshopItem
    item: WorkshopItem
    state: WorkshopItem.State
    tone: str
    updated: datetime | None
    warnings: list[labels.WarningLabel]

    @property
    def is_served(self) -> bool:
        return self.link.linked_version is not None


@dataclass(frozen=True)
class ItemFilter:
    """Search, sort order and filter of the page, from the query string."""

    search: str = ""
    sort: str = "title"
    only: str = ""

    @classmethod
    def from_query(cls, query: Any) -> ItemFilter:
        sort = query.get("sort", "title")
        only = query.get("only", "")
        return cls(
            query.get("q", "").strip()[:200],
            sort if sort in SORTS else "title",
            only if only in ("failed", "warned") else "",
        )


def page(
    overlay: Overlay, item_filter: ItemFilter, *, number: str | None, now: datetime
) -> tuple[Page[OverlayWorkshopItem], list[Row]]:
    """One page of the list, and its rows."""
    links = overlay.workshop_links.select_related("item", "collection").order_by(*SORTS[item_filter.sort])
    if item_filter.search:
        links = links.filter(item__in=WorkshopItem.objects.matching(item_filter.search))
    if item_filter.only == "failed":
        links = links.filter(~Q(item__last_error="") | ~Q(item__steam_error="") | Q(item__is_valid=False))
    if item_filter.only == "warned":
        links = links.exclude(item__warnings=[])
    shown = Paginator(links, PER_PAGE).get_page(number)
    return shown, [_row(link, now) for link in shown.object_list]


def live_job(overlay: Overlay) -> Job | None:
    """The queued or running job of the overlay, whose progress the page shows."""
    return Job.objects.live().filter(resource=overlay.resource).order_by("pk").first()


def _row(link: OverlayWorkshopItem, now: datetime) -> Row:
    item = link.item
    state = item.state(now)
    return Row(
        link=link,
        item=item,
        state=state,
        tone=labels.TONES[state],
        updated=datetime.fromtimestamp(item.time_updated, tz=UTC) if 0 < item.time_updated < 32_503_680_000 else None,
        warnings=labels.warnings(item.warnings),
    )
