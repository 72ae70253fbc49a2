"""What beat asks of a host, as plain functions."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from left4me.alerts.models import Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from servers import tasks
from servers.hosts import this_host
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


def test_a_nearly_full_host_tells_what_takes_its_disk(wanted: Server, tmp_path: Path, settings, client, cast: Cast):
    settings.LEFT4ME_DISK_LOW_GB = 100_000
    (tmp_path / "workshop_cache").mkdir()
    (tmp_path / "workshop_cache" / "1.vpk").write_bytes(b"x" * 3_000_000)
    tasks.refresh()
    host = Host.objects.get()
    assert host.facts["folders"]["sizes"]["workshop_cache"] >= 3_000_000
    client.force_login(cast.admin)
    assert "workshop files 3" in client.get(f"/hosts/{host.pk}").content.decode()
    settings.LEFT4ME_DISK_LOW_GB = 0
    tasks.refresh()
    assert Host.objects.get().facts["folders"] is None
