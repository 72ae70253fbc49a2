"""Remote procedure calls from a page to a host, since the web never accesses a host's files.

A call is a Celery task on the host's queue. The reply is one value in Redis, which expires after a minute: a reply
that comes too late is lost, and the page calls again. `servers.hosts.rpc_handlers` holds the procedures.
"""

from __future__ import annotations

import json
import logging
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import redis
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from left4me.core.redis import hosts, keys
from left4me.core.redis.client import client
from left4me.core.web import ranges
from servers.models import Host

logger = logging.getLogger(__name__)

TASK = "servers.answer"
TIMEOUT_SECONDS = 10

KEPT_SECONDS = 60


class HostSilent(Exception):
    """The host did not answer in time."""


class NotFound(LookupError):
    """The host replied that the requested object does not exist."""


@dataclass(frozen=True)
class Reply:
    facts: Any
    data: bytes = b""


def call(host: Host, procedure: str, *, patience: float | None = None, **values: Any) -> Reply:
    """Call a procedure and wait for its reply. Raises NotFound, and HostSilent: at once when the host is down."""
    patience = TIMEOUT_SECONDS if patience is None else patience
    if host.is_down(timezone.now()):
        raise HostSilent
    token = secrets.token_urlsafe(16)
    if not hosts.send(host.name, TASK, token, procedure, values, expires=patience):
        raise HostSilent
    try:
        raw = _wait(keys.host_answer(token), patience)
    except redis.RedisError as error:
        logger.warning("host %s could not be called for %s: %s", host, procedure, error)
        raise HostSilent from error
    if raw is None:
        raise HostSilent
    head, _, data = zlib.decompress(raw).partition(b"\n")
    header = json.loads(head)
    if header["missing"]:
        raise NotFound
    return Reply(header["facts"], data)


def pieces(host: Host, procedure: str, *, first: bytes, start: int = 0, end: int, **values: Any) -> Iterator[bytes]:
    """The bytes of a file from `start` up to `end`, of which the first call returned `first`. Raises as `call` does.

    Ends early where the file does.
    """
    piece, at = first, start
    while piece and at < end:
        piece = piece[: end - at]
        yield piece
        at += len(piece)
        if at < end:
            piece = call(host, procedure, offset=at, **values).data


def download(
    request: HttpRequest, host: Host, procedure: str, *, filename: str, content_type: str, **values: Any
) -> HttpResponseBase:
    """The file that `procedure` reads, or the range of it that was requested. Raises as `call` does.

    What a file grows by during the download is left out.
    """
    asked = ranges.Asked(request)
    at = asked.start
    first = call(host, procedure, offset=at, **values)
    size = int(first.facts["size"])
    # A host of an older release does not tell when the file was changed.
    tag = ranges.tag_of(host.name, procedure, values, size, first.facts.get("changed", ""))
    if asked.start_in(tag) != at:
        first = call(host, procedure, offset=0, **values)
    return ranges.response(
        asked,
        size=size,
        tag=tag,
        filename=filename,
        content_type=content_type,
        pieces=lambda start, end: pieces(host, procedure, first=first.data, start=start, end=end, **values),
    )


def reply(token: str, reply: Reply | None) -> None:
    """Send the reply of a call, on the host. None means that the object does not exist."""
    head = json.dumps({"missing": reply is None, "facts": reply.facts if reply else None})
    raw = zlib.compress(head.encode() + b"\n" + (reply.data if reply else b""), level=1)
    with client().pipeline() as pipe:
        pipe.rpush(keys.host_answer(token), raw)
        pipe.expire(keys.host_answer(token), KEPT_SECONDS)
        pipe.execute()


def _wait(key: str, seconds: float) -> bytes | None:
    # A longer read timeout than usual: the usual one would end long before a host with much data has replied.
    patient = client(timeout=seconds + 5)
    popped = cast("tuple[bytes, bytes] | None", patient.blpop([key], timeout=seconds))
    return popped[1] if popped else None
