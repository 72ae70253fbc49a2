"""Views for sending orders to a running game: the console, and the actions on the players panel."""

from __future__ import annotations

from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import notices
from left4me.core.web.api import Problem, problem_response
from left4me.core.web.request import is_fragment
from livestate import actions, live
from livestate.campaigns import playable
from livestate.models import Order
from livestate.orders import commands, completion
from livestate.views import panel_context
from servers import lookups, permissions
from servers.blueprints import maps
from servers.models import Server
from servers.views import server_page

SHOWN = 30


@require_http_methods(["GET", "HEAD", "POST"])
def console(request: HttpRequest, pk: int) -> HttpResponse:
    """The tab with the live log; for operators with a prompt below it."""
    user = signed_in(request)
    if request.method == "POST":
        return _send_from_console(request, user, lookups.server_to_operate(user, pk))
    server, now = lookups.server_or_404(user, pk), timezone.now()
    can_operate = permissions.can_operate_server(user, server)
    if "listening" in request.GET:
        # Polled by an open console: shows a start or a stop without replacing the text being typed.
        return render(request, "livestate/_listening.html", {"server": server, "live": live.of(server, now=now)})
    context = {**server_page.frame(request, server, tab="console"), "can_operate": can_operate}
    if can_operate:
        context |= _prompt(server, now)
    return render(request, "livestate/console.html", context)


def _prompt(server: Server, now: datetime) -> dict[str, object]:
    actions.learn_commands(server)
    entries = Order.objects.filter(server=server).select_related("user").order_by("-pk")
    return {
        "entries": live.order_rows(list(entries[:SHOWN]), now=now),
        "suggestions": completion.matching(server, ""),
        "campaigns": maps.grouped(playable(server)),
        "settings": [
            (Order.Kind.DIFFICULTY, _("Difficulty"), _("Set difficulty"), commands.DIFFICULTIES),
            (Order.Kind.MODE, _("Game mode"), _("Set mode"), commands.MODES),
        ],
    }


@require_safe
def entry(request: HttpRequest, pk: int, order_pk: int) -> HttpResponse:
    server = lookups.server_to_operate(signed_in(request), pk)
    order = Order.objects.filter(server=server, pk=order_pk).select_related("user").first()
    if order is None:
        raise Http404(_("Entry not found."))
    context = live.order_rows([order], now=timezone.now())[0]
    if is_fragment(request):
        return render(request, "livestate/_order.html", {"server": server, **context})
    return render(request, "livestate/order.html", {**server_page.frame(request, server, tab="console"), **context})


@require_safe
def completions(request: HttpRequest, pk: int) -> HttpResponse:
    server = lookups.server_to_operate(signed_in(request), pk)
    names = completion.matching(server, request.GET.get("value", "")[:100])
    return render(request, "livestate/_completions.html", {"suggestions": names})


@require_POST
def order(request: HttpRequest, pk: int) -> HttpResponse:
    """Give an order from the players panel; the panel then shows the state of the order."""
    user = signed_in(request)
    server = lookups.server_to_operate(user, pk)
    # The button that confirms an interruption has the order in its address.
    given = request.POST if "kind" in request.POST else request.GET
    try:
        actions.give_order(
            server=server,
            by=user,
            kind=given.get("kind", ""),
            value=given.get("value", ""),
            request=request,
            interrupting=request.GET.get("interrupt", ""),
        )
    except actions.Refused as refusal:
        return _refused(request, refusal, server)
    if is_fragment(request):
        context = panel_context(user, server, brief="brief" in request.POST)
        return render(request, "livestate/_panel.html", context)
    return redirect("livestate:players", server.pk)


def _send_from_console(request: HttpRequest, user: User, server: Server) -> HttpResponse:
    kind = request.POST.get("kind", Order.Kind.COMMAND)
    try:
        order = actions.give_order(
            server=server, by=user, kind=kind, value=request.POST.get("value", ""), request=request
        )
    except actions.Refused as refusal:
        return _refused(request, refusal, server)
    if is_fragment(request):
        return render(
            request, "livestate/_order.html", {"server": server, **live.order_rows([order], now=timezone.now())[0]}
        )
    return redirect("livestate:order", server.pk, order.pk)


def _refused(request: HttpRequest, refusal: actions.Refused, server: Server) -> HttpResponse:
    if is_fragment(request):
        cure = {"cure": refusal.cure.as_json()} if refusal.cure else {}
        return problem_response(Problem(409, _("Not possible"), str(refusal), **cure))
    notices.refuse(request, refusal)
    return redirect("livestate:console", server.pk)
