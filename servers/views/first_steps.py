"""The checklist of the dashboard, which updates itself and can be dismissed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import reswap

from accounts.permissions import signed_in
from left4me.core.web.request import is_fragment
from servers import first_steps as steps

DISMISSED = "first-steps"


def shown(request: HttpRequest) -> steps.FirstSteps | None:
    """The checklist to show to the visitor, unless it is done or dismissed in this browser."""
    if request.COOKIES.get(DISMISSED) == "dismissed":
        return None
    return steps.of(signed_in(request), now=timezone.now())


@require_http_methods(["GET", "HEAD", "POST"])
def first_steps(request: HttpRequest) -> HttpResponse:
    """The checklist for htmx. A POST dismisses it."""
    if request.method == "POST":
        response: HttpResponse = redirect("dashboard")
        response.set_cookie(
            DISMISSED,
            "dismissed",
            max_age=60 * 60 * 24 * 365,
            samesite="Lax",
            secure=request.is_secure(),
            httponly=True,
        )
        return response
    if not is_fragment(request):
        return redirect("dashboard")
    checklist = shown(request)
    if checklist is None:
        return reswap(HttpResponse(), "delete")
    return render(request, "servers/_first_steps.html", {"first_steps": checklist})
