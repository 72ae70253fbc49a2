"""Middleware that turns exceptions into responses: rate limits → 429, deleted rows → 404; in the API problem+json."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from left4me.core import rows
from left4me.core.redis.rate_limit import RateLimited
from left4me.core.web.api import Problem, problem_response
from left4me.site.error_pages import already_gone, too_many_requests

GetResponse = Callable[[HttpRequest], HttpResponse]
_KEPT_HEADERS = ("Allow", "Retry-After")


class ExceptionResponses:
    """Turns the RateLimited and Gone exceptions of any view into their error pages, 429 and 404."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, fault: Exception) -> HttpResponse | None:
        if isinstance(fault, rows.Gone):
            return already_gone(request)
        return too_many_requests(request, seconds=fault.wait) if isinstance(fault, RateLimited) else None


class PlainQueries:
    """Answers 400 to addresses with NUL, which no text of PostgreSQL contains: searches would fail with an error."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", "") or "\0" in request.path_info:
            raise BadRequest("The address contains NUL.")
        return self.get_response(request)


class ApiProblems:
    """Turns errors that do not reach the API's handlers (unknown path, wrong method, bad host) into problem+json."""

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
