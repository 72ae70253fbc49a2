"""Liveness of beat and worker: beat sends a task every few seconds, the worker stores when it ran it.

One key is enough for both, because the queue tells them apart: waiting messages mean that the worker takes none, no
waiting messages and no pulse mean that beat sends none.
"""

from __future__ import annotations

from dataclasses import dataclass

from celery import shared_task
from django.conf import settings

from left4me.core import clock
from left4me.core.processes import procfs
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
    # Not the time of day: after the clock was set back, an old pulse would look fresh.
    client().set(keys.PULSE, f"{procfs.boot_id()} {clock.since_boot():.3f}")


def read(*, of_any_boot: bool = False) -> Pulse:
    """Read the pulse. Raises redis.RedisError.

    A pulse from before the last start of the machine is none, unless `of_any_boot`: then only its time counts.
    """
    stamp = client().get(keys.PULSE)
    waiting = client().llen(settings.CELERY_TASK_DEFAULT_QUEUE)
    boot, _, at = stamp.decode().partition(" ") if isinstance(stamp, bytes) else ("", "", "")
    age = clock.since_boot() - float(at) if at and (of_any_boot or boot == procfs.boot_id()) else None
    # The machine has not run for that long.
    age = age if age is None or age >= 0 else None
    return Pulse(age=age, waiting=int(waiting))
