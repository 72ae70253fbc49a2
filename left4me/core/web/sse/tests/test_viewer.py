"""Viewers of many messages: how often they are woken and write."""

from __future__ import annotations

import asyncio
from typing import Any

from left4me.core.web.sse.events import START, Event, Message, Page, Position, Source, Standing
from left4me.core.web.sse.hub import Channel
from left4me.core.web.sse.viewer import Viewer


class Counter:
    """A listener that counts how often it is woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def messages_were_lost(self, *, in_outage: bool) -> None:
        raise AssertionError

    def tick(self, now: float) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


class Letters(Source):
    """A stream of letters that pass by without a number."""

    channel = "letters"

    def decode(self, raw: bytes) -> Message:
        return Message((Event("letter", raw.decode()),))

    def standing(self, user: Any) -> Standing:
        return Standing(allowed=True, newest=START, ended=False)

    def replay(self, after: Position) -> Page:
        return Page((), START)


class OneChannel:
    """A hub with one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def join(self, listener: Any, *_args: Any, **_options: Any) -> Channel:
        self._channel.listeners.add(listener)
        return self._channel

    async def leave(self, *_args: Any) -> None: ...

    async def blocking(self, call: Any, *args: Any) -> Any:
        return call(*args)

    shared = blocking


def push(channel: Channel, text: str) -> None:
    for letter in text:
        channel.push(letter.encode())


def test_while_viewers_rest_one_waking_serves_all_messages() -> None:
    async def run() -> tuple[int, int]:
        channel, counter = Channel("letters", Letters().decode, rest_seconds=0.01), Counter()
        channel.listeners.add(counter)
        push(channel, "abcde")
        at_once = counter.woken
        await asyncio.sleep(0.1)
        return at_once, counter.woken

    assert asyncio.run(run()) == (1, 2)


def test_a_viewer_without_rest_is_woken_by_each_message() -> None:
    async def run() -> int:
        channel, counter = Channel("letters", Letters().decode), Counter()
        channel.listeners.add(counter)
        push(channel, "abcde")
        return counter.woken

    assert asyncio.run(run()) == 5


def test_messages_that_are_there_together_are_written_at_once() -> None:
    written: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        written.append(message["body"])

    async def run() -> None:
        channel = Channel("letters", Letters().decode)
        hub: Any = OneChannel(channel)
        viewer = Viewer(hub, Letters(), send, position=START, check=lambda: Letters().standing(None), check_key=1)
        following = asyncio.create_task(viewer.follow())
        await asyncio.sleep(0)
        push(channel, "abc")
        while not written:
            await asyncio.sleep(0)
        viewer.close()
        await following

    asyncio.run(run())
    assert written == [b"".join(Event("letter", letter).encoded() for letter in "abc")]
