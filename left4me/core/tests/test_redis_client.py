from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import redis
from celery import current_app

from left4me.core.redis import client as clients
from left4me.core.redis import keys, signals


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


def test_the_client_of_the_broker_is_kept():
    with current_app.connection_for_write() as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
