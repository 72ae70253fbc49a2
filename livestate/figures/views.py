"""The charts of servers and hosts as parts of pages; without scripts, as tables on pages of their own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.permissions import signed_in
from left4me.core.web.request import is_fragment
from livestate.figures import marks, series
from livestate.figures.series import Range, Series
from servers import lookups
from servers.models import Host
from servers.views import server_page

# In the order of the charts, with what one value of CPU means.
OF_SERVERS: dict[str, Promise] = {
    "players": _("Players"),
    "cpu": _("CPU, of one core"),
    "memory": _("Memory"),
    "ping": _("Ping"),
    "disk": _("Disk"),
}
OF_HOSTS: dict[str, Promise] = {
    "cpu": _("CPU, of all cores"),
    "memory": _("Memory"),
    "disk": _("Disk"),
    "received": _("Network in"),
    "sent": _("Network out"),
}


@require_safe
def of_server(request: HttpRequest, pk: int) -> HttpResponse:
    server = lookups.server_or_404(signed_in(request), pk)
    read = series.of_server(server, range_=Range.of(request.GET.get("range", "")), now=timezone.now())
    context = {
        **_context(read, OF_SERVERS),
        "marks": marks.of_server(server, read),
        "with_maps": read.range in marks.WITH_MAPS,
        "address": reverse("livestate:figures", args=[pk]),
        "source": reverse("api:read_server_figures", args=[pk]),
    }
    if is_fragment(request):
        return render(request, "livestate/_figures.html", context)
    frame = server_page.frame(request, server, tab=server_page.OVERVIEW)
    return render(request, "livestate/figures.html", {**frame, **context})


@require_safe
def of_host(request: HttpRequest, pk: int) -> HttpResponse:
    signed_in(request)
    host = get_object_or_404(Host, pk=pk)
    read = series.of_host(host, range_=Range.of(request.GET.get("range", "")), now=timezone.now())
    context = {
        **_context(read, OF_HOSTS),
        "host": host,
        "address": reverse("livestate:host_figures", args=[pk]),
        "source": reverse("api:read_host_figures", args=[pk]),
    }
    template = "livestate/_figures.html" if is_fragment(request) else "livestate/host_figures.html"
    return render(request, template, context)


def _context(read: Series, titles: dict[str, Promise]) -> dict[str, object]:
    return {
        "series": read,
        "lines": [(titles[line.figure.name], line) for line in read.lines],
        "has_data": any(line.now is not None for line in read.lines),
        "ranges": list(Range),
    }
