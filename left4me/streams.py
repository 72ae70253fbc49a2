"""The ASGI application of all live streams: their paths, their authentication, and the hub that they share."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts import auth
from accounts.models import User
from left4me.core.redis.client import async_subscriber
from left4me.core.web import sse
from left4me.jobs import streams as job_streams
from servers.logs import streams as server_streams


def authenticate(headers: Mapping[str, str]) -> User | None:
    """The active user behind a bearer token or a session cookie; None for anybody else."""
    # As Django does for pages: another host name may belong to a foreign site that resolves to this address.
    host, _port = split_domain_port(headers.get("host", "").lower())
    if not host or not validate_host(host, settings.ALLOWED_HOSTS):
        return None
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme:
        found = auth.user_from_token(token.strip()) if scheme.lower() == "bearer" else None
        return found[0] if found else None
    key = _session_key(headers.get("cookie", ""))
    return auth.user_from_session(key) if key else None


def _session_key(cookies: str) -> str:
    try:
        morsel = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


application = sse.Application(
    sse.Hub(async_subscriber),
    [
        # What pages follow: one connection for each tab. The others are for programs.
        sse.Route(r"/live", sse.Signals, parts={"log": server_streams.open_log, "job": job_streams.open_stream}),
        sse.Route(r"/jobs/(\d{1,18})/stream", job_streams.open_stream),
        sse.Route(r"/servers/(\d{1,18})/logs/stream", server_streams.open_log),
    ],
    authenticate=authenticate,
    streams_per_user=settings.LEFT4ME_STREAMS_PER_USER,
)
