"""The pages of the backups of a server and of a files overlay. Archives are read by calls to their hosts."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.backups import actions
from left4me.backups.models import Backup
from left4me.core.web.refusals import Refused
from left4me.core.web.request import is_fragment
from left4me.jobs import queue_reasons
from left4me.jobs.models import Job
from overlays import lookups as overlay_lookups
from overlays.models import Overlay
from servers import lookups
from servers.hosts import rpc
from servers.models import Host, Server
from servers.models.copies import RESTORE
from servers.state import copies
from servers.views import server_page

_SHOWN: Final = 50

Target = Server | Overlay


def target_to_edit(user: User, kind: str, pk: int) -> Target:
    """The server or files overlay whose backups the user may manage. Raises Http404 and PermissionDenied."""
    return lookups.server_to_edit(user, pk) if kind == "servers" else overlay_lookups.files_to_edit(user, pk)


def backup_of(target: Target, backup_id: int) -> Backup:
    """A finished backup of this target. Raises Http404."""
    rows = Backup.objects.of(target).complete().select_related("server__owner", "overlay", "user")
    return get_object_or_404(rows, pk=backup_id)


@require_safe
def list_(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    user = signed_in(request)
    target = target_to_edit(user, kind, pk)
    context = {
        **_frame(request, target),
        **newest_job(target.resource, "back_up", "put_back", RESTORE, user=user),
        "backups": Backup.objects.of(target).complete().select_related("user")[:_SHOWN],
        "copy": copies.of_server(target) if isinstance(target, Server) else None,
    }
    template = _template(target)
    return render(request, f"{template}#list" if is_fragment(request) else template, context)


def newest_job(resource: str, *operations: str, user: User) -> dict[str, Job]:
    """What a page shows of the newest of these jobs: that it goes on, or that it failed."""
    job = Job.objects.filter(resource=resource, operation__in=operations).order_by("-pk").first()
    if job is None or job.state in (Job.State.SUCCEEDED, Job.State.CANCELLED):
        return {}
    queue_reasons.explain([job], user=user)
    return {"failed_job" if job.state == Job.State.FAILED else "job": job}


@require_POST
def create(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    user = signed_in(request)
    target = target_to_edit(user, kind, pk)
    try:
        actions.request(target=target, by=user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect(_list_url(kind, pk))


@require_safe
def plan(request: HttpRequest, kind: str, pk: int, backup_id: int) -> HttpResponse:
    """What a restore would add, replace and remove, before anything is changed."""
    target = target_to_edit(signed_in(request), kind, pk)
    backup = backup_of(target, backup_id)
    context: dict[str, Any] = {**_frame(request, target), "backup": backup}
    try:
        facts = rpc.call(host_of(backup), "backup_plan", backup=backup.pk).facts
    except rpc.HostSilent:
        context["silent"] = True
    except rpc.NotFound:
        context["missing"] = True
    else:
        context["unchanged"] = facts["unchanged"]
        context["lists"] = [
            (_("Added"), facts["added"]),
            (_("Replaced"), facts["replaced"]),
            (_("Removed"), facts["removed"]),
        ]
        context["is_same"] = not any(part["count"] for _title, part in context["lists"])
    return render(request, "backups/plan.html", context)


@require_POST
def restore(request: HttpRequest, kind: str, pk: int, backup_id: int) -> HttpResponse:
    user = signed_in(request)
    target = target_to_edit(user, kind, pk)
    try:
        job = actions.restore(backup=backup_of(target, backup_id), by=user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("backups:plan", kind=kind, pk=pk, backup_id=backup_id)
    messages.success(request, _("Restoring. The present files are backed up first."))
    return redirect("jobs:detail", job.pk)


@require_POST
def delete(request: HttpRequest, kind: str, pk: int, backup_id: int) -> HttpResponse:
    user = signed_in(request)
    actions.delete(backup=backup_of(target_to_edit(user, kind, pk), backup_id), by=user)
    messages.success(request, _("Backup deleted."))
    return redirect(_list_url(kind, pk))


@require_safe
def download(request: HttpRequest, kind: str, pk: int, backup_id: int) -> HttpResponseBase:
    """The archive; a `Range` continues an interrupted download."""
    target = target_to_edit(signed_in(request), kind, pk)
    backup = backup_of(target, backup_id)
    try:
        return archive_response(request, backup, name=target.name)
    except rpc.HostSilent:
        messages.error(request, _("The host did not respond. Try again in a moment."))
        return redirect(_list_url(kind, pk))


def archive_response(request: HttpRequest, backup: Backup, *, name: str) -> HttpResponseBase:
    """The archive of a backup, or the range of it that was requested. Raises Http404 and rpc.HostSilent."""
    filename = f"{slugify(name) or 'backup'}-{backup.created_at:%Y%m%d-%H%M}.tar.gz"
    try:
        return rpc.download(
            request,
            host_of(backup),
            "backup_piece",
            filename=filename,
            content_type="application/gzip",
            backup=backup.pk,
        )
    except rpc.NotFound:
        raise Http404(_("The files of this backup are missing on its host.")) from None


def host_of(backup: Backup) -> Host:
    """The host that holds its archive. Raises Http404."""
    return get_object_or_404(Host, name=backup.host)


def _template(target: Target) -> str:
    return "backups/server.html" if isinstance(target, Server) else "backups/overlay.html"


def _frame(request: HttpRequest, target: Target) -> dict[str, Any]:
    is_server = isinstance(target, Server)
    frame = server_page.frame(request, target, tab="backups") if isinstance(target, Server) else {"overlay": target}
    kind = "servers" if is_server else "overlays"
    return {
        **frame,
        "target": target,
        "kind": kind,
        "is_server": is_server,
        "list_url": _list_url(kind, target.pk),
    }


def _list_url(kind: str, pk: int) -> str:
    return reverse("backups:of_server" if kind == "servers" else "backups:of_overlay", args=[pk])
