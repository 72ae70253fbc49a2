"""Error pages in the site's design. They use neither session nor database, which may be the cause of the error."""

from __future__ import annotations

import math
import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.core import outages

Words = str | Promise


def _page(code: int, *, title: Words, text: Words) -> HttpResponse:
    return HttpResponse(render_to_string("error.html", {"code": code, "title": title, "text": text}), status=code)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(
        400, title=_("We could not read that request"), text=_("Go back, reload the page, and try once more.")
    )


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(
        403, title=_("You may not do that"), text=_("Your account has no right to this. An admin can change that.")
    )


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(
        404,
        title=_("There is nothing here"),
        text=_("The page does not exist, or it belongs to somebody who has not shared it with you."),
    )


def already_gone(request: HttpRequest) -> HttpResponse:
    """404 for changing or deleting a row that another user has just deleted."""
    return _page(404, title=_("It is already gone"), text=_("Somebody else deleted it a moment ago."))


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the machine is the cause. Django calls this while it handles the exception."""
    if (outage := outages.of(sys.exception())) is not None:
        response = _page(503, title=outage.title, text=outage.text)
        response.headers["Retry-After"] = str(outage.retry_after)
        return response
    return _page(
        500,
        title=_("Something broke on our side"),
        text=_("The fault is in the log of the server. Game servers that run are not touched by it."),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form with a missing or outdated CSRF token (settings.CSRF_FAILURE_VIEW)."""
    return _page(
        403,
        title=_("This form has gone stale"),
        text=_(
            "It was open for long, or you signed in or out meanwhile, or the browser sends no cookies. "
            "Go back, reload the page, and send it again."
        ),
    )


def too_many_requests(request: HttpRequest, *, seconds: float) -> HttpResponse:
    """429 with the time to wait, for a view that exceeded its rate limit."""
    pause = max(1, math.ceil(seconds))
    response = _page(
        429,
        title=_("That was too often"),
        text=_("To protect accounts we take a break. Try again in %(seconds)d seconds.") % {"seconds": pause},
    )
    response.headers["Retry-After"] = str(pause)
    return response
