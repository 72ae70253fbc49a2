"""The API of blueprint versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Window, listed, page_of, require_scope
from servers import actions, lookups
from servers.api import wire
from servers.api.game_access import GameRole, RulesOut
from servers.models import BlueprintVersion

router = Router(tags=["blueprints"])


class VersionLayerOut(Schema):
    id: int
    name: str
    content_version: int


class VersionPersonOut(Schema):
    user: int | None = Field(description="The account, for a person who has one")
    name: str
    steam_id: str | None
    role: GameRole
    flags: str
    immunity: int
    until: datetime | None


class VersionAccessOut(RulesOut):
    people: list[VersionPersonOut]


class VersionContentOut(Schema):
    name: str
    description: str
    arguments: str
    config: str
    connect_ports: str
    allow_ptrace: bool
    overlays: list[VersionLayerOut] = Field(description="Highest priority first")
    access: VersionAccessOut | None = Field(
        None, description="Admins in the game; null in versions of older releases, which did not keep them"
    )


class VersionOut(Schema):
    """A blueprint as it was saved once."""

    number: int
    user: str | None = Field(description="Who saved it")
    created_at: datetime
    content: VersionContentOut

    @staticmethod
    def resolve_user(version: BlueprintVersion) -> str | None:
        return version.user.get_username() if version.user else None


VersionPage = page_of(VersionOut, "VersionPage")


@router.get(
    "/blueprints/{id:blueprint_id}/versions", response=VersionPage, summary="Every kept version, the newest first"
)
def list_versions(request: HttpRequest, blueprint_id: int, window: Query[Window]) -> dict[str, Any]:
    row = lookups.blueprint_or_404(signed_in(request), blueprint_id)
    return listed(row.versions.select_related("user"), window)


@router.post(
    "/blueprints/{id:blueprint_id}/versions/{id:number}/restore",
    response=wire.BlueprintOut,
    summary="Save it as it was in an earlier version",
)
def restore_version(request: HttpRequest, blueprint_id: int, number: int) -> dict[str, Any]:
    """The name stays as it is. Overlays and users that were deleted are left out."""
    require_scope(request, "operate")
    user = signed_in(request)
    row = lookups.blueprint_to_edit(user, blueprint_id)
    actions.restore_version(blueprint=row, number=number, by=user)
    return wire.blueprint(lookups.blueprint_or_404(user, blueprint_id))
