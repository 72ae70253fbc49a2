from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import redis

from left4me.core.redis import client as clients


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
