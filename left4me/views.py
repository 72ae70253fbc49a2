"""Pages that belong to no app: the dashboard's frame and health."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render


def dashboard(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard.html")


@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Answer that the process serves requests; `/ready` says whether what it needs is there."""
    return JsonResponse({"status": "ok"})
