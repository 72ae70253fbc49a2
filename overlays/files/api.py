"""JSON API of uploads into files overlays, and of the plans of uploaded archives."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core import numbers
from left4me.core.files import tree
from left4me.core.files.tree import BadPath
from left4me.core.web.api import Body, require_scope
from left4me.core.web.ids import LARGEST_ID
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from overlays import lookups
from overlays.files import archive_plans, archives, remote_archives, uploads
from overlays.models import Overlay, Upload

router = Router(tags=["uploads"])


class UploadOut(Schema):
    id: int
    path: str
    size: int
    state: Literal["receiving", "reading", "waiting", "unreadable"]
    problem: str = Field(description="Why the archive cannot be read")
    ready_at: datetime | None = Field(description="When it became ready; it is deleted 7 days later")
    created_at: datetime

    @staticmethod
    def resolve_state(upload: Upload) -> str:
        if upload.problem:
            return "unreadable"
        if upload.ready_at is not None:
            return "waiting"
        return "reading" if uploads.received(upload) == upload.size else "receiving"


class UploadQuery(Schema):
    name: str = Field("", max_length=255, description="The file's name")
    folder: str = Field(
        "", max_length=900, description="Below the overlay; if empty, an archive's files are placed automatically"
    )
    unpack: bool = Field(True, description="Extract it if it is an archive")
    apply: bool = Field(True, description="Extract by the best plan at once; false: wait until a plan is applied")


class UploadedOut(Schema):
    upload: UploadOut | None = Field(description="An archive that is being read or waits to be extracted; else null")
    job: JobOut | None


class ChoicesIn(Body):
    root: str | None = Field(
        None, max_length=1000, description="The folder to strip from paths; empty for none, null for the best"
    )
    code_page: str = Field(
        "", max_length=20, description="Python's name for the code page of file names; empty to detect it"
    )
    with_programs: bool = Field(False, description="Include programs of the game; admins only")


class PlacementOut(Schema):
    name: str = Field(description="In the archive")
    path: str = Field(description="In the overlay")


class LeftOutOut(Schema):
    name: str
    reason: str
    is_program: bool = Field(description="A program of the game; included with `with_programs`")


class FolderOut(Schema):
    path: str
    files: int
    is_read: bool = Field(description="False if the game reads nothing in this folder")


class ArchivePlanOut(Schema):
    root: str = Field(description="The folder stripped from paths")
    roots: list[str] = Field(description="Folders that can be stripped, best first")
    is_recognised: bool = Field(description="False if no folder of the game was found")
    code_page: str = Field(description="Code page of the file names; empty if not needed")
    file_count: int
    size: int
    folders: list[FolderOut]
    files: list[PlacementOut] = Field(description=f"The first {archive_plans.SHOWN}")
    left_out_count: int
    left_out: list[LeftOutOut] = Field(description=f"The first {archive_plans.SHOWN}")
    letter_case: list[list[str]] = Field(description="Names that differ only in letter case")
    replaced: list[str] = Field(description="Files of the overlay that are replaced")


class FetchIn(Body):
    url: str = Field(max_length=2000, description="The https address of an archive")
    sha256: str = Field("", max_length=64, description="Of the archive; if given, another one is refused")


@router.post("/overlays/{id:overlay_id}/fetches", response={202: JobOut}, summary="Fetch an archive from an address")
def fetch_archive(request: HttpRequest, overlay_id: int, given: FetchIn) -> Status[Job]:
    """A job fetches it, and continues after an interruption; another one extracts it by the best plan."""
    overlay = _overlay(request, overlay_id)
    by = signed_in(request)
    return Status(202, remote_archives.request(overlay=overlay, url=given.url, sha256=given.sha256, by=by))


@router.get("/overlays/{id:overlay_id}/uploads", response=list[UploadOut], summary="List unfinished uploads")
def list_uploads(request: HttpRequest, overlay_id: int) -> list[Upload]:
    overlay = lookups.files_to_edit(signed_in(request), overlay_id)
    return list(overlay.uploads.all())


@router.post("/overlays/{id:overlay_id}/uploads", response={202: UploadedOut}, summary="Upload a file")
def upload_file(request: HttpRequest, overlay_id: int, given: Query[UploadQuery]) -> Status[dict[str, Any]]:
    """The body is the file, with its length in `Content-Length`."""
    overlay = _overlay(request, overlay_id)
    user = signed_in(request)
    length = numbers.whole(request.headers.get("Content-Length", ""), most=LARGEST_ID)
    if not length:
        raise ValidationError(_("Send the file as the request body, with its length in Content-Length."))
    try:
        upload = uploads.start(
            overlay=overlay, folder=given.folder, name=given.name, size=length, unpack=given.unpack, by=user
        )
        if upload.ready_at is None:
            uploads.receive(upload, offset=0, source=request, restart=True)  # type: ignore[arg-type]
        job = uploads.finish(upload, by=user, apply=given.apply)
    except BadPath as reason:
        raise ValidationError(str(reason)) from None
    except uploads.WrongOffset:
        raise uploads.UploadRefused(_("The same file is being uploaded by another request. Try again.")) from None
    waits = upload if upload.pk and upload.unpack and not given.apply else None
    return Status(202, {"upload": waits, "job": job})


@router.get(
    "/overlays/{id:overlay_id}/uploads/{id:upload_id}/plan",
    response=ArchivePlanOut,
    summary="Preview where its files go",
)
def get_plan(request: HttpRequest, overlay_id: int, upload_id: int, choices: Query[ChoicesIn]) -> dict[str, Any]:
    """409 while the archive is being read, or if it cannot be read."""
    overlay = lookups.files_to_edit(signed_in(request), overlay_id)
    try:
        return _plan(archive_plans.plan(_archive(overlay, upload_id), _choices(choices)))
    except BadPath as reason:
        raise ValidationError(str(reason)) from None


@router.post(
    "/overlays/{id:overlay_id}/uploads/{id:upload_id}/apply", response={202: JobOut}, summary="Extract an archive"
)
def apply_plan(request: HttpRequest, overlay_id: int, upload_id: int, given: ChoicesIn) -> Status[Job]:
    """Unpacks by the plan that `GET …/plan` shows for the same choices."""
    overlay = _overlay(request, overlay_id)
    try:
        return Status(202, archive_plans.apply(_archive(overlay, upload_id), _choices(given), by=signed_in(request)))
    except BadPath as reason:
        raise ValidationError(str(reason)) from None


@router.delete("/overlays/{id:overlay_id}/uploads/{id:upload_id}", response={204: None}, summary="Discard an upload")
def discard_upload(request: HttpRequest, overlay_id: int, upload_id: int) -> Status[None]:
    overlay = _overlay(request, overlay_id)
    archive_plans.discard(get_object_or_404(overlay.uploads, pk=upload_id), by=signed_in(request))
    return Status(204, None)


def _overlay(request: HttpRequest, overlay_id: int) -> Overlay:
    require_scope(request, "operate")
    return lookups.files_to_edit(signed_in(request), overlay_id)


def _archive(overlay: Overlay, upload_id: int) -> Upload:
    return get_object_or_404(overlay.uploads.select_related("overlay"), pk=upload_id, unpack=True)


def _choices(given: ChoicesIn) -> archives.Choices:
    """Raises BadPath."""
    root = None if given.root is None else tree.parts(given.root)
    return archives.Choices(root, given.code_page, given.with_programs)


def _plan(shown: archive_plans.ArchivePlan) -> dict[str, Any]:
    plan = shown.plan
    return {
        "root": "/".join(plan.root),
        "roots": ["/".join(root) for root in shown.roots],
        "is_recognised": plan.is_recognised,
        "code_page": shown.code_page,
        "file_count": len(plan.placements),
        "size": shown.size,
        "folders": [{"path": path, "files": count, "is_read": is_read} for path, count, is_read in shown.folders],
        "files": [
            {"name": each.name, "path": "/".join(each.target)} for each in plan.placements[: archive_plans.SHOWN]
        ],
        "left_out_count": len(plan.left_out),
        "left_out": plan.left_out[: archive_plans.SHOWN],
        "letter_case": [list(names) for names in plan.conflicts[: archive_plans.SHOWN]],
        "replaced": shown.replaced[: archive_plans.SHOWN],
    }
