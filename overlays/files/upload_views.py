"""The upload protocol of the page's script: start, chunks each at its offset, finish. Answers are JSON."""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.permissions import signed_in
from left4me.core.files.tree import BadPath
from left4me.jobs import actions as jobs
from overlays import lookups
from overlays.files import uploads
from overlays.models import Upload


@require_POST
def start_upload(request: HttpRequest, pk: int) -> JsonResponse:
    """`{"name", "folder", "size", "unpack"}`; an upload that was broken off is continued at the offset answered."""
    overlay = lookups.files_to_edit(signed_in(request), pk)
    try:
        asked = json.loads(request.body)
        upload = uploads.start(
            overlay=overlay,
            folder=str(asked.get("folder", "")),
            name=str(asked["name"]),
            size=max(0, int(asked["size"])),
            unpack=bool(asked.get("unpack")),
            by=signed_in(request),
        )
    except (ValueError, KeyError, AttributeError, TypeError):
        return _refused(_("The request cannot be read."), 400)
    except (uploads.UploadRefused, BadPath) as fault:
        return _refused(str(fault), 422)
    return JsonResponse({"id": upload.pk, "offset": uploads.received(upload), "chunk": uploads.CHUNK}, status=201)


@require_POST
def upload_chunk(request: HttpRequest, pk: int, upload_id: int) -> JsonResponse:
    """The body is what comes at `?offset=`; 409 says where the next chunk must start."""
    upload = _upload(request, pk, upload_id)
    offset = request.GET.get("offset", "")
    try:
        # The body goes to the disk as it arrives; reading request.body would hold it in memory, and limit it.
        at = uploads.receive(upload, offset=int(offset) if offset.isdecimal() else -1, source=request)  # type: ignore[arg-type]
    except uploads.WrongOffset as fault:
        return JsonResponse({"offset": fault.offset, "error": str(fault)}, status=409)
    except uploads.UploadRefused as fault:
        return _refused(str(fault), 422)
    return JsonResponse({"offset": at})


@require_POST
def finish_upload(request: HttpRequest, pk: int, upload_id: int) -> JsonResponse:
    upload = _upload(request, pk, upload_id)
    try:
        job = uploads.finish(upload, by=signed_in(request))
    except (uploads.UploadRefused, BadPath) as fault:
        return _refused(str(fault), 422)
    except jobs.Refused as fault:
        return _refused(str(fault), 409)
    return JsonResponse({"job": job.pk}, status=202)


@require_POST
def abort_upload(request: HttpRequest, pk: int, upload_id: int) -> JsonResponse:
    uploads.abort(_upload(request, pk, upload_id))
    return JsonResponse({})


def _upload(request: HttpRequest, pk: int, upload_id: int) -> Upload:
    overlay = lookups.files_to_edit(signed_in(request), pk)
    return get_object_or_404(overlay.uploads.select_related("overlay"), pk=upload_id)


def _refused(words: str, status: int) -> JsonResponse:
    return JsonResponse({"error": words}, status=status)
