"""The one way to Redis outside Celery: short messages to whoever listens, which may be nobody.

Nothing here is the truth: a message that is lost is made up from the database by its receiver. So publishing never
raises, and never holds up what it reports on.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Iterator

import redis
import redis.asyncio
from django.conf import settings

from left4me.core.net import keepalive

log = logging.getLogger(__name__)

_SECONDS_TO_ANSWER = 2.0
_SECONDS_BEFORE_NEXT_TRY = 1.0


class _Outage:
    until = 0.0


def is_away() -> bool:
    """Whether Redis did not answer a moment ago; a flood of messages must not wait for it one by one."""
    return time.monotonic() < _Outage.until


def note_outage(error: Exception) -> None:
    """Remember that Redis did not take a message."""
    _Outage.until = time.monotonic() + _SECONDS_BEFORE_NEXT_TRY
    log.warning("Redis does not take live messages: %s", error)


@functools.cache
def client() -> redis.Redis:
    """The process's own client: thread-safe, connects when used, gives up after two seconds."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_SECONDS_TO_ANSWER,
        socket_connect_timeout=_SECONDS_TO_ANSWER,
        **keepalive.for_redis(settings.REDIS_URL),
    )


def async_client() -> redis.asyncio.Redis:
    """A client for the running event loop; the caller closes it. Without a read timeout: it is made to listen."""
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=_SECONDS_TO_ANSWER,
        health_check_interval=15,
        **keepalive.for_redis(settings.REDIS_URL),
    )


@contextlib.contextmanager
def listen(channel: str) -> Iterator[Iterator[bytes | None]]:
    """What is told on `channel`, from now on; None about once a second, so that the caller can look around.

    Raises RedisError when the connection is lost; what was told meanwhile is lost with it.
    """
    listener = redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_SECONDS_TO_ANSWER, **keepalive.for_redis(settings.REDIS_URL)
    )
    try:
        with listener.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(channel)
            yield _messages(subscription)
    finally:
        listener.close()


def _messages(subscription: redis.client.PubSub) -> Iterator[bytes | None]:
    while True:
        message = subscription.get_message(timeout=1.0)
        yield message["data"] if message is not None else None


def publish(channel: str, message: str) -> bool:
    """Tell whoever listens to `channel`; return whether Redis took it."""
    if is_away():
        return False
    try:
        client().publish(channel, message)
    except redis.RedisError as error:
        note_outage(error)
        return False
    return True


def count(key: str, field: str) -> None:
    """Add one to a counter of a hash; nothing is counted while Redis is away."""
    if is_away():
        return
    try:
        client().hincrby(key, field, 1)
    except redis.ResponseError as error:
        # Not allowed, or no counter: everything else goes on as before.
        log.warning("%s is not counted: %s", key, error)
    except redis.RedisError as error:
        note_outage(error)
