"""Redis pub/sub for short notifications.

Delivery is best effort: receivers re-read the database when they reconnect, so `publish` never raises and never
blocks for long.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

import redis

from left4me.core.redis.client import client, subscriber

log = logging.getLogger(__name__)

_SECONDS_BEFORE_NEXT_TRY = 1.0


class _Outage:
    until = 0.0


def is_away() -> bool:
    """Whether Redis failed within the last second: a flood of messages must not wait for it one by one."""
    return time.monotonic() < _Outage.until


def note_outage(error: Exception) -> None:
    """Let `is_away` return true for a second."""
    _Outage.until = time.monotonic() + _SECONDS_BEFORE_NEXT_TRY
    log.warning("Could not publish live messages to Redis: %s", error)


@contextlib.contextmanager
def listen(channel: str) -> Iterator[Iterator[bytes | None]]:
    """Iterate over the messages of `channel` from now on; None about once a second, so that the caller can stop.

    Raises RedisError when the connection is lost; messages published until the next `listen` are lost with it.
    """
    connection = subscriber()
    try:
        with connection.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(channel)
            yield _messages(subscription)
    finally:
        connection.close()


def _messages(subscription: redis.client.PubSub) -> Iterator[bytes | None]:
    while True:
        message = subscription.get_message(timeout=1.0)
        yield message["data"] if message is not None else None


def publish(channel: str, message: str) -> bool:
    """Send `message` to the current subscribers of `channel`; return whether Redis took it."""
    if is_away():
        return False
    try:
        client().publish(channel, message)
    except redis.RedisError as error:
        note_outage(error)
        return False
    return True
