"""JSON API of overlays. Fixtures in tests/wire freeze the wire format."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, Window, changed_fields, listed, page_of, require_scope
from overlays import actions, lookups, permissions
from overlays.models import Overlay, OverlayCopy

Kind = Literal["files", "workshop", "script"]

router = Router(tags=["overlays"])


class OverlayOut(Schema):
    id: int
    name: str
    kind: Kind
    owner: str | None = Field(description="Null for a system overlay")
    path: str
    expose_cfg: bool
    built_at: datetime | None
    content_version: int
    size_bytes: int
    file_count: int
    refused_programs: list[str] = Field(
        description="Programs of the game that no admin has allowed; servers do not start with them"
    )
    used_by: int = Field(description="Number of blueprints that use it")
    version: int = Field(description="Send it with your change")
    created_at: datetime

    @staticmethod
    def resolve_owner(overlay: Overlay) -> str | None:
        return overlay.owner.get_username() if overlay.owner else None


class CopyOut(Schema):
    host: str
    content_version: int
    is_whole: bool = Field(description="False if some workshop items could not be downloaded there")
    made_at: datetime


OverlayPage = page_of(OverlayOut, "OverlayPage")


class OverlayIn(Body):
    name: str = Field(max_length=64)
    kind: Kind = "files"
    is_system: bool = Field(False, description="Part of the catalog; admins only")
    expose_cfg: bool = False
    path: str = Field("", max_length=255, description="An existing directory below the overlay root; admins only")


class OverlayChange(Body):
    version: int = Field(description="The version you read; any other is refused with 409")
    name: str | None = Field(None, max_length=64)
    expose_cfg: bool | None = None
    path: str | None = Field(None, max_length=255, description="Admins only")


class OverlayFilter(Window):
    kind: Kind | None = None
    q: str = Field("", max_length=100, description="Part of the name")


@router.get("/overlays", response=OverlayPage, summary="List overlays")
def list_overlays(request: HttpRequest, window: Query[OverlayFilter]) -> dict[str, Any]:
    rows = Overlay.objects.visible_to(signed_in(request)).select_related("owner").counted()
    if window.kind:
        rows = rows.filter(kind=window.kind)
    if window.q:
        rows = rows.filter(name__icontains=window.q)
    return listed(rows, window)


@router.post("/overlays", response={201: OverlayOut}, summary="Create an overlay")
def create_overlay(request: HttpRequest, given: OverlayIn) -> Status[Overlay]:
    require_scope(request, "operate")
    user = signed_in(request)
    if given.is_system or given.path or given.kind == "script":
        permissions.check_can_make_system_overlay(user)
    overlay = actions.create(
        name=given.name,
        kind=given.kind,
        owner=None if given.is_system else user,
        by=user,
        expose_cfg=given.expose_cfg,
        path=given.path,
    )
    return Status(201, lookups.overlay_or_404(user, overlay.pk))


@router.get("/overlays/{id:overlay_id}", response=OverlayOut, summary="Get an overlay")
def get_overlay(request: HttpRequest, overlay_id: int) -> Overlay:
    return lookups.overlay_or_404(signed_in(request), overlay_id)


@router.get("/overlays/{id:overlay_id}/copies", response=list[CopyOut], summary="List its copies on other hosts")
def list_copies(request: HttpRequest, overlay_id: int) -> list[OverlayCopy]:
    """A host fetches an overlay when a server that uses it starts there. The web's own host needs no copy."""
    return list(lookups.overlay_or_404(signed_in(request), overlay_id).copies.all())


@router.patch("/overlays/{id:overlay_id}", response=OverlayOut, summary="Change an overlay")
def change_overlay(request: HttpRequest, overlay_id: int, given: OverlayChange) -> Overlay:
    require_scope(request, "operate")
    user = signed_in(request)
    overlay = lookups.overlay_to_edit(user, overlay_id)
    if given.path is not None:
        permissions.check_can_make_system_overlay(user)
    changes = changed_fields(given, besides={"version"})
    actions.update(overlay=overlay, seen_version=given.version, by=user, **changes)
    return lookups.overlay_or_404(user, overlay_id)


@router.post(
    "/overlays/{id:overlay_id}/programs/allow", response=OverlayOut, summary="Allow the game's programs in it"
)
def allow_programs(request: HttpRequest, overlay_id: int) -> Overlay:
    """Admins only. A program that is changed later has to be allowed again."""
    require_scope(request, "admin")
    user = signed_in(request)
    overlay = lookups.overlay_or_404(user, overlay_id)
    permissions.check_can_allow_programs(user)
    actions.allow_programs(overlay=overlay, by=user)
    return lookups.overlay_or_404(user, overlay_id)


@router.delete("/overlays/{id:overlay_id}", response={204: None}, summary="Delete an overlay that no blueprint uses")
def delete_overlay(request: HttpRequest, overlay_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    overlay = lookups.overlay_to_edit(user, overlay_id)
    actions.delete(overlay=overlay, by=user)
    return Status(204, None)
