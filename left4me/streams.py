"""Which paths are live streams, and who may open one: composes each app's streams over one hub."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host

from left4me.jobs import streams as job_streams
from left4me.lib import bus, sse


def authenticate(headers: Mapping[str, str]) -> Any:
    """The active user behind a session cookie or a bearer token; None for anybody else."""
    # As Django does for pages: a name that is not ours could be a foreign page that points at this address.
    host, _port = split_domain_port(headers.get("host", "").lower())
    if not host or not validate_host(host, settings.ALLOWED_HOSTS):
        return None
    user = _user_of_session(headers.get("cookie", ""))
    return user if user is not None and user.is_active else None


def _user_of_session(cookie: str) -> Any:
    try:
        morsel = SimpleCookie(cookie).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    if morsel is None:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value)
    user = get_user(request)
    return user if user.is_authenticated else None


application = sse.Application(
    sse.Hub(bus.async_client),
    [sse.Route(r"/jobs/(\d{1,18})/stream", job_streams.open_stream)],
    authenticate=authenticate,
    streams_per_user=settings.LEFT4ME_STREAMS_PER_USER,
)
