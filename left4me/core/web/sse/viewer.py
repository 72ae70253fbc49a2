"""One open stream: replays what the viewer lacks, then relays new messages, without losing or repeating a line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from left4me.core.web import asgi
from left4me.core.web.asgi import Receive, Send
from left4me.core.web.sse.events import START, Message, Position, Source, Standing
from left4me.core.web.sse.hub import Channel, Hub

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 15.0
LOOK_SECONDS = 5.0
# A client that takes nothing for so long is gone, though the connection was never closed.
_STUCK_SECONDS = 30.0

KEEP_ALIVE = b": still here\n\n"


class Viewer:
    """Follows `source` from `position` and writes to `send` until it ends, the client disconnects or loses its rights.

    `check` is called every `look_seconds`, in a thread; viewers with an equal `check_key` share its result.
    """

    def __init__(
        self,
        hub: Hub,
        source: Source,
        send: Send,
        *,
        position: Position,
        check: Callable[[], Standing],
        check_key: object,
        look_seconds: float = LOOK_SECONDS,
        keep_alive: bytes = KEEP_ALIVE,
    ) -> None:
        self._hub = hub
        self._source = source
        self._send_raw = send
        self._position = position
        self._check = check
        self._check_key = check_key
        self._look_seconds = look_seconds
        self._keep_alive = keep_alive
        self._looks_at_once = False
        self._closed = False
        self._behind = True
        self._woken: asyncio.Future[None] | None = None
        self._next = 0
        self._unsent: list[bytes] = []
        self._sent_at = time.monotonic()
        self._sending_since: float | None = None
        # Spread over time: a thousand viewers that connected together would otherwise always check together.
        self._look_at = self._sent_at + look_seconds * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
        self._task = asyncio.current_task()

    async def follow(self, receive: Receive | None = None) -> bool:
        """Serve the stream; return whether it ended by itself.

        Without `receive`, another viewer of the same connection notices when the client disconnects.
        """
        leaving = asyncio.create_task(self._notice_leave(receive)) if receive is not None else None
        channel = await self._hub.join(
            self, self._source.channel, self._source.decode, rest_seconds=self._source.rest_seconds
        )
        try:
            self._next = channel.next
            ended = False
            while not ended and not self._closed:
                ended = await self._pass_on(channel)
        finally:
            if leaving is not None:
                leaving.cancel()
            await self._hub.leave(self, channel)
        return ended

    # --- called by the hub ---

    def wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def close(self) -> None:
        self._closed = True
        self.wake()

    def messages_were_lost(self, *, in_outage: bool) -> None:
        if in_outage and self._source.begins_anew_after_outage:
            self._position = START
        self._behind = True
        self.wake()

    def tick(self, now: float) -> None:
        if self._sending_since is not None:
            if now - self._sending_since > _STUCK_SECONDS and self._task is not None:
                self._closed = True
                self._task.cancel()
        elif now >= self._look_at or self._is_quiet(now):
            self.wake()

    def _is_quiet(self, now: float) -> bool:
        return bool(self._keep_alive) and now - self._sent_at >= KEEP_ALIVE_SECONDS

    # --- the stream itself ---

    async def _pass_on(self, channel: Channel) -> bool:
        """Send the next message, or wait for one; True when the stream has ended."""
        try:
            message = channel.get(self._next)
        except IndexError:
            # Too far behind for what the channel keeps: the oldest are dropped here and read from the store.
            self._next = channel.next
            return await self._catch_up()
        if message is not None:
            self._next += 1
            return await self._send_message(message) or (self._looks_at_once and await self._look())
        if self._unsent:
            await self._send(b"")
            return False
        if self._behind:
            return await self._catch_up()
        await self._wait()
        now = time.monotonic()
        if not self._closed and now >= self._look_at:
            return await self._look()
        if not self._closed and self._is_quiet(now):
            await self._send(self._keep_alive)
        return False

    async def _send_message(self, message: Message) -> bool:
        if self._source.wants_look(message):
            self._looks_at_once = True
        message = await self._source.select(message, self._hub.shared)
        if message.after is None:
            self._unsent.append(message.encoded)
            return False
        if message.after > self._position and await self._catch_up():
            return True
        if message.last is not None and message.last > self._position:
            whole = message.after == self._position
            self._unsent.append(message.encoded if whole else message.beyond(self._position))
            self._position = message.last
        if message.end is not None and self._position >= message.after:
            await self._send(message.end.encoded())
            return True
        return False

    async def _catch_up(self) -> bool:
        """Read what is stored beyond the viewer's position; True when the stream has ended with it."""
        while not self._closed:
            self._behind = False
            page = await self._hub.blocking(self._source.replay, self._position)
            if page.events:
                await self._send(b"".join(event.encoded() for event in page.events))
            self._position = max(self._position, page.position)
            if page.more:
                continue
            if page.end is not None:
                await self._send(page.end.encoded())
            return page.end is not None
        return True

    async def _look(self) -> bool:
        """Check the viewer's rights, and whether messages were lost; True when the stream has ended."""
        await self._send(b"")
        self._look_at = time.monotonic() + self._look_seconds
        if self._looks_at_once:
            self._looks_at_once = False
            standing = await self._hub.blocking(self._check)
        else:
            standing = await self._hub.shared(self._check_key, self._look_seconds / 2, self._check)
        if not standing.allowed:
            self._closed = True
            return False
        if standing.newest > self._position or standing.ended:
            return await self._catch_up()
        return False

    async def _wait(self) -> None:
        self._woken = asyncio.get_running_loop().create_future()
        try:
            await self._woken
        finally:
            self._woken = None

    async def _send(self, body: bytes) -> None:
        """Write what live messages left to be sent, all at once, and then `body`."""
        body = b"".join([*self._unsent, body])
        self._unsent.clear()
        if not body or self._closed:
            return
        self._sending_since = time.monotonic()
        try:
            await asgi.send_body(self._send_raw, body, more=True)
        finally:
            self._sent_at, self._sending_since = time.monotonic(), None

    async def _notice_leave(self, receive: Receive) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asgi.disconnected(receive)
            self.close()
