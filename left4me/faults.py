"""What a visitor sees when something is not as it should be; below /api/ the same as problem+json."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.lib.api import Problem, problem_response
from left4me.lib.counters import TooMany

GetResponse = Callable[[HttpRequest], HttpResponse]
_KEPT_HEADERS = ("Allow", "Retry-After")


def _page(status: int, title: str | Promise, text: str | Promise) -> HttpResponse:
    # Without request and context processors: the page of a fault may not need a database, a session or Redis.
    content = render_to_string("error.html", {"code": status, "title": title, "text": text})
    return HttpResponse(content, status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(400, _("This request makes no sense"), _("Go back and try it another way."))


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(403, _("You may not do that"), str(exception or "") or _("Ask an admin if you think you should."))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(404, _("There is nothing here"), _("It was never here, is gone, or belongs to somebody else."))


def server_error(request: HttpRequest) -> HttpResponse:
    text = _("The fault has been written to the log. Try again; if it stays, tell whoever runs this installation.")
    return _page(500, _("Something broke on our side"), text)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    text = _(
        "For your safety nothing was changed. This happens when a page was open for long, or when cookies are "
        "blocked. Go back, reload the page and send it again."
    )
    return _page(403, _("This form is too old"), text)


def too_many(request: HttpRequest, fault: TooMany) -> HttpResponse:
    text = _("Wait %(wait)s seconds, then try again.") % {"wait": fault.wait}
    response = _page(429, _("Too many tries"), text)
    response["Retry-After"] = str(fault.wait)
    return response


class Limits:
    """Turns TooMany, raised by any view, into its page."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, fault: Exception) -> HttpResponse | None:
        return too_many(request, fault) if isinstance(fault, TooMany) else None


class ApiProblems:
    """Gives faults that never reached the API's own handlers (no such path, wrong method, bad host) its form."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code < 400 or not request.path_info.startswith("/api/"):
            return response
        if "json" in response.get("Content-Type", ""):
            return response
        problem = problem_response(Problem(response.status_code, HTTPStatus(response.status_code).phrase))
        for name in _KEPT_HEADERS:
            if name in response:
                problem[name] = response[name]
        return problem
