"""The API of what changed since a server last ran well."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from left4me.audit.models import AuditEntry
from servers import lookups
from servers.api import wire
from servers.lifecycle import suspects
from servers.models import BlueprintVersion

router = Router(tags=["servers"])


class GoodRunOut(Schema):
    started_at: datetime
    ended_at: datetime = Field(alias="ended_well_at")


class FailedRunOut(Schema):
    started_at: datetime


class SavedVersionOut(Schema):
    number: int
    user: str | None
    created_at: datetime

    @staticmethod
    def resolve_user(version: BlueprintVersion) -> str | None:
        return version.user.get_username() if version.user else None


class EditOut(Schema):
    overlay_id: int
    action: str = Field(description="As in the audit log, such as overlay.files_changed")
    user: str = Field(alias="actor")
    created_at: datetime
    details: dict[str, object]

    @staticmethod
    def resolve_overlay_id(entry: AuditEntry) -> int:
        return int(entry.target.partition(":")[2])


class SuspectsOut(Schema):
    good: GoodRunOut | None = Field(
        description="The last run that nothing crashed or hung in, and that was ended after ten minutes or later"
    )
    failed: FailedRunOut | None = Field(
        description="The run it is compared with; null: what a start now would use, since the last start failed early"
    )
    changes: list[wire.ChangeOut]
    versions: list[SavedVersionOut] = Field(description="Versions of the blueprint that were saved between the runs")
    edits: list[EditOut] = Field(description="What users did to the overlays whose content changed, newest first")


@router.get(
    "/servers/{id:server_id}/suspects",
    response=SuspectsOut,
    summary="List what changed since the server last ran well",
)
def list_suspects(request: HttpRequest, server_id: int) -> suspects.Suspects:
    user = signed_in(request)
    return suspects.of(lookups.server_to_edit(user, server_id), user=user, now=timezone.now())
