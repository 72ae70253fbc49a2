"""The crash dumps of a server, for those who may change it: a dump may hold its RCON password."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.permissions import signed_in
from left4me.audit import record
from servers import lookups
from servers.hosts import rpc
from servers.views import server_page


@require_safe
def dumps(request: HttpRequest, pk: int) -> HttpResponse:
    """The dumps, the newest first; with `?file=`, the modules of that one."""
    server = lookups.server_to_edit(signed_in(request), pk)
    context: dict[str, object] = {**server_page.frame(request, server, tab="files"), "opened": ""}
    try:
        found = rpc.call(server.host, "crash_dumps", server=pk).facts
        context["dumps"] = [{**each, "changed_at": datetime.fromisoformat(each["changed_at"])} for each in found]
        if opened := request.GET.get("file", ""):
            context["opened"] = opened
            context["modules"] = rpc.call(server.host, "crash_dump", server=pk, file=opened).facts["modules"]
    except rpc.HostSilent:
        context["silent"] = True
    except rpc.NotFound:
        raise Http404(_("There is no such crash dump.")) from None
    return render(request, "servers/dumps.html", context)


@require_safe
def download(request: HttpRequest, pk: int) -> HttpResponseBase:
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    file = request.GET.get("file", "")
    try:
        answer = rpc.download(
            request,
            server.host,
            "dump_piece",
            filename=PurePosixPath(file).name,
            content_type="application/octet-stream",
            server=pk,
            file=file,
        )
    except rpc.HostSilent:
        messages.error(request, _("The host did not respond. Try again in a moment."))
        return redirect("servers:dumps", pk)
    except rpc.NotFound:
        raise Http404(_("There is no such crash dump.")) from None
    record.write(action="server.download_dump", by=user, target=server.resource, file=file)
    return answer
