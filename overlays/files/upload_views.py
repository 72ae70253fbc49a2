"""The upload protocol of the page's script: start, chunks at their offsets, finish. Responses are JSON."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.permissions import signed_in
from left4me.core import numbers
from left4me.core.files.tree import BadPath
from left4me.core.web import refusals
from left4me.core.web.ids import LARGEST_ID
from left4me.core.web.request import read_json
from left4me.jobs import actions as jobs
from overlays import lookups
from overlays.files import uploads
from overlays.models import Upload


@require_POST
def start_upload(request: HttpRequest, pk: int) -> JsonResponse:
    """Start an upload, from `{"name", "folder", "size", "unpack"}`, or resume an interrupted one at `offset`."""
    overlay = lookups.files_to_edit(signed_in(request), pk)
    try:
        given = read_json(request.body)
        upload = uploads.start(
            overlay=overlay,
            folder=str(given.get("folder", "")),
            name=str(given["name"]),
            size=max(0, int(given["size"])),
            unpack=bool(given.get("unpack")),
            by=signed_in(request),
        )
    except (ValueError, KeyError, AttributeError, TypeError):
        return JsonResponse({"error": _("The request is not valid JSON.")}, status=400)
    except (uploads.UploadRefused, BadPath) as fault:
        return _refused(fault, 422)
    return JsonResponse({"id": upload.pk, "offset": uploads.received(upload), "chunk": uploads.CHUNK}, status=201)


@require_POST
def upload_chunk(request: HttpRequest, pk: int, upload_id: int) -> JsonResponse:
    """Append the body at `?offset=`. A 409 response contains the offset at which the next chunk must start."""
    upload = _upload(request, pk, upload_id)
    offset = numbers.whole(request.GET.get("offset", ""), most=LARGEST_ID)
    try:
        # Streamed to the disk: `request.body` would hold it in memory, and is limited in size.
        at = uploads.receive(upload, offset=-1 if offset is None else offset, source=request)  # type: ignore[arg-type]
    except uploads.WrongOffset as fault:
        return JsonResponse({"offset": fault.offset, "error": str(fault)}, status=409)
    except uploads.UploadRefused as fault:
        return _refused(fault, 422)
    return JsonResponse({"offset": at})


@require_POST
def finish_upload(request: HttpRequest, pk: int, upload_id: int) -> JsonResponse:
    upload = _upload(request, pk, upload_id)
    try:
        job = uploads.finish(upload, by=signed_in(request))
    except (uploads.UploadRefused, BadPath) as fault:
        return _refused(fault, 422)
    except jobs.Refused as fault:
        return _refused(fault, 409)
    answer: dict[str, object] = {"job": job.pk if job else None}
    if upload.unpack:
        answer["plan"] = reverse("overlays:archive_plan", args=[pk, upload_id])
    return JsonResponse(answer, status=202)


@require_POST
def abort_upload(request: HttpRequest, pk: int, upload_id: int) -> JsonResponse:
    uploads.abort(_upload(request, pk, upload_id))
    return JsonResponse({})


def _upload(request: HttpRequest, pk: int, upload_id: int) -> Upload:
    overlay = lookups.files_to_edit(signed_in(request), pk)
    return get_object_or_404(overlay.uploads.select_related("overlay"), pk=upload_id)


def _refused(fault: Exception, status: int) -> JsonResponse:
    cure = refusals.cure_of(fault)
    return JsonResponse({"error": str(fault), "cure": cure.as_json() if cure else None}, status=status)
