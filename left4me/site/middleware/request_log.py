"""One log line per request, and a request id that its log lines, its response and its jobs share."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from left4me.core import logbook

logger = logging.getLogger(__name__)

HEADER = "X-Request-ID"
_HEADER_IN_ASGI = HEADER.lower().encode()

# Requested by monitoring or by every page: successes are not logged.
_QUIET = ("/static/", "/health", "/ready", "/metrics")

GetResponse = Callable[[HttpRequest], HttpResponse]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class RequestLog:
    """The outermost middleware, so that refusals and errors of the others are logged too."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = logbook.request_id(request.headers.get(HEADER))
        started_at = time.monotonic()
        with logbook.bound(request=request_id):
            response = self.get_response(request)
            response[HEADER] = request_id
            _log(request.method or "", request.path, response.status_code, started_at, user=_user_id(request))
        return response


def logged(application: Application) -> Application:
    """The same for an ASGI application. The line is written when the response, or the stream, has ended."""

    async def with_log(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        given = next((value for name, value in scope["headers"] if name == _HEADER_IN_ASGI), b"")
        request_id = logbook.request_id(given.decode("latin-1"))
        started_at, status = time.monotonic(), 0

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (_HEADER_IN_ASGI, request_id.encode())]}
            await send(message)

        with logbook.bound(request=request_id):
            try:
                await application(scope, receive, send_with_id)
            finally:
                _log(scope["method"], scope["path"], status, started_at, user=logbook.current("user"))

    return with_log


def _log(method: str, path: str, status: int, started_at: float, *, user: Any) -> None:
    broken = status >= 500
    if not broken and path.startswith(_QUIET):
        return
    fields = {
        "method": method,
        "path": logbook.path(path),
        "status": status,
        "ms": round((time.monotonic() - started_at) * 1000),
    }
    if user is not None:
        fields["user"] = user
    text = "{method} {path} {status} in {ms} ms".format_map(fields)
    logger.log(logging.ERROR if broken else logging.INFO, text, extra={"fields": fields})


def _user_id(request: HttpRequest) -> Any:
    """The id of the user if it is loaded already: logging must not cost a query."""
    user = getattr(request, "_cached_user", None)
    if user is None:
        user = request.__dict__.get("user")
    return None if isinstance(user, SimpleLazyObject) else getattr(user, "pk", None)
