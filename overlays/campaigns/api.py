"""JSON API of the campaigns in overlays of any kind."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, require_scope
from overlays import actions, lookups
from overlays.campaigns import sources
from overlays.campaigns.sources import Source

router = Router(tags=["overlays"])


class ChapterOut(Schema):
    number: int
    map: str
    title: str


class CampaignOut(Schema):
    name: str
    title: str
    version: str
    author: str
    modes: dict[str, list[ChapterOut]] = Field(description="The chapters in order, by game mode")


class SourceOut(Schema):
    id: int | None = Field(description="ID of an uploaded or scripted file; null for a workshop item")
    steam_id: str | None = Field(description="ID of a workshop item; null for a file")
    path: str = Field(description="Below the overlay; for loose files the mission, or the folder of maps")
    title: str
    size_bytes: int
    is_valid: bool | None = Field(description="Null until the file has been inspected")
    reason: str = Field(description="Why the game cannot use it")
    link: str = Field(description="Where players can get it; empty if unknown")
    campaigns: list[CampaignOut]
    other_maps: list[str] = Field(description="Maps that belong to no campaign")
    warnings: list[Any]


class LinkIn(Body):
    link: str = Field(max_length=500, description="Where players can get the file; empty to use the author's website")


@router.get("/overlays/{id:overlay_id}/campaigns", response=list[SourceOut], summary="List its campaigns")
def list_campaigns(request: HttpRequest, overlay_id: int) -> list[dict[str, Any]]:
    """Every file with campaigns, maps, warnings or a fault, also in workshop items."""
    overlay = lookups.overlay_or_404(signed_in(request), overlay_id)
    return [_source(source) for source in sources.of_overlay(overlay)]


@router.patch(
    "/overlays/{id:overlay_id}/campaigns/{id:addon_id}", response=SourceOut, summary="Set the link for players"
)
def set_link(request: HttpRequest, overlay_id: int, addon_id: int, given: LinkIn) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    addon = lookups.addon_to_edit(user, overlay_id, addon_id)
    return _source(Source(overlay_id, addon=actions.set_link(addon=addon, link=given.link, by=user)))


def _source(source: Source) -> dict[str, Any]:
    return {
        "id": source.addon.pk if source.addon else None,
        "steam_id": str(source.item.steam_id) if source.item else None,
        "path": source.path,
        "title": source.title,
        "size_bytes": source.size,
        "is_valid": source.found.is_valid,
        "reason": source.reason,
        "link": source.link,
        "campaigns": source.campaigns,
        "other_maps": source.other_maps,
        "warnings": source.found.warnings,
    }
