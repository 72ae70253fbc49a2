"""JSON API of workshop items."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, Problem, Window, listed, page_of, require_scope
from left4me.core.web.refusals import Refused
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from overlays import builds, lookups
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.workshop_items import membership, refresh
from workshop import inputs, metadata, steam
from workshop.models import WorkshopItem

router = Router(tags=["workshop"])


class ItemOut(Schema):
    steam_id: str = Field(description="A string, because the number exceeds JavaScript's exact integers")
    title: str
    file_size: int
    time_updated: int = Field(description="Unix time from Steam")
    preview_url: str
    state: Literal["cached", "stale", "missing", "downloading", "failed"]
    last_downloaded_at: datetime | None
    last_error: str = Field(
        description="Begins with “download failed:”, or with “Steam:” if Steam does not offer the item"
    )
    steam_error: str = Field(description="Why Steam does not offer the item; kept until Steam offers it again")
    is_valid: bool | None = Field(description="Null until the file has been inspected")
    campaigns: list[Any]
    chapters: list[Any]
    warnings: list[Any]

    @staticmethod
    def resolve_steam_id(item: WorkshopItem) -> str:
        return str(item.steam_id)

    @staticmethod
    def resolve_state(item: WorkshopItem) -> str:
        return item.state(timezone.now()).value


ItemPage = page_of(ItemOut, "ItemPage")


class ItemFilter(Window):
    q: str = Field("", max_length=200, description="Words from the title, author, map or campaign, or an ID")


class AddIn(Body):
    input: str = Field(
        max_length=inputs.LONGEST_INPUT, description="IDs and links, separated by spaces or line breaks"
    )
    mode: membership.Mode = Field("auto", description="What the IDs are; auto asks Steam")
    follow: bool = Field(
        True, description="Keep in sync with the collections: refreshes add and remove the same items"
    )


class RefusedItem(Schema):
    steam_id: str
    reason: str


class AddedOut(Schema):
    added: list[str]
    already: list[str]
    refused: list[RefusedItem]
    job: JobOut | None


def _workshop_overlay(request: HttpRequest, overlay_id: int, *, to_edit: bool = False) -> Overlay:
    """Raises Http404, PermissionDenied, and Refused for an overlay of another kind."""
    if to_edit:
        require_scope(request, "operate")
    find = lookups.overlay_to_edit if to_edit else lookups.overlay_or_404
    overlay = find(signed_in(request), overlay_id)
    if overlay.kind != Overlay.Kind.WORKSHOP:
        raise Refused(_("This overlay is not a workshop overlay."))
    return overlay


@router.get("/workshop-items", response=ItemPage, summary="List the items of all visible overlays")
def list_items(request: HttpRequest, window: Query[ItemFilter]) -> dict[str, Any]:
    overlays = Overlay.objects.visible_to(signed_in(request))
    # Not by a join, whose repeated items would have to be told apart by all of their columns.
    links = OverlayWorkshopItem.objects.filter(overlay__in=overlays.values("pk"))
    items = WorkshopItem.objects.filter(pk__in=links.values("item"))
    return listed(items.matching(window.q), window)


@router.get("/overlays/{id:overlay_id}/items", response=ItemPage, summary="List the items of an overlay")
def list_overlay_items(request: HttpRequest, overlay_id: int, window: Query[ItemFilter]) -> dict[str, Any]:
    overlay = _workshop_overlay(request, overlay_id)
    return listed(WorkshopItem.objects.filter(overlay_links__overlay=overlay).matching(window.q), window)


@router.post("/overlays/{id:overlay_id}/items", response={202: AddedOut}, summary="Add items or collections")
def add_items(request: HttpRequest, overlay_id: int, given: AddIn) -> Status[dict[str, Any]]:
    """Look up the ids at Steam, add the usable items, and build the overlay."""
    overlay = _workshop_overlay(request, overlay_id, to_edit=True)
    try:
        with metadata.connect() as api:
            preview = membership.look_up(overlay=overlay, text=given.input, mode=given.mode, api=api)
        added = membership.add(
            overlay=overlay, preview=preview, by=signed_in(request), follow=given.follow, now=timezone.now()
        )
    except membership.InvalidInput as fault:
        errors = [{"line": p.line, "text": p.text, "message": str(p)} for p in fault.problems]
        raise Problem(400, _("Nothing was added"), str(fault), errors=errors) from None
    except membership.NotAddable as fault:
        raise Problem(400, _("Nothing was added"), str(fault)) from None
    except steam.SteamError as fault:
        raise Problem(502, _("Steam request failed"), str(fault)) from None
    return Status(
        202,
        {
            "added": [str(steam_id) for steam_id in added.added],
            "already": [str(steam_id) for steam_id in added.already],
            "refused": [{"steam_id": str(i), "reason": reason} for i, reason in added.refused.items()],
            "job": added.job,
        },
    )


@router.delete("/overlays/{id:overlay_id}/items/{id:steam_id}", response={204: None}, summary="Remove an item")
def remove_item(request: HttpRequest, overlay_id: int, steam_id: int) -> Status[None]:
    overlay = _workshop_overlay(request, overlay_id, to_edit=True)
    if not membership.remove(overlay=overlay, steam_ids=[steam_id], by=signed_in(request)):
        raise Http404
    return Status(204, None)


@router.post(
    "/overlays/{id:overlay_id}/items/{id:steam_id}/retry", response={202: JobOut}, summary="Retry an item, then build"
)
def retry_item(request: HttpRequest, overlay_id: int, steam_id: int) -> Status[Job]:
    """Ask Steam about one item again, and download it even if this version's file was refused before."""
    overlay = _workshop_overlay(request, overlay_id, to_edit=True)
    item = get_object_or_404(WorkshopItem, overlay_links__overlay=overlay, steam_id=steam_id)
    try:
        with metadata.connect() as api:
            user, now = signed_in(request), timezone.now()
            job = refresh.retry_item(overlay=overlay, item=item, by=user, api=api, now=now)
    except steam.SteamError as fault:
        raise Problem(502, _("Steam request failed"), str(fault)) from None
    return Status(202, job)


@router.post("/overlays/{id:overlay_id}/refresh", response={202: JobOut}, summary="Refresh from Steam, then build")
def refresh_overlay(request: HttpRequest, overlay_id: int) -> Status[Job]:
    overlay = _workshop_overlay(request, overlay_id, to_edit=True)
    try:
        with metadata.connect() as api:
            job = refresh.refresh_overlay(overlay=overlay, by=signed_in(request), api=api, now=timezone.now())
    except refresh.NothingToRefresh as fault:
        raise Problem(400, _("Nothing to refresh"), str(fault)) from None
    except steam.SteamError as fault:
        raise Problem(502, _("Steam request failed"), str(fault)) from None
    return Status(202, job)


@router.post("/overlays/{id:overlay_id}/build", response={202: JobOut}, summary="Build an overlay of any kind")
def build_overlay(request: HttpRequest, overlay_id: int) -> Status[Job]:
    require_scope(request, "operate")
    user = signed_in(request)
    return Status(202, builds.request(overlay=lookups.overlay_to_edit(user, overlay_id), by=user))
