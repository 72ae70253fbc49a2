"""Messages to hosts: a Celery task on the host's queue, sent without waiting for a broker that is down."""

from __future__ import annotations

import functools
import logging
from typing import Any, Final

import redis
from celery import current_app
from celery.exceptions import CeleryError
from django.db import transaction
from kombu.exceptions import KombuError

from left4me.core.redis import keys
from left4me.core.redis.client import client

log = logging.getLogger(__name__)

# A worker drops messages that have expired when it takes them; while there is none, they stay in Redis.
MOST_WAITING: Final = 1_000


def send(host: str, task: str, *args: Any, expires: float) -> bool:
    """Put the task named `task` on the queue of `host`; return whether the broker took it.

    Never raises for a broker that is down. The host drops a message that is older than `expires` seconds.
    """
    try:
        current_app.send_task(
            task, args=list(args), queue=keys.host_queue(host), expires=expires, ignore_result=True, retry=False
        )
    except (CeleryError, KombuError, OSError, redis.RedisError) as error:
        log.warning("Could not send %s to host %s: %s", task, host, error)
        return False
    return True


def send_after_commit(host: str, task: str, *args: Any, expires: float) -> None:
    """`send`, once the host can read the rows."""
    transaction.on_commit(functools.partial(send, host, task, *args, expires=expires), robust=True)


def has_room(host: str) -> bool:
    """Whether the queue of `host` takes periodic messages: its worker may be away for weeks."""
    try:
        return int(client().llen(keys.host_queue(host))) < MOST_WAITING
    except redis.RedisError:
        return True
