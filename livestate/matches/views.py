"""Pages of matches: the tab of a server, one match, and the list of all that one may see."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from left4me.core.web.pages import Paginator
from left4me.core.web.refusals import Refused
from livestate.matches import actions, state
from livestate.matches import lookups as matches
from livestate.matches.forms import MatchForm
from livestate.matches.models import Match
from servers import lookups, permissions
from servers.models import Server
from servers.views import server_page

PER_PAGE = 50
_RECENT = 20


@require_safe
def list_(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    chosen = matches.Filter.of(request.GET)
    page = Paginator(chosen.rows(user), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "chosen": chosen,
        "page": page,
        "states": [("open", _("In progress or planned")), ("over", _("Over"))],
        "servers": Server.objects.visible_to(user).order_by("name").values_list("pk", "name"),
    }
    return render(request, "matches/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def of_server(request: HttpRequest, pk: int) -> HttpResponse:
    """The match of a server and its earlier ones; a POST plans one."""
    user = signed_in(request)
    server = lookups.server_to_operate(user, pk) if request.method == "POST" else lookups.server_or_404(user, pk)
    can_operate = permissions.can_operate_server(user, server)
    rows = Match.objects.filter(server=server).for_pages()
    current = rows.open().first()
    if current is not None and request.method == "POST":
        notices.refuse(request, actions.other_match(server))
        return redirect(current)
    modes = actions.modes_of(server)
    form = MatchForm(request.POST or None, server=server, modes=modes)
    match, status = lib_forms.submit(
        form, lambda: actions.create(server=server, by=user, request=request, **form.given())
    )
    if match is not None:
        return redirect(match)
    context = {
        **server_page.frame(request, server, tab="matches"),
        "modes": modes,
        "form": form if can_operate and current is None else None,
        "can_operate": can_operate,
        "shown": state.of(current, now=timezone.now()) if current else None,
        "earlier": rows.exclude(state__in=Match.OPEN)[:_RECENT],
    }
    return render(request, "matches/of_server.html", context, status=status)


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One match; the part that moves is fetched again when something changes."""
    user = signed_in(request)
    match = matches.match_or_404(user, pk)
    context = {
        "shown": state.of(match, now=timezone.now()),
        "can_operate": permissions.can_operate_server(user, match.server),
        "server": match.server,
    }
    partial = "matches/_match.html" if request.htmx else "matches/detail.html"  # type: ignore[attr-defined]
    return render(request, partial, context)


@require_POST
def load(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    match = matches.match_to_operate(user, pk)
    try:
        actions.load(match=match, by=user, request=request)
    except Refused as refusal:
        notices.refuse(request, refusal)
    return redirect(match)


@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    match = matches.match_to_operate(user, pk)
    was_waiting = match.state == Match.State.WAITING
    try:
        actions.end(match=match, by=user, request=request)
    except Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("Match cancelled.") if was_waiting else _("The match is being ended."))
    return redirect(match)
