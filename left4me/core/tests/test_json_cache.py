"""What the cache gives back: values as they were stored, and nothing that a stranger wrote is run."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache import cache

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


class _Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("value", [5, -1, True, None, "x", "5", 1.5, [1, "a", None], {"at": MOMENT, "in": [MOMENT]}])
def test_a_value_comes_back_as_it_was_stored(value: Any, redis_client: redis.Redis) -> None:
    cache.set("x", value)
    assert cache.get("x", "missing") == value


def test_what_cannot_be_stored_says_so(redis_client: redis.Redis) -> None:
    with pytest.raises(TypeError, match="set cannot be stored"):
        cache.set("x", {1, 2})


def test_a_value_that_another_host_wrote_runs_nothing(redis_client: redis.Redis, tmp_path: Path) -> None:
    redis_client.set(cache.make_key("x"), pickle.dumps(_Payload(tmp_path / "run")))
    assert cache.get("x") is None
    assert not (tmp_path / "run").exists()


def test_a_counter_can_be_counted_on(redis_client: redis.Redis) -> None:
    cache.set("x", 1)
    assert (cache.incr("x"), cache.get("x")) == (2, 2)
