"""The tab of a server's demos: the list, one demo, downloads, deletion, and the settings of SourceTV."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web import forms, notices
from left4me.core.web.ids import parse_id
from left4me.core.web.refusals import Refused
from left4me.core.web.request import is_fragment
from left4me.jobs.models import Job
from livestate.campaigns import MapTitles
from livestate.demos import actions, lookups
from livestate.demos.forms import SourceTvForm
from livestate.demos.models import DELETE, Demo
from servers import lookups as server_lookups
from servers import permissions
from servers.actions import sourcetv
from servers.hosts import rpc
from servers.models import Server
from servers.sourcetv import options as sourcetv_options
from servers.sourcetv.options import Options
from servers.views import server_page

PER_PAGE: Final = 50


@require_safe
def list_(request: HttpRequest, pk: int) -> HttpResponse:
    """The demos of a server, the latest first."""
    user = signed_in(request)
    server = server_lookups.server_or_404(user, pk)
    rows = Demo.objects.filter(server=server)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        **server_page.frame(request, server, tab="demos"),
        "page": page,
        "demos": described(server, page.object_list),
        "total": rows.aggregate(sum=Sum("size"))["sum"] or 0,
        "picks": _("Select") if permissions.can_edit_server(user, server) else "",
        "options": Options.of(server.sourcetv),
        "limits": sourcetv_options.limits_of(server),
        "job": Job.objects.live().filter(resource=server.resource, operation=DELETE).first(),
    }
    return render(request, "demos/list.html#list" if is_fragment(request) else "demos/list.html", context)


@require_safe
def demo(request: HttpRequest, pk: int, demo_pk: int) -> HttpResponse:
    """One demo with everybody who was on the server."""
    server = server_lookups.server_or_404(signed_in(request), pk)
    shown = lookups.demo_or_404(server, demo_pk)
    (each,) = described(server, [shown])
    frame = server_page.frame(request, server, tab="demos")
    context = {**frame, **each, "downloaded_name": PurePosixPath(file_name(shown)).stem}
    return render(request, "demos/detail.html", context)


@require_safe
def download(request: HttpRequest, pk: int, demo_pk: int) -> HttpResponseBase:
    """The file; a `Range` continues an interrupted download."""
    server = server_lookups.server_or_404(signed_in(request), pk)
    wanted = lookups.demo_or_404(server, demo_pk)
    try:
        return file_response(request, wanted)
    except Refused as refusal:
        notices.refuse(request, refusal)
        return redirect("demos:of_server", pk)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    server = server_lookups.server_to_edit(user, pk)
    chosen = [number for text in request.POST.getlist("demo") if (number := parse_id(text)) is not None]
    try:
        actions.delete(server=server, demos=list(Demo.objects.filter(server=server, pk__in=chosen)), by=user)
    except Refused as refusal:
        notices.refuse(request, refusal)
    return redirect("demos:of_server", pk)


@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of what SourceTV does on the server."""
    user = signed_in(request)
    server = server_lookups.server_to_edit(user, pk)
    form = SourceTvForm(request.POST or None, options=Options.of(server.sourcetv))
    saved, status = forms.submit(form, lambda: sourcetv.set_options(server=server, by=user, **form.cleaned_data))
    if saved is not None:
        messages.success(request, _("Settings saved."))
        return redirect("demos:of_server", pk)
    context = {**server_page.frame(request, server, tab="demos"), "form": form, "lacks_support": lacks_support(server)}
    return render(request, "demos/settings.html", context, status=status)


def described(server: Server, demos: Any) -> list[dict[str, Any]]:
    """Each demo with its chapter and its players."""
    demos = list(demos)
    titles, present = MapTitles([server]), lookups.players(demos)
    return [
        {"demo": demo, "chapter": titles.chapter(server.pk, demo.map), "players": present[demo.pk]} for demo in demos
    ]


def file_response(request: HttpRequest, demo: Demo) -> HttpResponseBase:
    """The file of a demo, or the range of it that was requested. Raises Http404, and Refused."""
    if demo.is_recording:
        # Otherwise spectators could follow a match without the delay.
        raise Refused(_("The game is still recording this demo. Download it after the map."))
    server = demo.server
    try:
        return rpc.download(
            request,
            server.host,
            "demo_piece",
            filename=file_name(demo),
            content_type="application/octet-stream",
            server=server.pk,
            file=demo.path,
        )
    except rpc.HostSilent:
        raise Refused(_("The host did not respond. Try again in a moment.")) from None
    except rpc.NotFound:
        raise Http404(_("There is no such demo.")) from None


def file_name(demo: Demo) -> str:
    """What a downloaded demo is called."""
    return f"{slugify(demo.server.name) or demo.server_id}-{demo.name}"


def lacks_support(server: Server) -> bool:
    """Whether the host says that no overlay brings what SourceTV needs."""
    try:
        return not rpc.call(server.host, "sourcetv", server=server.pk).facts["has_support"]
    except (rpc.HostSilent, rpc.NotFound):
        return False
