"""A server's log, searched and as files. Stored logs are read by calls to the server's host."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.permissions import signed_in
from left4me.core.web.request import is_fragment
from servers import lookups, permissions
from servers.hosts import rpc
from servers.lifecycle import pending_changes
from servers.models import Server
from servers.views import server_page

LONGEST_SEARCH = 200
# Never a type that browsers show as a page: the content is untrusted.
_TEXT: Final = "text/plain; charset=utf-8"


@require_safe
def logs(request: HttpRequest, pk: int) -> HttpResponse:
    """The live log is a part of the console; its event stream is below this address."""
    server = lookups.server_or_404(signed_in(request), pk)
    return redirect("livestate:console", server.pk)


@require_safe
def log_search(request: HttpRequest, pk: int) -> HttpResponse:
    """The newest lines that contain `q`, of the console or of a `file` that the game wrote."""
    server = lookups.server_or_404(signed_in(request), pk)
    text, file = request.GET.get("q", "").strip()[:LONGEST_SEARCH], request.GET.get("file", "")
    context: dict[str, object] = {"server": server, "q": text, "file": file}
    if text:
        try:
            context["lines"] = rpc.call(server.host, "log_search", server=pk, file=file, text=text).facts
        except rpc.HostSilent:
            context["silent"] = True
        except rpc.NotFound:
            raise Http404(_("This log file does not exist.")) from None
    if is_fragment(request):
        return render(request, "servers/_log_matches.html", context)
    tab = "files" if file else "console"
    return render(request, "servers/log_search.html", {**server_page.frame(request, server, tab=tab), **context})


@require_safe
def files(request: HttpRequest, pk: int) -> HttpResponse:
    """The tab of files: the log files of the game, and what the next start changes."""
    user = signed_in(request)
    server = lookups.server_or_404(user, pk)
    context = {**server_page.frame(request, server, tab="files"), **_log_files(server)}
    if permissions.can_edit_server(user, server):
        context["changes"] = pending_changes.pending(server)
    return render(request, "servers/files.html", context)


@require_safe
def log_files(request: HttpRequest, pk: int) -> HttpResponse:
    """The log files that the game wrote itself, such as SourceMod's logs and console.log."""
    server = lookups.server_or_404(signed_in(request), pk)
    if not is_fragment(request):
        return redirect("servers:files", server.pk)
    return render(request, "servers/_log_files.html", {"server": server, **_log_files(server)})


@require_safe
def log_download(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The console as text, or a `file` that the game wrote."""
    server = lookups.server_or_404(signed_in(request), pk)
    file = request.GET.get("file", "")
    try:
        return _file(request, server, file) if file else _console(server)
    except rpc.HostSilent:
        messages.error(request, _("The host did not respond. Try again in a moment."))
        return redirect("servers:files", pk)
    except rpc.NotFound:
        raise Http404(_("This log file does not exist.")) from None


def _log_files(server: Server) -> dict[str, object]:
    try:
        found = rpc.call(server.host, "log_files", server=server.pk).facts
    except rpc.HostSilent:
        return {"silent": True}
    return {"files": [{**file, "changed_at": datetime.fromisoformat(file["changed_at"])} for file in found]}


def _console(server: Server) -> HttpResponse:
    text = rpc.call(server.host, "console_log", server=server.pk).data
    disposition = content_disposition_header(as_attachment=True, filename=_filename(server, "console.log"))
    return HttpResponse(text, headers={"Content-Type": _TEXT, "Content-Disposition": disposition or "attachment"})


def _file(request: HttpRequest, server: Server, file: str) -> HttpResponseBase:
    filename = _filename(server, PurePosixPath(file).name)
    return rpc.download(
        request, server.host, "log_piece", filename=filename, content_type=_TEXT, server=server.pk, file=file
    )


def _filename(server: Server, name: str) -> str:
    return f"{slugify(server.name) or server.pk}-{name}"
