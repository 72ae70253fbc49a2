"""Pages of live state and history: the players panel, and the history of a server."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.statements import Given, select
from left4me.core.web.request import is_fragment
from left4me.jobs import queue_reasons
from left4me.jobs.models import Job
from livestate import chart, live
from livestate import history as histories
from livestate.bans import state as ban_state
from livestate.live import Live
from livestate.models import Order
from livestate.players import records
from servers import lookups, permissions
from servers.models import Server
from servers.views import facts, server_page

RECENT_JOBS = 12
ACTION_SHOWN = timedelta(minutes=1)


@require_safe
def panel(request: HttpRequest, pk: int) -> HttpResponse:
    """The players panel, refreshed every few seconds; with `?brief`, as on the overview, without recent players."""
    if not is_fragment(request):
        return players(request, pk)
    user = signed_in(request)
    server = lookups.server_or_404(user, pk)
    return render(request, "livestate/_panel.html", panel_context(user, server, brief="brief" in request.GET))


@require_safe
def players(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    server = lookups.server_or_404(user, pk)
    frame = server_page.frame(request, server, tab="players")
    context = {**frame, **panel_context(user, server, current=cast(Live, frame["live"]))}
    return render(request, "livestate/players.html", context)


def players_of_overview(request: HttpRequest, server: Server, current: Live) -> SafeString:
    """The panel as a part of the server's overview."""
    context = panel_context(signed_in(request), server, brief=True, current=current)
    return render_to_string("livestate/_panel.html", context, request)


def panel_context(
    user: User, server: Server, *, brief: bool = False, current: Live | None = None
) -> dict[str, object]:
    """The template context of the panel; for operators it includes the state of their latest action.

    `current` is the live state, where the page has read it already.
    """
    now = timezone.now()
    can_operate = permissions.can_operate_server(user, server)
    latest = _latest_action(user, server) if can_operate else None
    current = current or live.of(server, now=now)
    online = live.current_players(server)
    recent = [] if brief else live.recent_players(server)
    return {
        "server": server,
        "live": current,
        "players": online,
        "joiners": live.unlisted_joiners(current, online),
        "brief": brief,
        "recent": recent,
        "noted": records.noted(user, [each.session.steam_id_64 for each in (*online, *recent)]),
        "can_operate": can_operate,
        **(_bans(user, server) if can_operate and not brief else {}),
        **(live.order_rows([latest], now=now)[0] if latest else {}),
    }


def _bans(user: User, server: Server) -> dict[str, object]:
    bans, count = ban_state.latest_on(server, user=user, now=timezone.now())
    return {"bans": bans, "ban_count": count}


_recent_actions = select(
    lambda: (
        Order.objects.filter(server_id=Given("server"), created_at__gte=Given("since"))
        .exclude(kind=Order.Kind.COMMAND)
        .select_related("user")
        .order_by("-pk")
    )
)


def _latest_action(user: User, server: Server) -> Order | None:
    # The few of the last seconds; SQLite would go through all that the user ever gave to find them.
    rows = _recent_actions.rows(server=server.pk, since=timezone.now() - ACTION_SHOWN)
    return next((order for order in rows if order.user_id == user.pk), None)


@require_safe
def history(request: HttpRequest, pk: int) -> HttpResponse:
    server = lookups.server_or_404(signed_in(request), pk)
    span = histories.Span.of(request.GET.get("span", ""))
    shown = histories.of(server, span=span, now=timezone.now())
    jobs = list(Job.objects.filter(resource=server.resource).select_related("user")[:RECENT_JOBS])
    queue_reasons.explain(jobs, user=signed_in(request))
    context = {
        **server_page.frame(request, server, tab="history"),
        "changes": server.state_changes.all()[: facts.NEWEST],
        "jobs": jobs,
        "history": shown,
        "chart": chart.of(shown),
        "spans": list(histories.Span),
    }
    return render(request, "livestate/history.html", context)


@require_safe
def history_csv(request: HttpRequest, pk: int) -> HttpResponse:
    server = lookups.server_or_404(signed_in(request), pk)
    span = histories.Span.of(request.GET.get("span", ""))
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="server-{server.pk}-players-{span.code}.csv"'
    histories.write_sessions_csv(response, server, span=span, now=timezone.now())
    return response
