"""Liveness of beat and worker: beat sends a task every few seconds, the worker stores when it ran it.

One key is enough for both, because the queue tells them apart: waiting messages mean that the worker takes none, no
waiting messages and no pulse mean that beat sends none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from celery import shared_task
from django.conf import settings

from left4me.core.redis import keys
from left4me.core.redis.client import client

STALE_AFTER_SECONDS = 20


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
            return f"the worker has taken no task {since}; {self.waiting} messages are waiting"
        return f"beat has sent no task {since}"


@shared_task(name="left4me.pulse", ignore_result=True)
def beat() -> None:
    client().set(keys.PULSE, f"{time.time():.3f}")


def read() -> Pulse:
    """Read the pulse. Raises redis.RedisError."""
    stamp = client().get(keys.PULSE)
    waiting = client().llen(settings.CELERY_TASK_DEFAULT_QUEUE)
    age = None if stamp is None else max(0.0, time.time() - float(stamp))
    return Pulse(age=age, waiting=int(waiting))
