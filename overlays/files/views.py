"""Pages of an overlay's files: browse, edit, upload without JavaScript, rename, download."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.audit import record
from left4me.core import rows
from left4me.core.files import tree
from left4me.core.files.tree import BadPath, Tree
from left4me.core.web import notices, ranges
from left4me.jobs import actions as jobs
from overlays import builds, lookups, paths, permissions
from overlays.files import archives, texts, trash, uploads
from overlays.models import Overlay

MOST_ROWS = 2_000


@require_safe
def files(request: HttpRequest, pk: int) -> HttpResponse:
    """The content of a folder of the overlay."""
    overlay = lookups.overlay_with_files(signed_in(request), pk)
    try:
        where = tree.parts(request.GET.get("at", ""))
        with Tree(paths.directory(overlay)) as content:
            nodes = content.list(where)
    except BadPath as fault:
        raise Http404(str(fault)) from None
    return _page(request, overlay, where, nodes)


@require_POST
def upload_files(request: HttpRequest, pk: int) -> HttpResponse:
    """Upload complete files from a plain form; the page's script uses the chunked protocol instead."""
    overlay = lookups.files_to_edit(signed_in(request), pk)
    folder = request.POST.get("at", "")
    upload = None
    try:
        for file in request.FILES.getlist("file"):
            upload = uploads.start(
                overlay=overlay,
                folder=folder,
                name=file.name or "",
                size=file.size or 0,
                unpack="unpack" in request.POST,
                by=signed_in(request),
            )
            uploads.partial_path(upload).unlink(missing_ok=True)
            uploads.receive(upload, offset=0, source=file.file)  # type: ignore[arg-type]
            uploads.finish(upload, by=signed_in(request))
    except (jobs.Refused, uploads.WrongOffset, BadPath) as fault:
        notices.refuse(request, fault)
    else:
        messages.success(request, _("Upload complete."))
        if upload is not None and upload.unpack:
            return redirect("overlays:archive_plan", overlay.pk, upload.pk)
    return _back(overlay, folder)


@require_POST
def make_folder(request: HttpRequest, pk: int) -> HttpResponse:
    overlay = lookups.files_to_edit(signed_in(request), pk)
    at = request.POST.get("at", "")

    def make(content: Tree) -> None:
        content.make_folder((*tree.parts(at), *_name(request)))

    return _change(request, overlay, at, make, done=_("Folder created."))


