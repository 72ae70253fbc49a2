"""What the viewers of a process share: channels, results, the subscription and the clock."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from left4me.core.redis.client import async_subscriber
from left4me.core.web.sse import bundle, signals
from left4me.core.web.sse import hub as hubs
from left4me.core.web.sse import viewer as viewers
from left4me.core.web.sse.events import START, Event, Message, read_position, written
from left4me.core.web.sse.hub import Channel, Hub
from left4me.core.web.sse.tests.lines import Lines


class Listener:
    def __init__(self) -> None:
        self.woken = self.closed = 0
        self.lost: list[bool] = []
        self.ticks: list[float] = []

    def wake(self) -> None:
        self.woken += 1

    def messages_were_lost(self, *, in_outage: bool) -> None:
        self.lost.append(in_outage)

    def tick(self, now: float) -> None:
        self.ticks.append(now)

    def close(self) -> None:
        self.closed += 1


def decode(raw: bytes) -> Message:
    return Message((Event("x", raw.decode()),))


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


# --- a channel ---


def test_a_channel_keeps_the_last_messages_and_knows_which_are_gone(monkeypatch):
    monkeypatch.setattr(hubs, "_REMEMBERED_MESSAGES", 2)

    async def run() -> None:
        channel = Channel("a", decode)
        assert channel.get(0) is None
        for text in ("one", "two", "three"):
            channel.push(text.encode())
        assert (channel.first, channel.next) == (1, 3)
        assert [channel.get(number).events[0].data for number in (1, 2)] == ["two", "three"]
        assert channel.get(3) is None
        with pytest.raises(IndexError):
            channel.get(0)

    asyncio.run(run())


def test_a_channel_keeps_so_many_bytes_and_always_the_newest_message(monkeypatch):
    size = len(decode(b"x" * 100).encoded)
    monkeypatch.setattr(hubs, "_REMEMBERED_BYTES", 2 * size)

    async def run() -> None:
        channel = Channel("a", decode)
        for _ in range(5):
            channel.push(b"x" * 100)
        assert (channel.first, channel.next) == (3, 5)
        channel.push(b"x" * 1_000)
        assert (channel.first, channel.next) == (5, 6)
        channel.push(b"x" * 100)
        assert (channel.first, channel.next) == (6, 7)

    asyncio.run(run())


# --- results that are shared ---


def with_hub(scenario: Any) -> None:
    async def run() -> None:
        hub = Hub(async_subscriber)
        try:
            await scenario(hub)
        finally:
            await hub.stop()

    asyncio.run(run())


@pytest.mark.usefixtures("redis_server")
def test_a_call_runs_once_for_all_who_ask_within_its_time(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(hubs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    calls: list[str] = []

    def call(text: str) -> int:
        calls.append(text)
        return len(calls)

    async def scenario(hub: Hub) -> None:
        found = await asyncio.gather(*(hub.shared("a", 10, call, "x") for _ in range(3)))
        assert (found, calls) == ([1, 1, 1], ["x"])
        assert await hub.shared("b", 10, call, "y") == 2
        now[0] += 9.9
        assert await hub.shared("a", 10, call, "z") == 1
        now[0] += 0.1
        assert await hub.shared("a", 10, call, "z") == 3

    with_hub(scenario)


@pytest.mark.usefixtures("redis_server")
def test_who_leaves_does_not_cancel_a_call_for_the_others():
    async def scenario(hub: Hub) -> None:
        may_end = threading.Event()
        first = asyncio.create_task(hub.shared("a", 10, may_end.wait, 20))
        await asyncio.sleep(0)
        second = asyncio.create_task(hub.shared("a", 10, pytest.fail))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        may_end.set()
        assert await second is True

    with_hub(scenario)


# --- the subscription ---


@pytest.mark.usefixtures("redis_client")
def test_a_listener_hears_its_channel_until_it_leaves(redis_client: redis.Redis):
    async def scenario(hub: Hub) -> None:
        one, two = Listener(), Listener()
        channel = await hub.join(one, "a", decode)
        assert await hub.join(two, "a", decode) is channel
        other = await hub.join(Listener(), "b", decode)
        assert channel.subscribed.is_set()
        redis_client.publish("a", "x")
        await until(lambda: two.woken)
        assert (one.woken, channel.next, other.next) == (1, 1, 0)
        await hub.leave(one, channel)
        redis_client.publish("a", "y")
        await until(lambda: two.woken == 2)
        assert one.woken == 1
        await hub.leave(two, channel)
        await until(lambda: redis_client.pubsub_numsub("a")[0][1] == 0)
        assert redis_client.pubsub_numsub("b")[0][1] == 1
        assert await hub.join(two, "a", decode) is not channel

    with_hub(scenario)


def test_a_message_that_cannot_be_read_is_left_out(redis_client: redis.Redis, caplog):
    async def scenario(hub: Hub) -> None:
        listener = Listener()
        channel = await hub.join(listener, "lines:a", Lines().decode)
        redis_client.publish("lines:a", "{")
        redis_client.publish("lines:a", json.dumps({"after": 0, "lines": [1]}))
        await until(lambda: listener.woken)
        assert channel.next == 1

    with_hub(scenario)
    assert "Could not read a live message on lines:a" in caplog.text


def test_after_an_outage_listeners_learn_that_messages_may_be_missing(redis_client: redis.Redis, monkeypatch, caplog):
    monkeypatch.setattr(hubs, "_FIRST_PAUSE", 0.01)

    async def scenario(hub: Hub) -> None:
        listener = Listener()
        channel = await hub.join(listener, "a", decode)
        assert listener.lost == [False]
        redis_client.client_kill_filter(_type="pubsub")
        await until(lambda: len(listener.lost) == 2)
        assert listener.lost == [False, True]
        assert channel.subscribed.is_set()
        redis_client.publish("a", "x")
        await until(lambda: listener.woken)
        late = Listener()
        await hub.join(late, "b", decode)
        assert late.lost == [False]

    with_hub(scenario)
    assert "Live messages interrupted" in caplog.text


def test_a_redis_that_is_down_keeps_nobody_waiting_and_is_tried_with_growing_pauses(monkeypatch):
    monkeypatch.setattr(hubs, "_SECONDS_TO_SUBSCRIBE", 0.05)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def sleep_and_note(seconds: float) -> None:
        if seconds != hubs._TICK:
            pauses.append(seconds)
            seconds = 0.001
        await sleep(seconds)

    class Away:
        def pubsub(self) -> Any:
            raise redis.ConnectionError("away")

        async def aclose(self) -> None: ...

    async def run() -> None:
        monkeypatch.setattr(hubs, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep_and_note}))
        hub = Hub(Away)  # type: ignore[arg-type]
        try:
            channel = await hub.join(Listener(), "a", decode)
            assert not channel.subscribed.is_set()
            async with asyncio.timeout(20):
                while len(pauses) < 7:
                    await sleep(0.01)
        finally:
            await hub.stop()

    asyncio.run(run())
    assert pauses[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


@pytest.mark.usefixtures("redis_client")
def test_listeners_hear_the_clock_and_the_end(monkeypatch):
    monkeypatch.setattr(hubs, "_TICK", 0.01)
    now = [1_000.0]
    monkeypatch.setattr(hubs, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def scenario(hub: Hub) -> None:
        listener = Listener()
        await hub.join(listener, "a", decode)
        await hub.shared("old", 10, int)
        await until(lambda: listener.ticks)
        assert set(listener.ticks) == {1_000.0}
        # Results are kept for a minute after their time, for those who are late.
        now[0] += 69
        await until(lambda: listener.ticks[-1] == now[0])
        assert "old" in hub._checks
        now[0] += 1
        await until(lambda: "old" not in hub._checks)
        await hub.stop()
        assert listener.closed == 1

    with_hub(scenario)


# --- events ---


def test_an_event_is_written_line_by_line():
    assert Event("note", "one\ntwo", (17, 3)).encoded() == b"id: 17-3\nevent: note\ndata: one\ndata: two\n\n"
    assert Event("note", "").encoded() == b"event: note\ndata: \n\n"


def test_the_last_position_of_a_message():
    one, two = Event("x", "1", (1,)), Event("x", "2", (2,))
    assert Message((one, two), after=(0,)).last == (2,)
    assert Message((), after=(4,)).last == (4,)
    assert Message((one, two)).last is None
    assert Message((one,), after=(0,), until=(9,)).last == (9,)
    assert Message((one, two), after=(0,)).encoded == one.encoded() + two.encoded()
    assert Message((one, two, Event("x", "3")), after=(0,)).beyond((1,)) == two.encoded()


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("12", (12,)),
        (" 1700-3\n", (1700, 3)),
        ("0", START),
        ("", None),
        ("-", None),
        ("1-", None),
        ("x", None),
        ("٣", None),
        ("²", None),
        ("1" * 64, (int("1" * 64),)),
        ("1" * 65, None),
    ],
)
def test_a_position_is_read_from_an_id(text: str, position: tuple[int, ...] | None):
    assert read_position(text) == position
    if position is not None:
        assert read_position(written(position)) == position


def test_the_clock_of_viewers_ticks_every_second(monkeypatch):
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(hubs, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(Hub(async_subscriber)._tick())
    assert pauses == [1.0] * 2


def test_what_a_viewer_waits_for_and_a_channel_keeps():
    assert hubs._SECONDS_TO_SUBSCRIBE == 2.0
    assert (hubs._REMEMBERED_MESSAGES, hubs._REMEMBERED_BYTES) == (256, 1_000_000)
    assert (viewers.KEEP_ALIVE_SECONDS, viewers.LOOK_SECONDS, bundle.LOOK_SECONDS) == (15.0, 5.0, 30.0)
    assert signals._MOST_MISSED == 200


def test_a_channel_that_is_confirmed_twice_had_one_outage():
    async def run() -> None:
        hub, listener = Hub(async_subscriber), Listener()
        channel = hub._channels["a"] = Channel("a", decode)
        channel.listeners.add(listener)
        confirmed = {"type": "subscribe", "channel": b"a"}
        for _ in range(2):
            hub._take(confirmed)
        hub._interrupt()
        assert not channel.subscribed.is_set()
        for _ in range(2):
            hub._take(confirmed)
        assert listener.lost == [False, False, True, False]
        hub._take({"type": "subscribe", "channel": b"nobody's"})

    asyncio.run(run())
