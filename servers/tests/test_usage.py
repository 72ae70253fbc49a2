from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from servers.gamehost.port import Resources
from servers.state import usage
from servers.tests.fake_runtime import EPOCH, FakeRuntime


@pytest.fixture(autouse=True)
def client(redis_client: redis.Redis) -> redis.Redis:
    return redis_client


def _runtime(cpu: float | None = 10.0, memory: int | None = 2048) -> FakeRuntime:
    runtime = FakeRuntime()
    runtime.used[1] = Resources(cpu_seconds=cpu, memory_bytes=memory, tasks=7, disk_bytes=4096)
    return runtime


def _sample(runtime: FakeRuntime, *, seconds: int, running: bool = True) -> None:
    now = EPOCH + timedelta(seconds=seconds)
    usage.sample([1], running={1} if running else set(), runtime=runtime, now=now)


def test_the_first_look_knows_no_share_of_the_processor_yet():
    _sample(_runtime(), seconds=0)
    seen = usage.of_one(1)
    assert (seen.cpu_percent, seen.memory_bytes, seen.tasks, seen.disk_bytes) == (None, 2048, 7, 4096)


def test_the_share_of_the_processor_is_that_since_the_look_before():
    _sample(_runtime(cpu=10.0), seconds=0)
    _sample(_runtime(cpu=14.0), seconds=8)
    assert usage.of_one(1).cpu_percent == 50.0
    _sample(_runtime(cpu=0.8), seconds=16)
    assert usage.of_one(1).cpu_percent == 10.0, "a new start counts from nothing"


def test_the_disk_is_walked_at_most_once_a_minute():
    runtime = _runtime()
    for seconds in (0, 8, 16, 59, 60, 68):
        _sample(runtime, seconds=seconds)
    assert [with_disk for _, with_disk in runtime.measured] == [True, False, False, False, True, False]
    assert usage.of_one(1).disk_bytes == 4096


def test_of_a_server_at_rest_only_the_disk_is_measured():
    _sample(_runtime(), seconds=0)
    ended = _runtime(cpu=None, memory=None)
    ended.used[1] = Resources(cpu_seconds=None, memory_bytes=None, tasks=None, disk_bytes=4096)
    for seconds in (8, 16, 24):
        _sample(ended, seconds=seconds, running=False)
    assert len(ended.measured) == 1
    seen = usage.of_one(1)
    assert (seen.memory_bytes, seen.disk_bytes) == (None, 4096)


def test_figures_of_a_host_that_went_silent_fade(client: redis.Redis):
    _sample(_runtime(), seconds=0)
    assert 0 < client.ttl("left4me:usage:1") <= 120
    client.flushall()
    assert usage.of_one(1) is None
