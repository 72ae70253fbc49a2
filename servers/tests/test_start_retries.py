"""A start that failed is tried again while it is wanted, where time may mend the cause, and not for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from left4me.core.concurrency import Cancelled
from left4me.core.net import ports
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from servers import actions
from servers.gamehost import rcon
from servers.gamehost.port import LaunchFailed
from servers.hosts import installs, reconcile, this_host
from servers.lifecycle import lifecycle, readiness
from servers.models import Server
from servers.state import start_retries
from servers.tests.factories import install_game, make_server
from servers.tests.fake_runtime import FakeRuntime


@pytest.fixture
def runtime(monkeypatch, tmp_path, settings) -> FakeRuntime:
    settings.LEFT4ME_ROOT = tmp_path
    install_game(tmp_path)
    fake = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: fake)
    monkeypatch.setattr(readiness, "answers", lambda server, timeout=2.0: True)
    monkeypatch.setattr(rcon, "execute", lambda *args, **kwargs: "")
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    return fake


@pytest.fixture
def server(cast: Cast, runtime: FakeRuntime) -> Server:
    return make_server(cast.owner, desired_state=Server.Desired.RUNNING, actual_state=Server.State.STOPPED)


def fail(server: Server, runtime: FakeRuntime) -> RecordedRun:
    runtime.faults["start"] = LaunchFailed("no space left on device")
    run = RecordedRun(server.resource)
    with pytest.raises(Failed):
        lifecycle.start(server, run)
    server.refresh_from_db()
    return run


def look(runtime: FakeRuntime, *, after: timedelta = timedelta(0)) -> list[str]:
    """What a pass of the reconciler that much later requests."""
    reconcile.refresh(
        "local", runtime=runtime, ready=lambda servers: set(), now=timezone.now() + after, rebooted=False
    )
    return list(Job.objects.order_by("pk").values_list("operation", flat=True))


def test_the_next_attempt_is_made_when_it_is_due_and_not_before(server: Server, runtime: FakeRuntime):
    run = fail(server, runtime)
    assert "The next attempt follows in 10 s, as long as the server is wanted." in run.lines
    assert look(runtime) == []
    assert look(runtime, after=timedelta(seconds=11)) == ["start"]
    assert Job.objects.get().user is None
    assert look(runtime, after=timedelta(seconds=60)) == ["start"], "one at a time"


def test_pauses_grow_and_the_attempts_end(server: Server, runtime: FakeRuntime):
    pauses = []
    for _pause in start_retries.PAUSES:
        fail(server, runtime)
        assert server.next_start_at is not None
        pauses.append(server.next_start_at - timezone.now())
    assert pauses == sorted(pauses)
    run = fail(server, runtime)
    assert server.next_start_at is None
    assert "No further one is made until somebody starts the server." in run.lines[-1]
    assert look(runtime, after=timedelta(days=1)) == []


def test_what_only_a_person_can_mend_is_not_tried_again(server: Server, runtime: FakeRuntime, tmp_path):
    fail(server, runtime)
    (tmp_path / "game" / "current").unlink()
    with pytest.raises(Failed, match="not installed"):
        lifecycle.start(server, RecordedRun(server.resource))
    server.refresh_from_db()
    assert (server.failed_starts, server.next_start_at) == (0, None)


def test_servers_that_had_no_game_start_once_it_is_installed(server: Server, runtime: FakeRuntime, tmp_path, settings):
    settings.LEFT4ME_GAME = "simulated"
    unwanted = make_server(server.owner, desired_state=Server.Desired.STOPPED, actual_state=Server.State.STOPPED)
    (tmp_path / "game" / "current").unlink()
    with pytest.raises(Failed, match="not installed"):
        lifecycle.start(server, RecordedRun(server.resource))
    assert look(runtime, after=timedelta(hours=3)) == []
    run = RecordedRun("game")
    installs.install(run)
    assert "Servers that waited for the game and start now: 1." in run.lines
    assert look(runtime) == ["start"]
    assert Job.objects.get().resource == server.resource != unwanted.resource


def test_an_update_of_the_game_starts_nothing(server: Server, runtime: FakeRuntime, settings):
    settings.LEFT4ME_GAME = "simulated"
    installs.install(RecordedRun("game"))
    assert look(runtime) == []


def test_an_error_of_the_machine_is_tried_again(server: Server, runtime: FakeRuntime, monkeypatch):
    def full(spec):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runtime, "start", full)
    with pytest.raises(OSError, match="No space"):
        lifecycle.start(server, RecordedRun(server.resource))
    server.refresh_from_db()
    assert server.next_start_at is not None


def test_a_start_that_succeeds_forgets_the_failures(server: Server, runtime: FakeRuntime):
    fail(server, runtime)
    runtime.faults.clear()
    lifecycle.start(server, RecordedRun(server.resource))
    server.refresh_from_db()
    assert (server.failed_starts, server.next_start_at) == (0, None)


def test_a_server_that_is_no_longer_wanted_is_not_tried_again(server: Server, runtime: FakeRuntime, cast: Cast):
    fail(server, runtime)
    job = actions.request(server=server, operation="stop", by=cast.owner)
    server.refresh_from_db()
    assert (server.failed_starts, server.next_start_at) == (0, None)
    Job.objects.filter(pk=job.pk).delete()
    fail(server, runtime)
    assert server.next_start_at is None
    assert look(runtime, after=timedelta(hours=1)) == []


def test_a_cancelled_start_is_no_failed_one(server: Server, runtime: FakeRuntime, monkeypatch):
    monkeypatch.setattr(readiness, "answers", lambda server, timeout=2.0: False)
    run = RecordedRun(server.resource)
    run.cancel_after_sleeps = 1
    with pytest.raises(Cancelled):
        lifecycle.start(server, run)
    server.refresh_from_db()
    assert server.failed_starts == 0


def test_a_restart_that_cannot_start_again_is_tried_again(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun(server.resource))
    runtime.faults["start"] = LaunchFailed("no space left on device")
    with pytest.raises(Failed):
        lifecycle.restart(server, RecordedRun(server.resource))
    server.refresh_from_db()
    assert server.failed_starts == 1


def test_the_page_says_when_the_next_attempt_is_and_offers_to_try_now_or_to_stop(
    server: Server, runtime: FakeRuntime, client: Client, cast: Cast
):
    fail(server, runtime)
    client.force_login(cast.owner)
    page = client.get(f"/servers/{server.pk}").content.decode()
    assert "Next attempt in" in page
    assert "1 attempt has failed." in page
    answer = client.get(f"/api/v1/servers/{server.pk}").json()
    assert answer["failed_starts"] == 1
    assert answer["next_start_at"] is not None
    client.post(f"/servers/{server.pk}/actions", {"operation": "start"})
    server.refresh_from_db()
    assert (server.failed_starts, server.next_start_at) == (0, None)
    assert list(Job.objects.values_list("operation", flat=True)) == ["start"]


def test_the_page_says_when_no_further_attempt_is_made(
    server: Server, runtime: FakeRuntime, client: Client, cast: Cast
):
    for _attempt in range(len(start_retries.PAUSES) + 1):
        fail(server, runtime)
    client.force_login(cast.owner)
    page = client.get(f"/servers/{server.pk}").content.decode()
    assert "9 attempts have failed. No further one is made until you start the server." in page
