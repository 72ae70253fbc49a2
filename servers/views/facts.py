"""The read-only parts of a server's page: resource usage and history of states."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.permissions import signed_in
from left4me.core.web.request import is_fragment
from servers import lookups
from servers.state import usage

PER_PAGE = 50
NEWEST = 8


@require_safe
def resources(request: HttpRequest, pk: int) -> HttpResponse:
    """The server's resource usage."""
    server = lookups.server_or_404(signed_in(request), pk)
    context = {"server": server, "usage": usage.of_one(server.pk)}
    template = "servers/resources.html#figures" if is_fragment(request) else "servers/resources.html"
    return render(request, template, context)


@require_safe
def history(request: HttpRequest, pk: int) -> HttpResponse:
    """The observed states, the newest first: a few as a part of the server's page, all on a page of their own."""
    server = lookups.server_or_404(signed_in(request), pk)
    changes = server.state_changes.all()
    if is_fragment(request):
        return render(request, "servers/history.html#newest", {"server": server, "changes": changes[:NEWEST]})
    page = Paginator(changes, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "servers/history.html", {"server": server, "page": page, "changes": page})
