from __future__ import annotations

import json
import re
import time
from datetime import timedelta

import pytest
import redis

from left4me.core.redis import client as redis_clients
from left4me.core.redis import keys
from servers.gamehost.port import Resources
from servers.hosts import load
from servers.models import Server
from servers.state import host_usage, usage
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import EPOCH, FakeRuntime


@pytest.fixture(autouse=True)
def _redis(redis_client: redis.Redis) -> redis.Redis:
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


def test_figures_of_a_host_that_went_silent_fade(redis_client: redis.Redis):
    _sample(_runtime(), seconds=0)
    assert 0 < redis_client.ttl("left4me:usage:1") <= 120
    redis_client.flushall()
    assert usage.of_one(1) is None


def _use(server: Server, *, cpu: float, memory: int) -> None:
    measured = {
        "at": EPOCH, "cpu_percent": cpu, "memory_bytes": memory, "tasks": 7, "disk_bytes": 1000, "cpu_seconds": 1.0,
        "disk_at": EPOCH,
    }  # fmt: skip
    redis_clients.client().set(keys.server_usage(server.pk), json.dumps(measured, default=str))


@pytest.mark.django_db
class TestHostUsage:
    @pytest.fixture
    def host(self, cast):
        facts = {
            "cores": 4,
            "load": 1.5,
            "memory": {"total": 8_000_000_000, "available": 2_000_000_000},
            "disk": {"total": 100_000_000_000, "free": 30_000_000_000},
        }
        host = make_host(name="big", facts=facts)
        busy = make_server(cast.owner, name="busy", host=host)
        make_server(cast.owner, name="never measured", host=host)
        for name, cpu in (("hidden 1", 10.0), ("hidden 2", 30.0)):
            _use(make_server(cast.stranger, name=name, host=host), cpu=cpu, memory=1_000_000_000)
        idle = make_server(cast.owner, name="idle", host=host)
        _use(idle, cpu=2.0, memory=400_000_000)
        _use(busy, cpu=80.0, memory=800_000_000)
        return host

    def test_servers_are_sorted_by_what_they_use_and_others_are_added_up(self, cast, host):
        used = host_usage.of(host, user=cast.owner)
        assert [(str(share.server), share.cpu_percent, cpu, memory) for share, cpu, memory in used.rows] == [
            ("busy", 80.0, 20.0, 10.0),
            ("idle", 2.0, 0.5, 5.0),
            ("None", 40.0, 10.0, 25.0),
        ]
        assert (used.memory_used, used.disk_used) == (6_000_000_000, 70_000_000_000)

    def test_an_admin_sees_every_server(self, cast, host):
        assert {str(share.server) for share in host_usage.of(host, user=cast.admin).shares} == {
            "busy", "idle", "hidden 1", "hidden 2",
        }  # fmt: skip

    def test_the_page_shows_who_uses_what_and_no_name_of_others(self, client, cast, host):
        client.force_login(cast.owner)
        page = client.get(host.get_absolute_url()).content.decode()
        text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page))
        assert "4 cores, load 1.5" in text
        assert "6.0 GB of 8.0 GB" in text
        assert "busy 80% 20% of all cores 800 MB 10% of the host" in text
        assert "2 other servers 40%" in text
        assert "hidden" not in text

    def test_the_api_returns_the_same(self, client, cast, host):
        client.force_login(cast.owner)
        found = client.get(f"/api/v1/hosts/{host.pk}/usage").json()
        assert (found["cores"], found["load"], found["memory_total"]) == (4, 1.5, 8_000_000_000)
        assert found["shares"][-1] == {
            "server": None, "servers": 2, "cpu_percent": 40.0, "memory_bytes": 2_000_000_000, "disk_bytes": 2000,
        }  # fmt: skip

    def test_a_host_that_reports_nothing_has_a_page(self, client, cast):
        client.force_login(cast.owner)
        page = client.get(make_host(name="new").get_absolute_url())
        assert "No server on this host uses anything now." in page.content.decode()


def test_the_load_of_this_machine_is_measured_between_two_looks(tmp_path):
    meter = load.Meter(tmp_path)
    first = meter.measure()
    assert (first.cpu, first.received, first.sent) == (None, None, None)
    assert first.memory > 0
    assert first.disk > 0
    time.sleep(0.05)  # the kernel counts in ticks of 10 ms
    second = meter.measure()
    assert 0 <= second.cpu <= 100
    assert second.received >= 0
    assert second.sent >= 0
