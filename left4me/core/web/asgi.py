"""The base of the small ASGI applications that run beside Django's own handler, for answers that last long.

Such an answer costs a task here; in Django it would hold one of a few threads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from django.db import close_old_connections

from left4me.core import outages

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Scope = Mapping[str, Any]
Headers = Mapping[str, str]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]


# More is of no use to one process, and costs memory in libraries that make tables of all possible descriptors.
_ENOUGH_FILES = 65_536
# Descriptors that are kept for pages, the database, Redis and subprocesses.
_RESERVE = 128


def room_for_connections() -> int:
    """Let this process open as many files as it may; returns how many connections fit beside a reserve."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _ENOUGH_FILES if soft == resource.RLIM_INFINITY else max(soft // 2, soft - _RESERVE)


class Refusal(Exception):
    """The request is refused; `Application` answers with problem+json."""

    def __init__(self, status: int, title: str, *, retry_after: int | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(title)


class Application(ABC):
    """An ASGI application for the paths that it `serves`."""

    @abstractmethod
    def serves(self, path: str) -> bool:
        """Whether requests for `path` belong to this application."""

    @abstractmethod
    async def answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Refusal before the answer has begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_and_note(message: dict[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            await self.answer(scope, headers, receive, send_and_note)
        except Refusal as refusal:
            await _refuse(send, refusal)
        except asyncio.CancelledError:
            # The server ends, the client is gone or takes nothing: there is no connection left to answer on.
            log.debug("The client of %s disconnected", scope["path"])
        except Exception as fault:
            log.exception("Could not answer %s", scope["path"])
            # An answer that has begun must not look complete: without its end the connection breaks.
            if has_begun:
                raise
            await _refuse(send, _refusal_of(fault))


def _refusal_of(fault: Exception) -> Refusal:
    if (outage := outages.of(fault)) is not None:
        return Refusal(503, str(outage.title), retry_after=outage.retry_after)
    return Refusal(500, "Internal server error")


def with_database(call: Callable[..., Result], *args: Any) -> Result:
    """Run `call` in a thread outside of Django's requests: afterwards no stale database connection is left there."""
    try:
        return call(*args)
    finally:
        close_old_connections()


async def body(receive: Receive, *, limit: int) -> bytes:
    """The request's body. Raises Refusal beyond `limit` bytes, and CancelledError when the client disconnects."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise Refusal(413, "Request too large")
        if not message.get("more_body", False):
            return b"".join(parts)


async def disconnected(receive: Receive) -> None:
    """Return when the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def in_thread(threads: Executor, call: Callable[..., Result], *args: Any) -> Result:
    """Run what blocks in one of `threads`."""
    return await asyncio.get_running_loop().run_in_executor(threads, call, *args)


async def send_pieces(pieces: Iterator[bytes], receive: Receive, send: Send, *, threads: Executor) -> None:
    """Send the body of an answer that has begun; `pieces` is read in one of `threads`."""
    # Sending to a closed connection raises no error, so watch for the disconnect and stop reading the disk.
    gone = asyncio.ensure_future(disconnected(receive))
    try:
        while (piece := await in_thread(threads, next, pieces, None)) is not None:
            await send_body(send, piece, more=True)
            if gone.done():
                return
        await send_body(send, b"", more=False)
    finally:
        gone.cancel()


async def start(send: Send, headers: RawHeaders) -> None:
    """Begin an answer with status 200."""
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def send_body(send: Send, piece: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": more})


async def _refuse(send: Send, refusal: Refusal) -> None:
    problem = {"type": "about:blank", "title": str(refusal), "status": refusal.status, "detail": ""}
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})
