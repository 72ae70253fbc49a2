"""The API of a server's own copies of files of the game and of overlays."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, require_scope
from left4me.core.web.refusals import Refused
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers import lookups
from servers.actions import own_copies as actions
from servers.views import own_copies as views

router = Router(tags=["servers"])


class OwnCopyOut(Schema):
    path: str = Field(description="That of a folder ends in a slash")
    overlay: str = Field(description="The overlay whose file it hides; empty for a file of the game")
    state: Literal["outdated", "folder", "deleted", "changed", "kept", "same"] = Field(
        description="outdated: the file that it hides was changed later; folder: a folder of the server hides all "
        "that is below its path; deleted: the server deleted the file or folder; changed: the server changed its copy "
        "later; kept: outdated, but wanted; same: no difference now, but later versions will be hidden"
    )
    size: int
    changed_at: datetime
    original_changed_at: datetime


class AsideOut(Schema):
    files: int
    at: datetime


class OwnCopiesOut(Schema):
    files: list[OwnCopyOut] = Field(description="At most 500, the outdated ones first")
    more: int = Field(description="How many are not listed")
    aside: AsideOut | None = Field(description="What was replaced by originals and can be put back, for a week")


class OwnCopiesIn(Body):
    operation: Literal["use_originals", "keep_copies", "put_back_copies"]
    files: list[str] | None = Field(
        None,
        max_length=actions.MOST_FILES,
        description="Paths; without them all copies that are outdated, or all that was replaced by originals",
    )


@router.get("/servers/{id:server_id}/own-copies", response=OwnCopiesOut, summary="Own copies of game files")
def list_own_copies(request: HttpRequest, server_id: int) -> dict[str, Any]:
    """Files that the server has changed or deleted, and whose later versions it therefore does not get."""
    found = views.facts(lookups.server_to_edit(signed_in(request), server_id))
    if "silent" in found:
        raise Refused(_("The host did not respond. Try again in a moment."))
    return found


@router.post("/servers/{id:server_id}/own-copies", response={202: JobOut}, summary="Change own copies of game files")
def change_own_copies(request: HttpRequest, server_id: int, given: OwnCopiesIn) -> Status[Job]:
    """The server must be stopped. `use_originals` sets copies aside; `put_back_copies` takes that back."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    return Status(202, actions.request(server=server, operation=given.operation, by=user, files=given.files))
