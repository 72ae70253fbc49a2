"""Error pages in the site's design. They use neither session nor database, which may be the cause of the error."""

from __future__ import annotations

import math
import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from left4me.core import outages
from left4me.core.web.request import page_before

Words = str | Promise
_PASSING = {429, 500, 503}


def _page(request: HttpRequest, code: int, *, title: Words, text: Words) -> HttpResponse:
    back = page_before(request)
    # What passes by itself is asked for again; a form is sent again from its page.
    is_passing = code in _PASSING and request.method == "GET"
    context = {"code": code, "title": title, "text": text, "back": back, "is_passing": is_passing}
    return HttpResponse(render_to_string("error.html", context), status=code)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 400, title=_("Invalid request"), text=_("Go back, reload the page and try again."))


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(
        request,
        403,
        title=_("Access denied"),
        text=_("Your account doesn't have access to this. Ask an admin of this site."),
    )


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(
        request,
        404,
        title=_("Page not found"),
        text=_("The page does not exist, or you don't have access to it."),
    )


def already_gone(request: HttpRequest) -> HttpResponse:
    """404 for changing or deleting a row that another user has just deleted."""
    return _page(
        request, 404, title=_("Already deleted"), text=_("Someone else has just deleted it. Reload the page.")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the machine is the cause. Django calls this while it handles the exception."""
    if (outage := outages.of(sys.exception())) is not None:
        response = _page(request, 503, title=outage.title, text=outage.text)
        response.headers["Retry-After"] = str(outage.retry_after)
        return response
    return _page(
        request,
        500,
        title=_("Something went wrong"),
        text=_(
            "The details are in the server's log. Running game servers are not affected. Try again, or tell an admin."
        ),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form with a missing or outdated CSRF token (settings.CSRF_FAILURE_VIEW)."""
    return _page(
        request,
        403,
        title=_("This form has expired"),
        text=_(
            "It was open for too long, you signed in or out in another tab, or your browser blocks cookies. "
            "Go back, reload the page and submit the form again."
        ),
    )


def too_many_requests(request: HttpRequest, *, seconds: float) -> HttpResponse:
    """429 with the time to wait, for a view that exceeded its rate limit."""
    pause = max(1, math.ceil(seconds))
    response = _page(
        request,
        429,
        title=_("Too many attempts"),
        text=ngettext("Try again in %(n)d second.", "Try again in %(n)d seconds.", pause) % {"n": pause},
    )
    response.headers["Retry-After"] = str(pause)
    return response
