"""One Redis subscription for all viewers of a process, and the clock that they share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar, cast

import redis
import redis.asyncio

from left4me.core.redis import keys
from left4me.core.web import asgi
from left4me.core.web.sse.events import Message

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Decode = Callable[[bytes], Message]

# What a channel keeps for listeners that are a little behind; those further behind read the database again.
_REMEMBERED_MESSAGES = 256
_REMEMBERED_BYTES = 1_000_000

_SECONDS_TO_SUBSCRIBE = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_TICK = 1.0


class Listener(Protocol):
    """What the hub calls, in its event loop: the viewers."""

    def wake(self) -> None:
        """A new message is there."""

    def messages_were_lost(self, *, in_outage: bool) -> None:
        """Messages may be missing: read the store again, which may lack some itself if they were lost in an outage."""

    def tick(self, now: float) -> None:
        """About a second has passed."""

    def close(self) -> None:
        """End the stream."""


class Channel:
    """The last messages of one Redis channel, shared by its listeners; each keeps only the number of its next one."""

    def __init__(self, name: str, decode: Decode, *, rest_seconds: float = 0.0) -> None:
        self.name = name
        self.listeners: set[Listener] = set()
        self.subscribed = asyncio.Event()
        self.was_interrupted = False
        self._decode = decode
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self.first = self.next = 0
        self._rest_seconds = rest_seconds
        self._rests_until = 0.0
        self._waking: asyncio.TimerHandle | None = None

    def push(self, raw: bytes) -> None:
        message = self._decode(raw)
        self._messages.append(message)
        self._bytes += len(message.encoded)
        self.next += 1
        while len(self._messages) > _REMEMBERED_MESSAGES or (
            self._bytes > _REMEMBERED_BYTES and len(self._messages) > 1
        ):
            self._bytes -= len(self._messages.popleft().encoded)
            self.first += 1
        loop = asyncio.get_running_loop()
        left = self._rests_until - loop.time()
        if left <= 0:
            self._wake()
        elif self._waking is None:
            # One waking serves all messages until then.
            self._waking = loop.call_later(left, self._wake)

    def _wake(self) -> None:
        self._waking = None
        if self._rest_seconds:
            self._rests_until = asyncio.get_running_loop().time() + self._rest_seconds
        for listener in self.listeners:
            listener.wake()

    def get(self, number: int) -> Message | None:
        """Message `number`; None when it has not come yet. Raises IndexError when it is no longer kept."""
        if number >= self.next:
            return None
        if number < self.first:
            raise IndexError(number)
        return self._messages[number - self.first]


class Hub:
    """Everything that the viewers of a process share. It belongs to the event loop that first uses it."""

    def __init__(self, connect: Callable[[], redis.asyncio.Redis], *, threads: int = 4) -> None:
        self._connect = connect
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._channels: dict[str, Channel] = {}
        self._subscription: redis.asyncio.client.PubSub | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._checks: dict[object, tuple[float, asyncio.Future[Any]]] = {}

    def start(self) -> None:
        """Begin to listen, unless it does already."""
        if not self._tasks:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="stream")
            self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._tick())]

    async def stop(self) -> None:
        """End all streams and disconnect from Redis."""
        for listener in [each for channel in self._channels.values() for each in channel.listeners]:
            listener.close()
        for task in self._tasks:
            # Again and again: the Redis client swallows a cancel that comes while it connects.
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.1)
        self._tasks = []
        # They belong to the event loop.
        self._checks.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def blocking(self, call: Callable[..., Result], *args: Any) -> Result:
        """Run `call`, which may use the database, in one of a few threads; no connection stays with a viewer."""
        self.start()
        return await asyncio.get_running_loop().run_in_executor(self._pool, asgi.with_database, call, *args)

    async def shared(self, key: object, good_for: float, call: Callable[..., Result], *args: Any) -> Result:
        """The result of `call`, which runs once for all callers with the same `key` within `good_for` seconds."""
        now = time.monotonic()
        until, answer = self._checks.get(key, (0.0, None))
        if answer is None or now >= until:
            answer = asyncio.ensure_future(self.blocking(call, *args))
            self._checks[key] = (now + good_for, answer)
        if answer.done():
            # Without a turn of the event loop for each of the viewers.
            return cast("Result", answer.result())
        # Shielded: a viewer that disconnects must not cancel it for the others.
        result: Result = await asyncio.shield(answer)
        return result

    async def join(self, listener: Listener, name: str, decode: Decode, *, rest_seconds: float = 0.0) -> Channel:
        """Subscribe `listener` to a channel. Waits for Redis to confirm, but not for a Redis that is down."""
        self.start()
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name, decode, rest_seconds=rest_seconds)
            if self._subscription is not None:
                with contextlib.suppress(redis.RedisError, OSError):
                    await self._subscription.subscribe(name)
        channel.listeners.add(listener)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS_TO_SUBSCRIBE):
                await channel.subscribed.wait()
        return channel

    async def leave(self, listener: Listener, channel: Channel) -> None:
        channel.listeners.discard(listener)
        if not channel.listeners and self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            if self._subscription is not None:
                with contextlib.suppress(redis.RedisError, OSError):
                    await self._subscription.unsubscribe(channel.name)

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            client = self._connect()
            try:
                async with client.pubsub() as subscription:
                    await subscription.subscribe(keys.IDLE_CHANNEL)
                    # In this order: a listener that joins from here on subscribes by itself.
                    self._subscription = subscription
                    if self._channels:
                        await subscription.subscribe(*self._channels)
                    async for message in subscription.listen():
                        pause = _FIRST_PAUSE
                        self._take(message)
            except (redis.RedisError, OSError) as error:
                log.warning("Live messages interrupted: %s", error)
            finally:
                self._subscription = None
                with contextlib.suppress(redis.RedisError, OSError):
                    await client.aclose()
            self._interrupt()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _take(self, message: dict[str, Any]) -> None:
        channel = self._channels.get(message["channel"].decode())
        if channel is None:
            return
        if message["type"] == "subscribe":
            in_outage, channel.was_interrupted = channel.was_interrupted, False
            channel.subscribed.set()
            # What was published before this moment may be missing.
            for listener in channel.listeners:
                listener.messages_were_lost(in_outage=in_outage)
        elif message["type"] == "message":
            try:
                channel.push(message["data"])
            except (ValueError, KeyError, TypeError):
                log.exception("Could not read a live message on %s", channel.name)

    def _interrupt(self) -> None:
        for channel in self._channels.values():
            channel.subscribed.clear()
            channel.was_interrupted = True

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            for channel in list(self._channels.values()):
                for listener in list(channel.listeners):
                    listener.tick(now)
            for key in [key for key, (until, _) in self._checks.items() if now >= until + 60]:
                del self._checks[key]
