"""Several streams on one connection: browsers open only six to a site, so a tab must not take one for each log.

An event `on` names the stream that all following events belong to, until the next `on`. Events are therefore the
same bytes as on a connection of their own. A stream that ends, or that the user may not see, gets an event `gone`
if it has not ended by itself; the connection ends with its first stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Protocol

from left4me.core.web import asgi
from left4me.core.web.asgi import Receive, Send
from left4me.core.web.sse.events import Event, Position, Source
from left4me.core.web.sse.viewer import Viewer

log = logging.getLogger(__name__)

# The first stream, by which a page knows that it is connected.
MAIN = ""
# Signals name the user whose rights changed, so that a regular look finds only what no signal told.
LOOK_SECONDS = 30.0
# As an event: scripts do not see comments, and this tells them that the connection is alive.
_KEEP_ALIVE = Event("still", "-").encoded()


@dataclass(frozen=True)
class Part:
    """One further stream. `source` is None if the user may not see it."""

    name: str
    source: Source | None
    position: Position


class View(Protocol):
    """Makes the viewer of a source."""

    def __call__(
        self, source: Source, position: Position, send: Send, *, look_seconds: float = ..., keep_alive: bytes = ...
    ) -> Viewer: ...


class Line:
    """The one connection: writes whole events, and says which stream they belong to when that changes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._on = MAIN
        self._writing = asyncio.Lock()

    def of(self, name: str) -> Send:
        """A `send` for the stream with this name."""

        async def send(message: dict[str, object]) -> None:
            async with self._writing:
                if self._on != name:
                    await asgi.send_body(self._send, Event("on", name or "-").encoded(), more=True)
                    self._on = name
                await self._send(message)

        return send


async def follow(
    view: View, main: Source, position: Position, parts: list[Part], receive: Receive, send: Send
) -> None:
    """Serve `main` and the parts until `main` is over."""
    line = Line(send)
    # At once: a page believes in its connection when it has heard something, and not before.
    await asgi.send_body(send, _KEEP_ALIVE, more=True)
    tasks = [asyncio.create_task(_follow_part(view, part, line.of(part.name))) for part in parts]
    try:
        viewer = view(main, position, line.of(MAIN), look_seconds=LOOK_SECONDS, keep_alive=_KEEP_ALIVE)
        await viewer.follow(receive)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _follow_part(view: View, part: Part, send: Send) -> None:
    try:
        # Without words of its own to keep the connection alive.
        if part.source is not None and await view(part.source, part.position, send, keep_alive=b"").follow():
            return
        await asgi.send_body(send, Event("gone", part.name).encoded(), more=True)
    except Exception:
        log.exception("Stream %s failed", part.name)
        with contextlib.suppress(Exception):
            await asgi.send_body(send, Event("gone", part.name).encoded(), more=True)
