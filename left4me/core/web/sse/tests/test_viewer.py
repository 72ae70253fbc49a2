"""Viewers of many messages: how often they are woken and write."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from left4me.core.web.sse import viewer as viewers
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


# --- the clock and the rights of a viewer ---


class Followed:
    """A viewer outside of its stream, on a clock that stands still: what it was woken for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, source: Source, **options: Any) -> None:
        self.now, self.woken, self.cancelled = 1_000.0, 0, 0
        monkeypatch.setattr(viewers, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(viewers, "random", SimpleNamespace(uniform=lambda least, most: (least + most) / 2))
        monkeypatch.setattr(viewers, "asyncio", SimpleNamespace(current_task=lambda: self))
        self.viewer = Viewer(
            cast("Any", None), source, cast("Any", None), position=(5,), check=pytest.fail, check_key=1, **options
        )
        monkeypatch.setattr(self.viewer, "wake", self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def cancel(self) -> None:
        self.cancelled += 1

    def ticks(self, *moments: float) -> list[int]:
        """How often it was woken after each of these moments."""
        found = []
        for moment in moments:
            self.viewer.tick(moment)
            found.append(self.woken)
        return found


def test_a_viewer_is_woken_when_its_rights_are_to_be_looked_at(monkeypatch) -> None:
    followed = Followed(monkeypatch, Letters(), look_seconds=8.0)
    # Between a half and all of the time, so that not all look together.
    assert followed.ticks(1_005.9, 1_006.0) == [0, 1]


def test_a_viewer_is_woken_to_say_that_it_is_there(monkeypatch) -> None:
    followed = Followed(monkeypatch, Letters(), look_seconds=60.0)
    assert followed.ticks(1_014.9, 1_015.0) == [0, 1]
    silent = Followed(monkeypatch, Letters(), look_seconds=60.0, keep_alive=b"")
    assert silent.ticks(1_015.0, 1_040.0) == [0, 0]


def test_a_client_that_takes_nothing_for_half_a_minute_is_gone(monkeypatch) -> None:
    followed = Followed(monkeypatch, Letters())
    followed.viewer._sending_since = 1_000.0
    assert followed.ticks(1_030.0) == [0]
    assert (followed.cancelled, followed.viewer._closed) == (0, False)
    followed.ticks(1_030.1)
    assert (followed.cancelled, followed.viewer._closed) == (1, True)


@pytest.mark.parametrize(
    ("begins_anew", "in_outage", "position"),
    [(True, True, START), (True, False, (5,)), (False, True, (5,)), (False, False, (5,))],
)
def test_after_lost_messages_a_viewer_reads_again_and_some_from_the_beginning(
    monkeypatch, begins_anew: bool, in_outage: bool, position: Any
) -> None:
    source = Letters()
    source.begins_anew_after_outage = begins_anew
    followed = Followed(monkeypatch, source)
    followed.viewer._behind = False
    followed.viewer.messages_were_lost(in_outage=in_outage)
    assert (followed.viewer._position, followed.viewer._behind, followed.woken) == (position, True, 1)


class Watched(Letters):
    """Letters that only the allowed may see; "!" may have changed the rights."""

    def __init__(self) -> None:
        self.looks = 0
        self.allowed = True

    def wants_look(self, message: Message) -> bool:
        return any(event.data == "!" for event in message.events)

    def check(self) -> Standing:
        self.looks += 1
        return Standing(self.allowed, newest=START, ended=False)


def test_rights_are_looked_at_once_after_a_message_that_may_have_changed_them() -> None:
    written: list[bytes] = []
    source = Watched()

    async def send(message: dict[str, Any]) -> None:
        written.append(message["body"])

    async def run() -> None:
        channel = Channel("letters", source.decode)
        hub: Any = OneChannel(channel)
        viewer = Viewer(hub, source, send, position=START, check=source.check, check_key=1)
        following = asyncio.create_task(viewer.follow())
        await asyncio.sleep(0)
        for text, looks in (("a", 0), ("!", 1), ("b", 1)):
            push(channel, text)
            for _ in range(20):
                await asyncio.sleep(0)
            assert source.looks == looks
        source.allowed = False
        push(channel, "!")
        assert await following is False

    asyncio.run(run())
    assert source.looks == 2
