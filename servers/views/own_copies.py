"""The copies that a server has of files of the game and of overlays, for those who may change it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web import notices
from left4me.jobs.models import Job
from servers import actions, lookups
from servers.actions import own_copies
from servers.hosts import rpc
from servers.models import Server
from servers.views import server_page


@require_safe
def own_copies_of(request: HttpRequest, pk: int) -> HttpResponse:
    """The copies, those that hide something newer first."""
    server = lookups.server_to_edit(signed_in(request), pk)
    context = {**server_page.frame(request, server, tab="files"), **facts(server)}
    live = Job.objects.live().filter(resource=server.resource, operation__in=own_copies.OPERATIONS)
    context["job"] = live.first()
    return render(request, "servers/own_copies.html", context)


@require_POST
def change(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    operation = request.POST.get("operation", "")
    files = None if operation == own_copies.PUT_BACK else request.POST.getlist("file")
    try:
        job = own_copies.request(server=server, operation=operation, by=user, files=files)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("“%s” was requested.") % job.title)
    return redirect("servers:own_copies", pk)


def facts(server: Server) -> dict[str, Any]:
    """The copies as the host reports them, with times; or that it did not respond."""
    try:
        found = rpc.call(server.host, "own_copies", server=server.pk).facts
    except (rpc.HostSilent, rpc.NotFound):
        return {"silent": True}
    files = [
        {**each, **{name: _moment(each[name]) for name in ("changed_at", "original_changed_at")}}
        for each in found["files"]
    ]
    aside = found["aside"]
    return {"files": files, "more": found["more"], "aside": {**aside, "at": _moment(aside["at"])} if aside else None}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
