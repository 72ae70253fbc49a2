"""A Celery task that does nothing: the least that a task takes. Workers of a bench include this module."""

from __future__ import annotations

from celery import shared_task

LAST = "left4me:bench-last"


@shared_task(name="bench.nothing", ignore_result=True)
def nothing(left: int) -> None:
    if not left:
        from left4me.core.redis.client import client

        client().set(LAST, 1)
