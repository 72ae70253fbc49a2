"""Health of beat and worker: beat sends a task every few seconds, and the worker records in Redis when it ran.

One key serves for both, because the queue tells them apart: if messages are waiting, the worker does not take them;
if none are waiting and the pulse is old, beat does not send.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis
from celery import shared_task
from django.conf import settings

EVERY_SECONDS = 5
STALE_AFTER_SECONDS = 20
_KEY = "left4me:pulse"


@dataclass(frozen=True)
class Pulse:
    """`age` is None if no pulse was ever recorded; `waiting` counts the messages in the queue."""

    age: float | None
    waiting: int

    @property
    def is_fresh(self) -> bool:
        return self.age is not None and self.age <= STALE_AFTER_SECONDS

    @property
    def fault(self) -> str:
        """A description of the problem; empty if there is none."""
        if self.is_fresh:
            return ""
        since = "since it started" if self.age is None else f"for {self.age:.0f} s"
        if self.waiting:
            return f"the worker has taken no task {since}; {self.waiting} messages wait"
        return f"beat has sent no task {since}"


@shared_task(name="left4me.pulse", ignore_result=True)
def beat() -> None:
    with connect() as client:
        client.set(_KEY, f"{time.time():.3f}")


def connect(*, timeout: float = 2.0) -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=timeout, socket_connect_timeout=timeout)


def read() -> Pulse:
    """Read the pulse. Raises redis.RedisError."""
    with connect() as client:
        stamp = client.get(_KEY)
        waiting = client.llen(settings.CELERY_TASK_DEFAULT_QUEUE)
    age = None if stamp is None else max(0.0, time.time() - float(stamp))
    return Pulse(age=age, waiting=int(waiting))
