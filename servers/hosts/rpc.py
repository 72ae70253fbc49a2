"""Questions of a page to a host, answered at once: the web never touches a host's files.

A question travels as a task on the host's queue; the answer comes back as one value in Redis that is gone after a
minute. Nothing of it is kept: a page that is told too late asks again.
"""

from __future__ import annotations

import json
import logging
import secrets
import zlib
from dataclasses import dataclass
from typing import Any, cast

import redis
from celery import current_app
from celery.exceptions import CeleryError
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import KombuError

from left4me.core.redis import pubsub
from servers.models import Host

logger = logging.getLogger(__name__)

TASK = "servers.answer"
PATIENCE_SECONDS = 10

_KEPT_SECONDS = 60


class HostSilent(Exception):
    """The host did not answer in time."""


class NotThere(LookupError):
    """The host answered that there is no such thing."""


@dataclass(frozen=True)
class Answer:
    facts: Any
    data: bytes = b""


def ask(host: Host, question: str, **values: Any) -> Answer:
    """Ask and wait; raises HostSilent, at once when the host is down, or NotThere."""
    if host.is_down(timezone.now()):
        raise HostSilent
    token = secrets.token_urlsafe(16)
    try:
        current_app.send_task(
            TASK,
            args=[token, question, values],
            queue=host.queue,
            expires=PATIENCE_SECONDS,
            ignore_result=True,
            retry=False,
        )
        raw = _wait(_key(token))
    except (CeleryError, KombuError, OSError, redis.RedisError) as error:
        logger.warning("host %s could not be asked for %s: %s", host, question, error)
        raise HostSilent from error
    if raw is None:
        raise HostSilent
    head, _, data = zlib.decompress(raw).partition(b"\n")
    said = json.loads(head)
    if said["missing"]:
        raise NotThere
    return Answer(said["facts"], data)


def answer(token: str, answer: Answer | None) -> None:
    """The host's side: leave the answer for who asked; None says that there is no such thing."""
    head = json.dumps({"missing": answer is None, "facts": answer.facts if answer else None})
    raw = zlib.compress(head.encode() + b"\n" + (answer.data if answer else b""), level=1)
    with pubsub.client().pipeline() as pipe:
        pipe.rpush(_key(token), raw)
        pipe.expire(_key(token), _KEPT_SECONDS)
        pipe.execute()


def _wait(key: str) -> bytes | None:
    # A client of its own: the shared one gives up reading long before a host with much to read has answered.
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=PATIENCE_SECONDS + 5, socket_connect_timeout=2
    ) as client:
        popped = cast("tuple[bytes, bytes] | None", client.blpop([key], timeout=PATIENCE_SECONDS))
    return popped[1] if popped else None


def _key(token: str) -> str:
    return f"left4me:answer:{token}"
