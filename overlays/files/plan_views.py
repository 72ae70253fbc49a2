"""The page of an uploaded archive that waits: where its files would go, with the choices that change it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.permissions import signed_in
from left4me.core.files import tree
from left4me.core.files.tree import BadPath
from left4me.core.web import notices
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from overlays import lookups, permissions
from overlays.files import archive_names, archive_plans, archives, remote_archives, uploads
from overlays.models import Upload

# In the form, the top of the archive: an empty value leaves the choice to left4me.
_TOP = "/"


@require_http_methods(["GET", "HEAD", "POST"])
def plan(request: HttpRequest, pk: int, upload_id: int) -> HttpResponse:
    """Show what unpacking would do with the choices in the query; POST applies it."""
    upload = _upload(request, pk, upload_id)
    given = request.POST if request.method == "POST" else request.GET
    try:
        shown = _plan(upload, given)
        if request.method == "POST":
            return redirect(archive_plans.apply(upload, shown.choices, by=signed_in(request)))
    except archive_plans.NotReady as reason:
        return _not_ready(request, upload, reason)
    except (BadPath, jobs.Refused) as fault:
        notices.refuse(request, fault)
        return redirect("overlays:archive_plan", pk, upload_id)
    return _render(request, _context(request, upload, shown))


@require_POST
def fetch_archive(request: HttpRequest, pk: int) -> HttpResponse:
    """Request the download of an archive from an address into an overlay."""
    user = signed_in(request)
    overlay = lookups.files_to_edit(user, pk)
    url, sha256 = request.POST.get("url", ""), request.POST.get("sha256", "")
    try:
        job = remote_archives.request(overlay=overlay, url=url, sha256=sha256, by=user)
    except Refused as fault:
        notices.refuse(request, fault)
        return redirect("overlays:files", pk)
    messages.success(request, _("“%s” was requested.") % job.title)
    return redirect(job.get_absolute_url())


@require_POST
def discard(request: HttpRequest, pk: int, upload_id: int) -> HttpResponse:
    archive_plans.discard(_upload(request, pk, upload_id), by=signed_in(request))
    messages.success(request, _("Upload discarded."))
    return redirect("overlays:files", pk)


def _upload(request: HttpRequest, pk: int, upload_id: int) -> Upload:
    overlay = lookups.files_to_edit(signed_in(request), pk)
    return get_object_or_404(overlay.uploads.select_related("overlay").filter(unpack=True), pk=upload_id)


def _plan(upload: Upload, given: QueryDict) -> archive_plans.ArchivePlan:
    root = given.get("root", "")
    wanted = archives.Choices(
        root=tree.parts(root.strip(_TOP)) if root else None,
        code_page=given.get("code_page", ""),
        with_programs="with_programs" in given,
    )
    try:
        return archive_plans.plan(upload, wanted)
    except BadPath:
        # Another code page changes the name of the folder that was chosen.
        return archive_plans.plan(upload, archives.Choices(None, wanted.code_page, wanted.with_programs))


def _not_ready(request: HttpRequest, upload: Upload, reason: archive_plans.NotReady) -> HttpResponse:
    job = Job.objects.live().filter(operation="read_archive", params__upload=upload.pk).first()
    problem = upload.problem
    if not problem and job is None:
        # The job ended between the two looks, or was cancelled.
        upload.refresh_from_db()
        problem = "" if upload.ready_at else upload.problem or _("The archive could not be read. Upload it again.")
    context = {"overlay": upload.overlay, "upload": upload, "reason": reason, "problem": problem, "job": job}
    return _render(request, context, status=409 if request.method == "POST" else 200)


def _render(request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    partial = "#plan" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, f"overlays/archive_plan.html{partial}", context, status=status)


def _context(request: HttpRequest, upload: Upload, shown: archive_plans.ArchivePlan) -> dict[str, Any]:
    chosen = "/".join(shown.plan.root) or _TOP
    return {
        "overlay": upload.overlay,
        "upload": upload,
        "shown": shown,
        "plan": shown.plan,
        "placements": [(each.name, "/".join(each.target)) for each in shown.plan.placements[: archive_plans.SHOWN]],
        "left_out": [each for each in shown.plan.left_out if not each.is_program][: archive_plans.SHOWN],
        "conflicts": shown.plan.conflicts[: archive_plans.SHOWN],
        "replaced": shown.replaced[: archive_plans.SHOWN],
        "roots": [("/".join(root) or _TOP, "/".join(root)) for root in shown.roots],
        "chosen_root": chosen,
        "code_pages": archive_names.CODE_PAGES.items(),
        "may_allow_programs": permissions.can_allow_programs(signed_in(request)),
        "waits_days": uploads.WAITS_FOR.days,
        "here": reverse("overlays:archive_plan", args=[upload.overlay_id, upload.pk]),
    }
