"""Celery's own way to a worker and back: a bare message, without a job, a lock or a line."""

from __future__ import annotations

import time

from bench import stack


def send(times: int, pause: float = 0.03) -> list[float]:
    """Send so many messages, one after the other; return the milliseconds until each was answered over Redis."""
    from celery import current_app

    from left4me.core.redis import keys
    from left4me.core.redis.client import client

    taken = []
    for _ in range(times):
        client().delete(keys.PULSE)
        began = time.perf_counter()
        current_app.send_task("left4me.pulse", queue="host.local")
        stack.until(lambda: client().exists(keys.PULSE), what="the pulse")
        taken.append(1000 * (time.perf_counter() - began))
        time.sleep(pause)
    return taken


def rate(messages: int) -> float:
    """Send so many messages at once to a worker that includes `celery_nothing`; return how many it ran a second."""
    from celery import current_app

    from bench.peers import celery_nothing
    from left4me.core.redis.client import client

    client().delete(celery_nothing.LAST)
    began = time.perf_counter()
    for left in reversed(range(messages)):
        current_app.send_task("bench.nothing", args=(left,), queue="host.local", ignore_result=True)
    stack.until(lambda: client().exists(celery_nothing.LAST), what="the last message")
    return messages / (time.perf_counter() - began)
