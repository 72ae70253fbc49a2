"""TCP keepalive for Redis and PostgreSQL: a broken network path is noticed within seconds instead of minutes."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

# Silent for 5 s: ask every 5 s, give up after three. Sent but not acknowledged for 10 s: give up.
_IDLE_SECONDS = _EVERY_SECONDS = 5
_TIMES = 3
_UNACKNOWLEDGED_MILLISECONDS = 10_000


def for_redis(url: str) -> dict[str, Any]:
    """Options of a Redis client at `url`; none for a unix socket, whose peer cannot vanish silently."""
    if urlsplit(url).scheme not in {"redis", "rediss"}:
        return {}
    return {
        "socket_keepalive": True,
        "socket_keepalive_options": {
            socket.TCP_KEEPIDLE: _IDLE_SECONDS,
            socket.TCP_KEEPINTVL: _EVERY_SECONDS,
            socket.TCP_KEEPCNT: _TIMES,
            socket.TCP_USER_TIMEOUT: _UNACKNOWLEDGED_MILLISECONDS,
        },
    }


def for_postgresql(host: str) -> dict[str, Any]:
    """Options of libpq for `host`; none where that is a unix socket's directory."""
    if not host or host.startswith("/"):
        return {}
    return {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": _IDLE_SECONDS,
        "keepalives_interval": _EVERY_SECONDS,
        "keepalives_count": _TIMES,
        "tcp_user_timeout": _UNACKNOWLEDGED_MILLISECONDS,
    }
