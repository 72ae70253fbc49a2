"""Fixed-window counters in Redis, used for rate limits.

A window starts with its first count and expires by itself, whatever is counted in between. So further tries cannot
extend a window, and no client is locked out for longer than the window lasts.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from left4me.core.redis import keys
from left4me.core.redis.client import client

logger = logging.getLogger(__name__)

# A rate limit must not become the slowest part of a page when Redis hangs.
_SECONDS_TO_ANSWER = 1.0


@dataclass(frozen=True)
class Limit:
    """At most `most` counts of one key within `seconds`."""

    name: str
    most: int
    seconds: int

    def key(self, subject: str) -> str:
        # Hashed: user input (names, addresses) must neither be readable in Redis nor make keys of any length.
        return keys.rate_limit(self.name, hashlib.sha256(subject.encode()).hexdigest()[:32])


@dataclass(frozen=True)
class Count:
    """Where a limit stands: `number` counts so far, and `wait` seconds until its window ends."""

    limit: Limit
    number: int
    wait: int

    @property
    def is_over(self) -> bool:
        return self.number > self.limit.most


class RateLimited(Exception):
    """A limit is reached; try again after `wait` seconds. Pages and API turn this into 429 with Retry-After."""

    def __init__(self, wait: int) -> None:
        self.wait = max(1, wait)
        super().__init__(f"try again in {self.wait} s")


def add(*counted: tuple[Limit, str]) -> list[Count]:
    """Count one more of each (limit, subject) in one round trip and return where each stands.

    Without Redis nothing is counted and no limit is reached: the operator who repairs the machine has to get in.
    """
    try:
        with client(timeout=_SECONDS_TO_ANSWER).pipeline(transaction=True) as pipe:
            for limit, subject in counted:
                pipe.set(limit.key(subject), 0, ex=limit.seconds, nx=True)
                pipe.incr(limit.key(subject))
                pipe.ttl(limit.key(subject))
            answers = pipe.execute()
    except redis.RedisError as error:
        logger.warning("Rate limits are off while Redis is unreachable: %s", error)
        return [Count(limit, 0, 0) for limit, _ in counted]
    return [
        Count(limit, int(answers[3 * i + 1]), max(1, int(answers[3 * i + 2]))) for i, (limit, _) in enumerate(counted)
    ]


def enforce(limit: Limit, subject: str) -> None:
    """Count one more; raises RateLimited beyond the limit."""
    (count,) = add((limit, subject))
    if count.is_over:
        raise RateLimited(count.wait)


def give_back(limit: Limit, subject: str) -> None:
    """Take back one count: what was counted before its outcome was known should not have been."""
    try:
        with client(timeout=_SECONDS_TO_ANSWER).pipeline(transaction=True) as pipe:
            # In a window that ended meanwhile, the count starts below nothing, and still ends with it.
            pipe.set(limit.key(subject), 0, ex=limit.seconds, nx=True)
            pipe.decr(limit.key(subject))
            pipe.execute()
    except redis.RedisError as error:
        logger.warning("Could not take back a count of a rate limit: %s", error)


def forget(counted: Sequence[tuple[Limit, str]]) -> None:
    """Reset these windows."""
    try:
        client(timeout=_SECONDS_TO_ANSWER).delete(*[limit.key(subject) for limit, subject in counted])
    except redis.RedisError as error:
        logger.warning("Could not reset a rate limit: %s", error)
