"""Messages to hosts: a Celery task on the host's queue, sent without waiting for a broker that is down."""

from __future__ import annotations

import logging
from typing import Any

import redis
from celery import current_app
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError

from left4me.core.redis import keys

log = logging.getLogger(__name__)


def send(host: str, task: str, *args: Any, expires: float) -> bool:
    """Put the task named `task` on the queue of `host`; return whether the broker took it.

    Never raises for a broker that is down. The host drops a message that is older than `expires` seconds, so that
    one that was down gathers none.
    """
    try:
        current_app.send_task(
            task, args=list(args), queue=keys.host_queue(host), expires=expires, ignore_result=True, retry=False
        )
    except (CeleryError, KombuError, OSError, redis.RedisError) as error:
        log.warning("Could not send %s to host %s: %s", task, host, error)
        return False
    return True
