"""JSON API of deleting files of files overlays, and of restoring what was deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.files import tree
from left4me.core.files.tree import BadPath
from left4me.core.web.api import Window, listed, page_of, require_scope
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from overlays import builds, lookups
from overlays.files import trash
from overlays.models import DeletedFile, Overlay

router = Router(tags=["uploads"])


class DeletedFileOut(Schema):
    id: int
    path: str
    is_folder: bool
    file_count: int
    size: int
    deleted_by: str | None
    deleted_at: datetime
    kept_until: datetime = Field(description="It is deleted for good then, or when uploads need its space")

    @staticmethod
    def resolve_deleted_by(deleted: DeletedFile) -> str | None:
        return deleted.deleted_by.username if deleted.deleted_by else None


DeletedFilePage = page_of(DeletedFileOut, "DeletedFilePage")


class PathsQuery(Schema):
    path: list[str] = Field([], max_length=1000, description="Files and folders, below the overlay; may be repeated")


class DeletedFilesOut(Schema):
    deleted: list[DeletedFileOut]
    job: JobOut = Field(description="The build of the overlay")


@router.delete("/overlays/{id:overlay_id}/files", response={202: DeletedFilesOut}, summary="Delete files")
def delete_files(request: HttpRequest, overlay_id: int, given: Query[PathsQuery]) -> Status[dict[str, Any]]:
    """They can be restored for seven days."""
    overlay, user = _overlay(request, overlay_id), signed_in(request)
    if not given.path:
        raise ValidationError({"path": _("Name the files to delete.")})
    try:
        places = [tree.parts(path) for path in given.path]
        deleted = trash.delete(overlay=overlay, places=places, by=user, now=timezone.now())
    except BadPath as reason:
        raise ValidationError(str(reason)) from None
    return Status(202, {"deleted": deleted, "job": builds.request(overlay=overlay, by=user)})


@router.get("/overlays/{id:overlay_id}/deleted-files", response=DeletedFilePage, summary="List deleted files")
def list_deleted_files(request: HttpRequest, overlay_id: int, window: Query[Window]) -> dict[str, Any]:
    overlay = lookups.files_to_edit(signed_in(request), overlay_id)
    return listed(overlay.deleted_files.select_related("deleted_by"), window)


@router.post(
    "/overlays/{id:overlay_id}/deleted-files/{id:deleted_id}/restore",
    response={202: JobOut},
    summary="Restore a deleted file",
)
def restore_file(request: HttpRequest, overlay_id: int, deleted_id: int) -> Status[Job]:
    """409 if something else is at its path now."""
    deleted = _deleted(request, overlay_id, deleted_id)
    trash.restore(deleted, by=signed_in(request))
    return Status(202, builds.request(overlay=deleted.overlay, by=signed_in(request)))


@router.delete(
    "/overlays/{id:overlay_id}/deleted-files/{id:deleted_id}",
    response={204: None},
    summary="Delete a deleted file for good",
)
def discard_file(request: HttpRequest, overlay_id: int, deleted_id: int) -> Status[None]:
    trash.discard(_deleted(request, overlay_id, deleted_id), by=signed_in(request))
    return Status(204, None)


def _overlay(request: HttpRequest, overlay_id: int) -> Overlay:
    require_scope(request, "operate")
    return lookups.files_to_edit(signed_in(request), overlay_id)


def _deleted(request: HttpRequest, overlay_id: int, deleted_id: int) -> DeletedFile:
    rows = _overlay(request, overlay_id).deleted_files.select_related("overlay")
    return get_object_or_404(rows, pk=deleted_id)
