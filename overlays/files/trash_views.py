"""Deleting files of an overlay, and the page of what was deleted and can be restored."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core import rows
from left4me.core.files import tree
from left4me.core.files.tree import BadPath
from left4me.core.web import notices, undo
from left4me.core.web.refusals import Refused
from overlays import builds, lookups
from overlays.files import trash, views
from overlays.models import DeletedFile

_PER_PAGE = 50


@require_POST
def delete_files(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    overlay = lookups.files_to_edit(user, pk)
    at = request.POST.get("at", "")
    try:
        places = [(*tree.parts(at), *tree.parts(name)) for name in request.POST.getlist("name")[: views.MOST_ROWS]]
        deleted = trash.delete(overlay=overlay, places=places, by=user, now=timezone.now())
    except BadPath as fault:
        notices.refuse(request, fault)
        return redirect(views.folder_url(overlay, at))
    views.request_build(request, overlay)
    again = undo.offer("overlay.files", by=user, overlay=pk, deleted=[row.pk for row in deleted]) if deleted else None
    notices.done(request, _("Deleted “%s”.") % ", ".join(str(row) for row in deleted), undo=again)
    return redirect(views.folder_url(overlay, at))


@undo.register("overlay.files")
def put_back(user: User, overlay: int, deleted: list[int]) -> str:
    row = lookups.files_to_edit(user, overlay)
    found = list(row.deleted_files.filter(pk__in=deleted))
    if not found:
        raise rows.Gone
    for each in found:
        trash.restore(each, by=user)
    builds.request(overlay=row, by=user)
    return _folder(found[0])


@require_safe
def deleted_files(request: HttpRequest, pk: int) -> HttpResponse:
    """The deleted files that can be restored."""
    overlay = lookups.files_to_edit(signed_in(request), pk)
    page = Paginator(overlay.deleted_files.select_related("deleted_by"), _PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "overlays/files_deleted.html", {"overlay": overlay, "page": page})


@require_POST
def restore_file(request: HttpRequest, pk: int, deleted_id: int) -> HttpResponse:
    deleted = _deleted(request, pk, deleted_id)
    try:
        trash.restore(deleted, by=signed_in(request))
    except Refused as fault:
        notices.refuse(request, fault)
        return redirect("overlays:deleted_files", pk)
    views.request_build(request, deleted.overlay)
    messages.success(request, _("“%s” restored.") % deleted)
    return redirect(_folder(deleted))


@require_POST
def discard_file(request: HttpRequest, pk: int, deleted_id: int) -> HttpResponse:
    deleted = _deleted(request, pk, deleted_id)
    trash.discard(deleted, by=signed_in(request))
    messages.success(request, _("“%s” deleted for good.") % deleted)
    return redirect("overlays:deleted_files", pk)


def _deleted(request: HttpRequest, pk: int, deleted_id: int) -> DeletedFile:
    overlay = lookups.files_to_edit(signed_in(request), pk)
    return get_object_or_404(overlay.deleted_files.select_related("overlay"), pk=deleted_id)


def _folder(deleted: DeletedFile) -> str:
    return views.folder_url(deleted.overlay, deleted.path.rpartition("/")[0])
