"""The list of servers: filters, orders, and requests on several servers at once."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from accounts import filters
from accounts.models import SavedFilter
from accounts.permissions import signed_in
from left4me.core.web import notices
from left4me.core.web.ids import parse_ids
from left4me.core.web.request import is_fragment
from servers import actions
from servers.actions.bulk import Outcome
from servers.lifecycle import status as server_status
from servers.models import DeletedServer, Server
from servers.server_filter import SORTS, Choices, ServerFilter
from servers.views import server_rows

PER_PAGE = 50


@require_safe
def list_(request: HttpRequest) -> HttpResponse:
    """The list; htmx requests only the table. Without a query it opens with the user's default filter."""
    # The script of the form fetches the list without a query too, when everything was chosen away.
    opens = not request.GET and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    saved = filters.of(signed_in(request), SavedFilter.Place.SERVERS) if not is_fragment(request) else []
    if opens and (query := filters.default_query(saved)):
        return redirect(f"{reverse('servers:list')}?{query}")
    return _list(request, saved=saved)


@require_POST
def act_on_many(request: HttpRequest) -> HttpResponse:
    """Request an operation on the ticked servers, and show the result of each; the table follows by itself."""
    user = signed_in(request)
    ids = parse_ids(request.POST.getlist("server"))
    if ids and request.POST.get("operation") == "plan":
        return _to_plan(request, ids)
    outcomes: list[Outcome] = []
    if not ids:
        messages.error(request, _("Select at least one server."))
    else:
        try:
            outcomes = actions.request_on_many(ids=ids, operation=request.POST.get("operation", ""), by=user)
        except actions.Refused as refusal:
            notices.refuse(request, refusal)
    if not is_fragment(request):
        return _list(request, outcomes=outcomes)
    # Closing the results leads back to the list with its filters.
    context = {"outcomes": outcomes, "address": request.htmx.current_url_abs_path or reverse("servers:list")}  # type: ignore[attr-defined]
    response = render(request, "servers/list.html#outcomes", context)
    return trigger_client_event(response, "servers-changed")


def _to_plan(request: HttpRequest, ids: Sequence[int]) -> HttpResponse:
    """Lead to the plan of an action on the ticked servers, which is a page of its own."""
    query = urlencode({"server": ids}, doseq=True)
    address = f"{reverse('schedules:bulk_new')}?{query}"
    return HttpResponseClientRedirect(address) if is_fragment(request) else redirect(address)


def _list(
    request: HttpRequest, *, saved: Sequence[SavedFilter] | None = None, outcomes: Sequence[Outcome] = ()
) -> HttpResponse:
    user, now = signed_in(request), timezone.now()
    chosen = ServerFilter.from_query(request.GET.dict())
    rows = chosen.rows(user, now=now).listed().with_role(user)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    statuses = server_status.of(list(page.object_list), user=user, now=now, with_live=True, with_sparks=True)
    context = {
        "page": page,
        "statuses": statuses,
        "rows": server_rows.render_rows(request, statuses),
        "chosen": chosen,
        "can_operate": any(status.actions for status in statuses),
        "outcomes": outcomes,
        "address": request.get_full_path() if request.method == "GET" else reverse("servers:list"),
    }
    if is_fragment(request):
        return render(request, "servers/list.html#table", context)
    context["has_deleted"] = DeletedServer.objects.visible_to(user).kept(now).exists()
    context |= {"saved": saved, "states": Server.State.choices, "choices": Choices.of(user), "sorts": SORTS}
    return render(request, "servers/list.html", context)
