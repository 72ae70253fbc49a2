"""The read-only parts of a server's page: facts with resource usage, and the history of states."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web.request import is_fragment
from servers import lookups, permissions
from servers.models import Server
from servers.state import usage
from servers.views import server_page

PER_PAGE = 50
NEWEST = 12


def context(user: User, server: Server) -> dict[str, object]:
    """The context of `servers/_facts.html`."""
    return {
        "server": server,
        "usage": usage.of_one(server.pk),
        "may_see_blueprint": permissions.can_see_blueprint(user, server.blueprint),
    }


@require_safe
def resources(request: HttpRequest, pk: int) -> HttpResponse:
    """The facts of a server and what it uses: a part of its overview, refreshed by itself."""
    user = signed_in(request)
    server = lookups.server_or_404(user, pk)
    if is_fragment(request):
        return render(request, "servers/_facts.html", context(user, server))
    frame = server_page.frame(request, server, tab=server_page.OVERVIEW)
    return render(request, "servers/resources.html", {**frame, **context(user, server)})


@require_safe
def history(request: HttpRequest, pk: int) -> HttpResponse:
    """The observed states, the newest first: a few as a part of the history, all on a page of their own."""
    server = lookups.server_or_404(signed_in(request), pk)
    changes = server.state_changes.all()
    if is_fragment(request):
        return render(request, "servers/_newest_states.html", {"server": server, "changes": changes[:NEWEST]})
    page = Paginator(changes, PER_PAGE).get_page(request.GET.get("page"))
    frame = server_page.frame(request, server, tab="history")
    return render(request, "servers/history.html", {**frame, "page": page, "changes": page.object_list})