@require_POST
def rename_file(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename or move an entry: a `name` with slashes is a path below the shown folder."""
    overlay = lookups.files_to_edit(signed_in(request), pk)
    at = request.POST.get("at", "")

    def rename(content: Tree) -> None:
        folder = tree.parts(at)
        old = (*folder, *tree.parts(request.POST.get("old", "")))
        content.rename(old, (*folder, *_name(request)))

    return _change(request, overlay, at, rename, done=_("Renamed."))


def _name(request: HttpRequest) -> tree.Parts:
    """The path below the shown folder that was typed. Raises BadPath."""
    if name := tree.parts(request.POST.get("name", "").strip()):
        return name
    raise BadPath(_("Enter a name."))


@require_safe
def download_file(request: HttpRequest, pk: int) -> HttpResponseBase:
    overlay = lookups.overlay_with_files(signed_in(request), pk)
    if not request.GET.get("path"):
        return _back(overlay, "")
    try:
        where = tree.parts(request.GET["path"])
        with Tree(paths.directory(overlay)) as content:
            stream = content.open(where)
    except BadPath as fault:
        raise Http404(str(fault)) from None
    return ranges.file_response(request, stream, filename=where[-1], content_type="application/octet-stream")


@require_http_methods(["GET", "HEAD", "POST"])
def edit_file(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit a text file. Saving is refused with 409 if another user saved the file since it was opened."""
    overlay = lookups.files_to_edit(signed_in(request), pk)
    path = request.POST.get("path", "") or request.GET.get("path", "")
    if not path:
        return _back(overlay, "")
    is_cfg = path.lower().endswith(".cfg")
    context: dict[str, Any] = {"overlay": overlay, "path": path, "is_cfg": is_cfg, "text": "", "version": ""}
    try:
        where = tree.parts(path)
        with Tree(paths.directory(overlay)) as content:
            if request.method == "POST":
                context["text"] = request.POST.get("text", "")
                _write(overlay, content, where, context["text"], seen=request.POST.get("version", ""))
                return _changed(request, overlay, "/".join(where[:-1]), done=_("File saved."))
            if "new" not in request.GET:
                text = texts.read(content, where)
                context |= {"text": text.content, "version": text.version, "encoding": text.converted_from}
    except texts.Stale as fault:
        context |= {"error": str(fault), "version": fault.current.version, "theirs": fault.current.content}
        return render(request, "overlays/file_edit.html", context, status=409)
    except BadPath as fault:
        if request.method != "POST":
            raise Http404(str(fault)) from None
        return render(request, "overlays/file_edit.html", context | {"error": str(fault)}, status=422)
    return render(request, "overlays/file_edit.html", context)


def _write(overlay: Overlay, content: Tree, where: tree.Parts, text: str, *, seen: str) -> None:
    """Write a text within the quota of the overlay's owner. Raises Stale and BadPath."""
    with transaction.atomic():
        if overlay.owner_id is not None:
            rows.take_turns(overlay.owner_id)
        left = uploads.quota_left(overlay)
        grown = texts.write(content, where, text, seen=seen, room=left)
        trash.make_room(overlay, quota_left=left, wanted=grown)
        overlay.count_in(grown)


def _change(request: HttpRequest, overlay: Overlay, at: str, make: Any, *, done: str) -> HttpResponse:
    try:
        with Tree(paths.directory(overlay)) as content:
            make(content)
    except BadPath as fault:
        notices.refuse(request, fault)
        return _back(overlay, at)
    return _changed(request, overlay, at, done=done)


def _changed(request: HttpRequest, overlay: Overlay, at: str, *, done: str) -> HttpResponse:
    user = signed_in(request)
    record.write(action="overlay.files_changed", by=user, target=overlay.resource, request=request, at=at)
    request_build(request, overlay)
    messages.success(request, done)
    return _back(overlay, at)


def request_build(request: HttpRequest, overlay: Overlay) -> None:
    """Request a build after a change: it measures the overlay and checks its VPKs."""
    try:
        builds.request(overlay=overlay, by=signed_in(request))
    except jobs.Refused as fault:
        notices.refuse(request, fault)


def folder_url(overlay: Overlay, at: str) -> str:
    """The address of the page of a folder."""
    query = f"?{urlencode({'at': at})}" if at else ""
    return f"{reverse('overlays:files', args=[overlay.pk])}{query}"


def _back(overlay: Overlay, at: str) -> HttpResponse:
    return redirect(folder_url(overlay, at))


def _steps(overlay: Overlay, where: tree.Parts) -> list[tuple[str, str]]:
    """The way to a folder, without the folder itself: addresses and names."""
    folders = [("", _("Files")), *(("/".join(where[: depth + 1]), name) for depth, name in enumerate(where))]
    above = [(folder_url(overlay, at), name) for at, name in folders[:-1]]
    return [(reverse("overlays:list"), _("Overlays")), (overlay.get_absolute_url(), overlay.name), *above]


def _page(request: HttpRequest, overlay: Overlay, where: tree.Parts, nodes: list[tree.Node]) -> HttpResponse:
    at = "/".join(where)
    prefix = f"{at}/" if at else ""
    left = uploads.quota_left(overlay)
    context = {
        "overlay": overlay,
        "at": at,
        "folder": where[-1] if where else _("Files"),
        "steps": _steps(overlay, where),
        "rows": [(node, prefix + node.name, texts.is_text(node.name)) for node in nodes[:MOST_ROWS]],
        "hidden": max(0, len(nodes) - MOST_ROWS),
        "may_edit": permissions.can_edit_files(signed_in(request), overlay),
        "has_deleted": overlay.deleted_files.exists(),
        "quota_left": left,
        "archive_endings": ", ".join(archives.ENDINGS),
        "waiting": uploads.waiting(overlay),
        "waits_days": uploads.WAITS_FOR.days,
    }
    return render(request, "overlays/files.html", context)
