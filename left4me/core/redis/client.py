"""Clients for Redis. Every connection of the project outside Celery and Django's cache is made here."""

from __future__ import annotations

import functools
import threading

import redis
import redis.asyncio
from django.conf import settings

from left4me.core.net import keepalive

_SECONDS_TO_CONNECT = 2.0
_SECONDS_TO_ANSWER = 2.0
_making = threading.Lock()


def client(*, timeout: float = _SECONDS_TO_ANSWER) -> redis.Redis:
    """The process's client with this read timeout. Thread-safe; connects at the first command. Never close it."""
    # `cache` alone lets the first requests, which come at once, make several: one that is dropped closes its pool.
    with _making:
        return _client(settings.REDIS_URL, timeout)


@functools.cache
def _client(url: str, timeout: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=min(timeout, _SECONDS_TO_CONNECT),
        **keepalive.for_redis(url),
    )


def subscriber() -> redis.Redis:
    """A new client without a read timeout, for a subscription; the caller closes it."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_SECONDS_TO_CONNECT, **keepalive.for_redis(settings.REDIS_URL)
    )


def async_subscriber() -> redis.asyncio.Redis:
    """`subscriber` for the running event loop; the caller closes it."""
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=_SECONDS_TO_CONNECT,
        health_check_interval=15,
        **keepalive.for_redis(settings.REDIS_URL),
    )
