"""Counting what happens within a time, in Redis: the ground of every throttle.

A window starts with its first count and ends by itself, whatever comes in between. So no one can keep a window
open by going on, and nobody is shut out for longer than the window lasts.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import redis
from django.conf import settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limit:
    """At most `most` counts of one key within `seconds`."""

    name: str
    most: int
    seconds: int

    def key(self, subject: str) -> str:
        # Hashed: what people type (names, addresses) neither shows up in Redis nor makes keys of any length.
        return f"left4me:count:{self.name}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Count:
    limit: Limit
    number: int
    wait: int

    @property
    def is_over(self) -> bool:
        return self.number > self.limit.most


class TooMany(Exception):
    """A limit is reached; try again after `wait` seconds. Pages and API turn this into 429 with Retry-After."""

    def __init__(self, wait: int) -> None:
        self.wait = max(1, wait)
        super().__init__(f"try again in {self.wait} s")


def add(*counted: tuple[Limit, str]) -> list[Count]:
    """Count one more of each (limit, subject) in one round trip and say where each stands.

    Without Redis nothing is counted and nothing is over: whoever must mend the machine has to get in.
    """
    try:
        with _client(settings.REDIS_URL).pipeline(transaction=True) as pipe:
            for limit, subject in counted:
                pipe.set(limit.key(subject), 0, ex=limit.seconds, nx=True)
                pipe.incr(limit.key(subject))
                pipe.ttl(limit.key(subject))
            answers = pipe.execute()
    except redis.RedisError as error:
        logger.warning("Nothing is throttled while Redis cannot be reached: %s", error)
        return [Count(limit, 0, 0) for limit, _ in counted]
    return [
        Count(limit, int(answers[3 * i + 1]), max(1, int(answers[3 * i + 2]))) for i, (limit, _) in enumerate(counted)
    ]


def enforce(limit: Limit, subject: str) -> None:
    """Count one more; raises TooMany beyond the limit."""
    (count,) = add((limit, subject))
    if count.is_over:
        raise TooMany(count.wait)


def forget(counted: Sequence[tuple[Limit, str]]) -> None:
    """Start these windows anew."""
    try:
        _client(settings.REDIS_URL).delete(*[limit.key(subject) for limit, subject in counted])
    except redis.RedisError as error:
        logger.warning("Could not reset a throttle: %s", error)


@functools.cache
def _client(url: str) -> redis.Redis:
    # A throttle must not become the slowest part of a page when Redis hangs.
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
