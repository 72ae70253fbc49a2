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
from django.utils import timezone

from left4me.core.redis import hosts, keys
from left4me.core.redis.client import client
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
    if not hosts.send(host.name, TASK, token, question, values, expires=PATIENCE_SECONDS):
        raise HostSilent
    try:
        raw = _wait(keys.host_answer(token))
    except redis.RedisError as error:
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
    with client().pipeline() as pipe:
        pipe.rpush(keys.host_answer(token), raw)
        pipe.expire(keys.host_answer(token), _KEPT_SECONDS)
        pipe.execute()


def _wait(key: str) -> bytes | None:
    # A longer read timeout than usual, which would give up reading long before a host with much to read has answered.
    patient = client(timeout=PATIENCE_SECONDS + 5)
    popped = cast("tuple[bytes, bytes] | None", patient.blpop([key], timeout=PATIENCE_SECONDS))
    return popped[1] if popped else None
