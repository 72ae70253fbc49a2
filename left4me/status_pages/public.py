"""The addresses that need no sign-in: a status page, the part of it that changes, its JSON, and the way to a game."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from left4me.core.net.addresses import client_address
from left4me.core.redis import rate_limit
from left4me.core.version import PROJECT_VERSION
from left4me.status_pages import content_cache

# A browser asks six times a minute; behind one address there may be a school or a café.
REQUESTS: Final = rate_limit.Limit("status-page", 300, 60)
# htmx stops asking when it gets this.
_STOP_POLLING: Final = 286
_THEMES: Final = ("light", "dark")


@require_safe
@login_not_required
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """The whole page; with `?embed=1` the narrow variant, which the chosen sites may embed."""
    shown = _content(request, slug)
    is_embedded = request.GET.get("embed") == "1"
    context: dict[str, Any] = {
        "page": shown,
        "slug": slug,
        "embed": is_embedded,
        "card_url": request.build_absolute_uri(_card(shown)),
        "public_url": request.build_absolute_uri(request.path),
    }
    if is_embedded and request.GET.get("theme") in _THEMES:
        context["theme"] = request.GET["theme"]
    response = render(request, "status_pages/public.html", context)
    if is_embedded and shown["embed_origins"]:
        response._csp_replace = {"frame-ancestors": shown["embed_origins"]}  # type: ignore[attr-defined]
        response.xframe_options_exempt = True
    return _with_headers(response)


@require_safe
@login_not_required
def servers(request: HttpRequest, slug: str) -> HttpResponse:
    """The part that changes. Browsers ask for it again and again, and get 304 while it stays the same."""
    try:
        shown = _content(request, slug)
    except Http404:
        return render(request, "status_pages/public.html#gone", status=_STOP_POLLING)
    is_embedded = request.GET.get("embed") == "1"
    zone = timezone.get_current_timezone_name()
    etag = f'W/"{shown["digest"]}-{PROJECT_VERSION}-{get_language()}-{zone}-{is_embedded:d}"'
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        return _with_headers(unchanged)
    context = {"page": shown, "slug": slug, "embed": is_embedded}
    response = render(request, "status_pages/public.html#servers", context)
    response["ETag"] = etag
    return _with_headers(response)


@require_safe
@login_not_required
def as_json(request: HttpRequest, slug: str) -> HttpResponse:
    """The same for programs, from any site."""
    shown = _content(request, slug)
    etag = f'"{shown["digest"]}"'
    response = get_conditional_response(request, etag=etag)
    if response is None:
        response = JsonResponse({"version": 1, **_for_programs(request, shown)})
        response["ETag"] = etag
    response["Access-Control-Allow-Origin"] = "*"
    return _with_headers(response)


@require_safe
@login_not_required
def join(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Leads to the game in Steam: chat programs make links of web addresses only."""
    for server in _content(request, slug)["servers"]:
        if server["id"] == pk and "address" in server:
            return _with_headers(_ToSteam(f"steam://connect/{server['address']}"))
    raise Http404


class _ToSteam(HttpResponseRedirect):
    allowed_schemes = ["steam"]


def _content(request: HttpRequest, slug: str) -> dict[str, Any]:
    rate_limit.enforce(REQUESTS, client_address(request))
    shown = content_cache.read(slug)
    if shown is None:
        raise Http404(_("There is no status page at this address. Its owner may have turned it off."))
    return shown


def _for_programs(request: HttpRequest, shown: dict[str, Any]) -> dict[str, Any]:
    servers = []
    for server in shown["servers"]:
        entry = {**server, "picture": request.build_absolute_uri(server["card"])}
        if history := server.get("history"):
            entry["history"] = {name: history[name] for name in ("most_players", "campaigns")}
        del entry["card"]
        servers.append(entry)
    return {**{name: shown[name] for name in ("title", "running", "players")}, "servers": servers}


def _card(shown: dict[str, Any]) -> str:
    """The picture that chat programs show beside the link: of the server with most players."""
    busiest = max(shown["servers"], key=lambda server: server["players"]["online"], default=None)
    return str(busiest["card"]) if busiest else ""


def _with_headers(response: HttpResponse) -> HttpResponse:
    # Stored by the browser, and asked for again each time: a page that was turned off is gone at once.
    response["Cache-Control"] = "private, no-cache"
    # Knowing the address is the permission: it must not be sent to Steam or be indexed by search engines.
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response
