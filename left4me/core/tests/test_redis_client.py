from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis
from celery import current_app

from left4me.core.redis import client as clients
from left4me.core.redis import hosts, keys, signals


def test_the_first_requests_at_once_get_one_client(monkeypatch):
    """Of several that are made, all but one are dropped, and close the connections that their users hold."""
    made: list[object] = []

    def slowly(*args: object, **options: object) -> object:
        made.append(object())
        time.sleep(0.05)
        return made[-1]

    monkeypatch.setattr(redis.Redis, "from_url", slowly)
    barrier = threading.Barrier(16)

    def first() -> object:
        barrier.wait()
        return clients.client(timeout=0.123)

    try:
        with ThreadPoolExecutor(16) as pool:
            found = set(pool.map(lambda _: first(), range(16)))
        assert len(made) == len(found) == 1
    finally:
        clients._client.cache_clear()


def test_what_comes_with_signals_is_one_message_to_redis(redis_client: redis.Redis, monkeypatch):
    messages: list[int] = []
    execute = redis.client.Pipeline.execute
    monkeypatch.setattr(
        redis.client.Pipeline,
        "execute",
        lambda pipe, **options: messages.append(len(pipe)) or execute(pipe, **options),  # type: ignore[func-returns-value]
    )
    # Also when Redis has forgotten the script.
    redis_client.script_flush()
    with redis_client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe("a", keys.SIGNALS_CHANNEL)
        assert heard.get_message(timeout=5) is None
        assert heard.get_message(timeout=5) is None
        signals.send(["job:1"], first=signals.First(publish=[("a", "message")], count=[("hash", "field")]))
        channels = [heard.get_message(timeout=5)["channel"] for _ in range(2)]
    assert channels == [b"a", keys.SIGNALS_CHANNEL.encode()]
    assert redis_client.hgetall("hash") == {b"field": b"1"}
    assert messages == [3]


def test_the_client_of_the_broker_is_kept(redis_server: Path):
    with current_app.connection_for_write() as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second


def test_the_sender_of_a_task_to_a_host_learns_whether_the_broker_took_it(redis_client: redis.Redis, monkeypatch):
    assert hosts.send("two", "some.task", 12, expires=60)
    assert redis_client.llen(keys.host_queue("two")) == 1

    def fail(*_args: object, **_options: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(current_app, "send_task", fail)
    assert not hosts.send("two", "some.task", 12, expires=60)


def test_a_host_whose_worker_is_away_gets_no_periodic_messages_without_end(redis_client: redis.Redis, monkeypatch):
    monkeypatch.setattr(hosts, "MOST_WAITING", 2)
    room = []
    for number in range(3):
        room.append(hosts.has_room("two"))
        redis_client.rpush(keys.host_queue("two"), number)
    assert room == [True, True, False]
    assert hosts.has_room("three")


def test_how_much_waits_for_a_host_and_is_kept_of_signals():
    assert (hosts.MOST_WAITING, signals.KEPT) == (1_000, 1_000)
