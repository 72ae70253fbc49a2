"""What beat asks of a host, as plain functions."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import redis
import time_machine
from django.utils import timezone

from left4me.alerts.models import Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.core.redis import hosts, keys
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from servers import tasks
from servers.hosts import this_host
from servers.logs import crash_dumps
from servers.models import Host, Server
from servers.state import usage
from servers.tests.factories import install_game, make_host, make_server
from servers.tests.fake_runtime import FakeRuntime


@pytest.fixture
def wanted(cast: Cast, monkeypatch, settings, tmp_path: Path, redis_client: redis.Redis) -> Server:
    """A server that should run and does not, on this host."""
    settings.LEFT4ME_ROOT = tmp_path
    runtime = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: runtime)
    return make_server(cast.owner, host=make_host(), desired_state=Server.Desired.RUNNING)


def test_after_a_reboot_of_the_machine_what_should_run_is_started_once(wanted: Server):
    Host.objects.update(facts={"boot": "the boot before"})
    tasks.refresh()
    assert list(Job.objects.values_list("operation", "resource")) == [("start", wanted.resource)]
    Job.objects.all().delete()
    tasks.refresh()
    assert not Job.objects.exists()


def test_the_first_look_of_a_new_host_is_no_reboot(wanted: Server):
    tasks.refresh()
    assert not Job.objects.exists()


def test_a_look_tells_the_versions_of_the_game_and_what_servers_use(wanted: Server, tmp_path: Path):
    version = install_game(tmp_path)
    tasks.refresh()
    host = Host.objects.get()
    assert host.game_version == version.id
    assert [told["id"] for told in host.facts["versions"]] == [version.id]
    assert usage.of_one(wanted.pk) is not None


def test_a_look_counts_also_while_redis_is_away(wanted: Server, monkeypatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(usage, "sample", fail)
    tasks.refresh()
    assert Host.objects.get().last_seen_at is not None


def test_a_look_tells_of_the_disk_and_how_long_it_took(wanted: Server, cast: Cast, settings):
    make_channel(cast.admin)
    settings.LEFT4ME_DISK_LOW_GB = 100_000_000
    tasks.refresh()
    facts = Host.objects.get().facts
    assert 0 < facts["disk"]["free"] <= facts["disk"]["total"]
    assert facts["look_seconds"] >= 0
    assert list(Delivery.objects.values_list("event", flat=True)) == ["disk_low"]


def test_a_host_tells_what_takes_its_disk(wanted: Server, tmp_path: Path, client, cast: Cast):
    cached = tmp_path / "workshop_cache"
    cached.mkdir()
    (cached / "1.vpk").write_bytes(b"x" * 3_000_000)
    (tmp_path / "left4me.sqlite3").write_bytes(b"x" * 5_000)
    tasks.refresh()
    tasks.measure_folders()
    host = Host.objects.get()
    assert host.folder_bytes["workshop_cache"] >= 3_000_000
    assert host.folder_bytes["left4me.sqlite3"] == 5_000
    client.force_login(cast.admin)
    assert "workshop files 3" in client.get(f"/hosts/{host.pk}").content.decode()
    used = client.get(f"/api/v1/hosts/{host.pk}/usage").json()["folder_bytes"]
    assert list(used) == sorted(used, key=lambda name: -used[name])
    assert used == host.folder_bytes
    tasks.refresh()
    assert Host.objects.get().folder_bytes == host.folder_bytes, "a look keeps what was measured"


@pytest.mark.parametrize(
    ("low_gb", "minutes", "is_due"), [(0, 23 * 60, False), (0, 25 * 60, True), (100_000, 6, True)]
)
def test_folders_are_measured_daily_and_more_often_while_the_disk_is_nearly_full(
    wanted: Server, settings, low_gb: int, minutes: int, is_due: bool
):
    settings.LEFT4ME_DISK_LOW_GB = low_gb
    tasks.refresh()
    with time_machine.travel(timezone.now(), tick=False) as travel:
        tasks.measure_folders()
        before = Host.objects.get().facts["folders"]["at"]
        travel.shift(minutes * 60)
        tasks.measure_folders()
    assert (Host.objects.get().facts["folders"]["at"] > before) is is_due


def test_a_host_that_is_away_for_weeks_gathers_no_messages(db: None, redis_client: redis.Redis, monkeypatch):
    monkeypatch.setattr(hosts, "MOST_WAITING", 3)
    Host.objects.all().delete()
    make_host(name="away")
    for _ in range(6):
        tasks.ask_hosts("servers.refresh", 8)
    assert redis_client.llen(keys.host_queue("away")) == 3
    redis_client.delete(keys.host_queue("away"))
    tasks.ask_hosts("servers.refresh", 8)
    assert redis_client.llen(keys.host_queue("away")) == 1


def test_logs_and_dumps_from_long_ago_are_deleted_while_no_game_runs(wanted: Server, tmp_path: Path, settings):
    directory = this_host.storage().of(wanted.pk)
    directory.prepare()
    game = directory.upper / "left4dead2"
    old = [game / "logs/L0101000.log", game / "addons/sourcemod/logs/errors_20250101.log", game / "crash.dmp"]
    kept = [game / "logs/L0612000.log", game / "cfg/old.log", game / "logs/notes.txt"]
    for path in (*old, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    for path in (*old, *kept[1:]):
        os.utime(path, (0, 0))
    lock = directory.try_lock()
    tasks.tidy()
    assert all(path.exists() for path in old), "a game runs"
    os.close(lock)
    settings.LEFT4ME_GAME_LOG_DAYS = 0
    tasks.tidy()
    assert all(path.exists() for path in old), "the setting keeps them"
    settings.LEFT4ME_GAME_LOG_DAYS = 90
    tasks.tidy()
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)


def test_only_the_newest_dumps_of_a_server_are_kept(wanted: Server):
    directory = this_host.storage().of(wanted.pk)
    directory.prepare()
    newest = time.time()
    for number in range(crash_dumps.MOST_DUMPS + 2):
        path = directory.upper / f"{number:02}.mdmp"
        path.write_text("x")
        os.utime(path, (newest - number, newest - number))
    tasks.tidy()
    left = sorted(path.name for path in directory.upper.iterdir())
    assert left == [f"{number:02}.mdmp" for number in range(crash_dumps.MOST_DUMPS)]
