"""Views of the site itself: dashboard, colour scheme, health."""

from __future__ import annotations

import contextlib

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web.request import is_fragment, previous_page
from left4me.site import integrity, pulse
from servers import overview
from servers.views import first_steps, server_rows

THEMES = ("light", "dark")


def site_context(request: HttpRequest) -> dict[str, object]:
    """Context processor: what every page shows of this site, and the visitor's colour scheme and language."""
    chosen = request.COOKIES.get("theme")
    return {
        "game_is_simulated": settings.LEFT4ME_GAME == "simulated",
        "signup": settings.LEFT4ME_SIGNUP,
        "theme": chosen if chosen in THEMES else "",
        "chosen_language": request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, ""),
    }


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """The user's servers, what needs attention and active jobs. htmx requests only the part that changes."""
    user = signed_in(request)
    shown = overview.of(user, now=timezone.now())
    context = {
        "overview": shown,
        "cards": server_rows.render_cards(request, shown.statuses),
        "first_steps": first_steps.shown(request),
    }
    return render(
        request, "servers/dashboard.html#content" if is_fragment(request) else "servers/dashboard.html", context
    )


@login_not_required
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Store the colour scheme (light or dark) in a cookie; any other value deletes the cookie."""
    response = redirect(previous_page(request))
    choice = request.POST.get("theme", "")
    if choice in THEMES:
        # Readable by scripts, because theme.js writes the same cookie.
        response.set_cookie("theme", choice, max_age=60 * 60 * 24 * 365, samesite="Lax", secure=request.is_secure())
    else:
        response.delete_cookie("theme", samesite="Lax")
    return response


@require_safe
@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Liveness: answers 200 while the process serves requests. `/ready` checks its dependencies."""
    return JsonResponse({"status": "ok"})


@require_safe
@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """Readiness: 200 if database, Redis, worker and beat work, else 503 with what does not."""
    checks = {"database": _database_fault(), **_broker_faults()}
    ok = not any(checks.values())
    body = {"status": "ok" if ok else "unavailable", "checks": {name: why or "ok" for name, why in checks.items()}}
    return JsonResponse(body, status=200 if ok else 503)


def _database_fault() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, OSError):
        return "the database does not respond"
    # Without Redis the check of Redis reports.
    with contextlib.suppress(redis.RedisError):
        return integrity.last_damage()
    return ""


def _broker_faults() -> dict[str, str]:
    try:
        return {"redis": "", "worker": pulse.read().fault}
    except redis.RedisError:
        return {"redis": "Redis does not respond", "worker": "unknown without Redis"}
