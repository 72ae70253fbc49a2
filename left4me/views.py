"""Pages that belong to no app: the dashboard's frame and health."""

from __future__ import annotations

import redis
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from left4me import pulse


def dashboard(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard.html")


@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Answer that the process serves requests; `/ready` says whether what it needs is there."""
    return JsonResponse({"status": "ok"})


@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, Redis, worker and beat do their part, else 503 with what does not."""
    checks = {"database": _database_fault(), **_broker_faults()}
    ok = not any(checks.values())
    body = {"status": "ok" if ok else "unavailable", "checks": {name: why or "ok" for name, why in checks.items()}}
    return JsonResponse(body, status=200 if ok else 503)


def _database_fault() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, OSError):
        return "the database does not answer"
    return ""


def _broker_faults() -> dict[str, str]:
    try:
        return {"redis": "", "worker": pulse.read().fault}
    except redis.RedisError:
        return {"redis": "Redis does not answer", "worker": "unknown without Redis"}
