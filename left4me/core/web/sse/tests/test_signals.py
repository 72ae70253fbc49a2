"""Signals: who hears of what, and what a page has missed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from left4me.core.redis import keys, signals
from left4me.core.web.sse import signals as streams
from left4me.core.web.sse.events import START, Event, Message
from left4me.core.web.sse.signals import Signals

ANNA, STAN = SimpleNamespace(pk=1, is_admin=False), SimpleNamespace(pk=2, is_admin=False)
ADA = SimpleNamespace(pk=3, is_admin=True)


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[Any]:
    """Anna may see servers up to 9, everybody sees hosts; returns what was looked up."""
    looked_up: list[Any] = []

    def servers(ids: Any) -> Any:
        looked_up.append(set(ids))
        return {each: (ANNA.pk,) for each in ids if each < 10}

    monkeypatch.setattr(streams, "_audiences", {"rights": streams._audiences["rights"]})
    streams.register(servers, "server", "players")
    streams.register(dict.fromkeys, "host")
    return looked_up


def test_who_may_see_names():
    found = streams.audience_of(["server:1", "server:99", "players:2", "host:3", "odd:1", "server:x", "rights:2", ""])
    assert found == {"server:1": (1,), "players:2": (1,), "host:3": None, "rights:2": (2,)}


def test_names_are_seen_by_everybody_or_by_some():
    seen = streams.seen_by(["server:1", "players:2", "server:99", "host:3", "rights:2"])
    assert seen.of(ANNA.pk) == {"server:1", "players:2", "host:3"}
    assert seen.of(STAN.pk) == {"host:3", "rights:2"}
    assert seen.of(77) == {"host:3"}


def read(user: Any, after: Any = START) -> tuple[list[str], Any]:
    page = Signals(user).replay(after)
    assert all(event.kind == "signal" and event.position == page.position for event in page.events)
    assert not page.more and page.end is None
    return [event.data for event in page.events], page.position


def newest(client: redis.Redis) -> Any:
    return streams._position(client.xrevrange(keys.SIGNALS, count=1)[0][0])


def test_a_page_that_has_heard_nothing_asks_for_everything(redis_client: redis.Redis):
    assert read(ANNA) == (["*"], START)
    signals.send(["host:1"])
    assert read(ANNA) == (["*"], newest(redis_client))


def test_a_page_reads_what_it_may_hear_of_what_it_has_missed(redis_client: redis.Redis, asked):
    signals.send(["server:5"])
    seen = newest(redis_client)
    signals.send(["server:2", "server:99"])
    signals.send(["host:1", "server:1"])
    signals.send(["server:98"], also=[STAN.pk])
    last = newest(redis_client)
    assert read(ANNA, seen) == (["host:1 server:1 server:2"], last)
    assert read(STAN, seen) == (["host:1 server:98"], last)
    assert asked == [{1, 2, 98, 99}] * 2
    assert read(ADA, seen) == (["host:1 server:1 server:2 server:98 server:99"], last)
    assert len(asked) == 2, "an admin sees all"
    assert read(STAN, last) == ([], last)


def test_a_page_that_heard_nothing_that_it_may_see_goes_on_behind_it(redis_client: redis.Redis):
    signals.send(["host:1"])
    seen = newest(redis_client)
    signals.send(["server:1"])
    assert read(STAN, seen) == ([], newest(redis_client))


@pytest.mark.parametrize(("missed", "told"), [(2, "host:1 host:2"), (3, "*")])
def test_a_page_that_missed_very_many_names_asks_for_everything(
    redis_client: redis.Redis, monkeypatch, missed: int, told: str
):
    monkeypatch.setattr(streams, "_MOST_MISSED", 2)
    signals.send(["host:0"])
    seen = newest(redis_client)
    signals.send([f"host:{number}" for number in range(1, missed + 1)])
    assert read(ANNA, seen)[0] == [told]


def test_a_page_that_was_away_until_its_place_was_dropped_asks_for_everything(redis_client: redis.Redis, monkeypatch):
    monkeypatch.setattr(signals, "KEPT", 3)
    signals.send(["host:0"])
    before = newest(redis_client)
    signals.send(["host:1"])
    first_kept = newest(redis_client)
    for number in (2, 3):
        signals.send([f"host:{number}"])
    assert redis_client.xlen(keys.SIGNALS) == 3
    assert read(ANNA, before)[0] == ["*"]
    assert read(ANNA, first_kept)[0] == ["host:2 host:3"]


def test_a_redis_that_has_lost_all_signals_leaves_a_page_where_it_is(redis_client: redis.Redis):
    assert read(ANNA, (7, 0)) == ([], (7, 0))


def standing(user: Any, now: Any) -> Any:
    return Signals(user).standing(now)


def test_who_became_an_admin_or_is_one_no_longer_gets_a_new_stream(redis_client: redis.Redis):
    assert standing(ANNA, ANNA).newest == START
    signals.send(["host:1"])
    assert standing(ANNA, ANNA).newest == newest(redis_client)
    admin = SimpleNamespace(pk=1, is_admin=True)
    assert [standing(*pair).allowed for pair in ((ANNA, ANNA), (ADA, ADA), (ANNA, admin), (admin, ANNA))] == [
        True,
        True,
        False,
        False,
    ]
    assert not standing(ANNA, ANNA).ended


def told(user: Any, raw: str) -> Message:
    """The part of a live message that the user gets."""

    async def shared(key: object, seconds: float, call: Any, *args: Any) -> Any:
        assert seconds == 10 and isinstance(key, tuple)
        return call(*args)

    stream = Signals(user)
    return asyncio.run(stream.select(stream.decode(raw.encode()), shared))


def test_a_live_message_says_what_one_may_see_and_always_how_far_it_leads(asked):
    raw = '5-0 5-1 {"names":["host:1","server:1","server:99"],"also":[2]}'
    assert told(ANNA, raw) == Message((Event("signal", "host:1 server:1", (5, 1)),), after=(5, 0), until=(5, 1))
    assert asked == [{1, 99}]
    everything = (Event("signal", "host:1 server:1 server:99", (5, 1)),)
    assert told(STAN, raw).events == told(ADA, raw).events == everything
    assert len(asked) == 1
    nothing = told(STAN, '5-0 5-1 {"names":["server:1"]}')
    assert (nothing.events, nothing.after, nothing.last) == ((), (5, 0), (5, 1))


def test_a_first_message_follows_the_start():
    message = Signals(ANNA).decode(b'0 5-1 {"names":[]}')
    assert (message.after, message.until) == (START, (5, 1))


def test_rights_are_checked_at_once_when_they_have_changed():
    stream = Signals(ANNA)
    wants = [
        stream.wants_look(stream.decode(f'0 1-0 {{"names":["{name}"]}}'.encode())) for name in ("rights:1", "rights:2")
    ]
    assert wants == [True, False]
    assert not stream.wants_look(Message())
