"""Remote procedure calls from a page to a host, since the web never accesses a host's files.

A call is a Celery task on the host's queue. The reply is one value in Redis, which expires after a minute: a reply
that comes too late is lost, and the page calls again. `servers.hosts.rpc_handlers` holds the procedures.
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
TIMEOUT_SECONDS = 10

_KEPT_SECONDS = 60


class HostSilent(Exception):
    """The host did not answer in time."""


class NotFound(LookupError):
    """The host replied that the requested object does not exist."""


@dataclass(frozen=True)
class Reply:
    facts: Any
    data: bytes = b""


def call(host: Host, procedure: str, **values: Any) -> Reply:
    """Call a procedure and wait for its reply. Raises NotFound, and HostSilent: at once when the host is down."""
    if host.is_down(timezone.now()):
        raise HostSilent
    token = secrets.token_urlsafe(16)
    try:
        current_app.send_task(
            TASK,
            args=[token, procedure, values],
            queue=host.queue,
            expires=TIMEOUT_SECONDS,
            ignore_result=True,
            retry=False,
        )
        raw = _wait(_key(token))
    except (CeleryError, KombuError, OSError, redis.RedisError) as error:
        logger.warning("host %s could not be called for %s: %s", host, procedure, error)
        raise HostSilent from error
    if raw is None:
        raise HostSilent
    head, _, data = zlib.decompress(raw).partition(b"\n")
    header = json.loads(head)
    if header["missing"]:
        raise NotFound
    return Reply(header["facts"], data)


def reply(token: str, reply: Reply | None) -> None:
    """Send the reply of a call, on the host. None means that the object does not exist."""
    head = json.dumps({"missing": reply is None, "facts": reply.facts if reply else None})
    raw = zlib.compress(head.encode() + b"\n" + (reply.data if reply else b""), level=1)
    with pubsub.client().pipeline() as pipe:
        pipe.rpush(_key(token), raw)
        pipe.expire(_key(token), _KEPT_SECONDS)
        pipe.execute()


def _wait(key: str) -> bytes | None:
    # A client of its own: the shared one stops reading long before a host with much data has replied.
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS + 5, socket_connect_timeout=2
    ) as client:
        popped = cast("tuple[bytes, bytes] | None", client.blpop([key], timeout=TIMEOUT_SECONDS))
    return popped[1] if popped else None


def _key(token: str) -> str:
    return f"left4me:answer:{token}"
