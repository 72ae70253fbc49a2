from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from servers.gamehost.port import Exit, State
from servers.gamehost.spec import RestartPolicy
from servers.hosts import reconcile
from servers.models import Server, StateChange
from servers.state import state_log
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import EPOCH, FakeRuntime

NOW = EPOCH + timedelta(hours=1)


def _refresh(runtime: FakeRuntime, *, now=NOW, rebooted=False, answering=True) -> reconcile.Summary:
    def ready(servers):
        return {server.pk for server in servers} if answering else set()

    return reconcile.refresh("local", runtime=runtime, ready=ready, now=now, rebooted=rebooted)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner)


def test_a_running_game_is_running_once_it_answers(server: Server, runtime: FakeRuntime):
    runtime.set(server.pk, State.RUNNING, started_at=NOW - timedelta(seconds=5))
    _refresh(runtime, answering=False)
    server.refresh_from_db()
    assert server.actual_state == Server.State.STARTING
    _refresh(runtime, now=NOW + timedelta(seconds=8))
    server.refresh_from_db()
    assert server.actual_state == Server.State.RUNNING
    assert server.actual_state_at == NOW + timedelta(seconds=8)


def test_a_game_that_was_ready_is_not_asked_again(server: Server, runtime: FakeRuntime):
    runtime.set(server.pk, State.RUNNING, started_at=NOW - timedelta(seconds=5))
    _refresh(runtime)
    _refresh(runtime, now=NOW + timedelta(seconds=8), answering=False)
    server.refresh_from_db()
    assert server.actual_state == Server.State.RUNNING


def test_a_restarted_game_must_answer_anew(server: Server, runtime: FakeRuntime):
    runtime.set(server.pk, State.RUNNING, started_at=NOW - timedelta(seconds=5))
    _refresh(runtime)
    runtime.set(server.pk, State.RUNNING, started_at=NOW + timedelta(seconds=5))
    _refresh(runtime, now=NOW + timedelta(seconds=8), answering=False)
    server.refresh_from_db()
    assert server.actual_state == Server.State.STARTING


def test_only_changes_become_history(server: Server, runtime: FakeRuntime):
    for second in range(5):
        _refresh(runtime, now=NOW + timedelta(seconds=second))
    runtime.set(server.pk, State.RUNNING, started_at=NOW)
    for second in range(5, 10):
        _refresh(runtime, now=NOW + timedelta(seconds=second))
    states = list(server.state_changes.values_list("state", flat=True))
    assert states == ["running", "stopped"]
    server.refresh_from_db()
    assert server.actual_state_at == NOW + timedelta(seconds=9)


def test_giving_up_keeps_the_exit_and_the_last_words(server: Server, runtime: FakeRuntime):
    runtime.crash(server.pk, at=NOW, state=State.GAVE_UP)
    _refresh(runtime)
    server.refresh_from_db()
    assert server.actual_state == Server.State.GAVE_UP
    assert "signal 11" in server.last_error
    change = StateChange.objects.get(server=server)
    assert change.last_lines == ["loading addons", "Segmentation fault"]


def test_a_crash_between_two_passes_is_in_the_history_with_its_last_lines(server: Server, runtime: FakeRuntime):
    runtime.set(server.pk, State.RUNNING, started_at=NOW - timedelta(hours=2))
    _refresh(runtime)
    runtime.lines = ["loading addons", "Segmentation fault"]  # written long before the exit
    exited, back = NOW + timedelta(seconds=3), NOW + timedelta(seconds=4)
    last_exit = Exit(status=None, signal=11, at=exited)
    runtime.set(server.pk, State.RUNNING, started_at=back, restarts=1, last_exit=last_exit)
    for seconds in (4, 8, 16):
        _refresh(runtime, now=NOW + timedelta(seconds=seconds))
    running, crashed, _first = server.state_changes.all()
    assert (running.state, running.at) == ("running", back)
    assert (crashed.state, crashed.at) == ("crashed", exited)
    assert crashed.last_lines == ["loading addons", "Segmentation fault"]
    server.refresh_from_db()
    assert (server.started_at, server.last_error) == (back, "")


def test_every_crash_of_a_loop_is_in_the_history_once(server: Server, runtime: FakeRuntime):
    runtime.set(server.pk, State.RUNNING, started_at=NOW - timedelta(hours=2))
    _refresh(runtime)
    for restarts, exited in enumerate((2, 10), 0):
        # Restarted and crashed again between two passes.
        last_exit = Exit(status=None, signal=11, at=NOW + timedelta(seconds=exited))
        runtime.set(
            server.pk,
            State.CRASHED,
            restarts=restarts,
            last_exit=last_exit,
            detail="ended with signal 11 (segmentation fault)",
            last_lines=(f"crash {restarts}",),
        )
        for seconds in (1, 6):
            _refresh(runtime, now=NOW + timedelta(seconds=exited + seconds))
    crashes = server.state_changes.filter(state="crashed")
    assert [(crash.detail, crash.last_lines) for crash in crashes] == [
        ("ended with signal 11 (segmentation fault)", ["crash 1"]),
        ("ended with signal 11 (segmentation fault)", ["crash 0"]),
    ]


def test_the_time_of_the_next_restart_is_known_while_a_game_is_crashed(server: Server, runtime: FakeRuntime):
    again = NOW + timedelta(seconds=16)
    last_exit = Exit(status=1, signal=None, at=NOW)
    runtime.set(server.pk, State.CRASHED, last_exit=last_exit, detail="ended with status 1", starts_again_at=again)
    _refresh(runtime)
    server.refresh_from_db()
    assert (server.actual_state, server.starts_again_at) == ("crashed", again)
    runtime.set(server.pk, State.RUNNING, started_at=again, restarts=1, last_exit=last_exit)
    _refresh(runtime, now=again + timedelta(seconds=8))
    server.refresh_from_db()
    assert (server.started_at, server.starts_again_at, server.last_error) == (again, None, "")


def test_a_server_with_a_job_is_left_to_its_job(server: Server, runtime: FakeRuntime, cast: Cast):
    jobs.request(operation="stop", resource=server.resource, by=cast.owner, host="local")
    runtime.set(server.pk, State.RUNNING, started_at=NOW)
    _refresh(runtime)
    server.refresh_from_db()
    assert server.actual_state == Server.State.UNKNOWN


def test_an_older_observation_does_not_overwrite_a_newer_one(server: Server):
    assert state_log.record_state(server, Server.State.RUNNING, now=NOW)
    stale = Server.objects.get(pk=server.pk)
    assert not state_log.record_state(stale, Server.State.STOPPED, now=NOW - timedelta(seconds=1))
    server.refresh_from_db()
    assert server.actual_state == Server.State.RUNNING


def _wanted(server: Server) -> None:
    Server.objects.filter(pk=server.pk).update(desired_state=Server.Desired.RUNNING)


def test_what_should_run_is_started_again_after_a_reboot(server: Server, runtime: FakeRuntime, cast: Cast):
    idle = make_server(cast.owner)
    _wanted(server)
    summary = _refresh(runtime, rebooted=True)
    assert summary.brought_back == 1
    job = Job.objects.get()
    assert (job.operation, job.resource, job.user) == ("start", server.resource, None)
    assert job.resource != idle.resource


def test_what_somebody_stopped_at_the_machine_stays_stopped(server: Server, runtime: FakeRuntime):
    _wanted(server)
    assert _refresh(runtime).brought_back == 0


def test_a_crash_is_left_to_its_supervisor_at_first(server: Server, runtime: FakeRuntime):
    _wanted(server)
    runtime.crash(server.pk, at=NOW - timedelta(seconds=5))
    assert _refresh(runtime).brought_back == 0


def test_a_crash_that_nobody_mends_is_started_again(server: Server, runtime: FakeRuntime):
    _wanted(server)
    runtime.crash(server.pk, at=NOW - timedelta(seconds=60))
    assert _refresh(runtime).brought_back == 1


def test_a_crash_that_nothing_will_mend_is_started_again_at_once(server: Server, runtime: FakeRuntime):
    _wanted(server)
    runtime.set(server.pk, State.CRASHED, is_abandoned=True)
    assert _refresh(runtime).brought_back == 1


def test_a_game_whose_supervisor_died_without_a_trace_is_started_again(server: Server, runtime: FakeRuntime):
    _wanted(server)
    runtime.set(server.pk, State.CRASHED)
    assert _refresh(runtime).brought_back == 0
    assert _refresh(runtime, now=NOW + timedelta(seconds=8)).brought_back == 0
    assert _refresh(runtime, now=NOW + timedelta(seconds=24)).brought_back == 1


def test_what_gave_up_waits_for_a_person(server: Server, runtime: FakeRuntime):
    _wanted(server)
    runtime.crash(server.pk, at=NOW - timedelta(hours=1), state=State.GAVE_UP)
    assert _refresh(runtime, rebooted=True).brought_back == 0


def test_servers_of_other_hosts_are_not_looked_at(cast: Cast, runtime: FakeRuntime):
    make_server(cast.owner, host=make_host(name="elsewhere"))
    assert _refresh(runtime).seen == 0


def test_one_server_that_fails_does_not_stop_the_others(cast: Cast, runtime: FakeRuntime, monkeypatch):
    broken, fine = make_server(cast.owner), make_server(cast.owner)
    real = state_log.record_state

    def note(server, *args, **kwargs):
        if server.pk == broken.pk:
            raise ValueError("no disk")
        return real(server, *args, **kwargs)

    monkeypatch.setattr(state_log, "record_state", note)
    summary = _refresh(runtime)
    assert summary.failed == 1
    fine.refresh_from_db()
    assert fine.actual_state == Server.State.STOPPED


def test_looking_at_many_servers_costs_as_many_queries_as_at_few(
    cast: Cast, runtime: FakeRuntime, django_assert_max_num_queries
):
    for _ in range(30):
        make_server(cast.owner)
    _refresh(runtime)
    with django_assert_max_num_queries(4):
        _refresh(runtime, now=NOW + timedelta(seconds=8))


def test_history_is_pruned_but_the_present_state_stays(server: Server, runtime: FakeRuntime):
    long_ago = NOW - timedelta(days=90)
    state_log.record_state(server, Server.State.RUNNING, now=long_ago)
    state_log.record_state(server, Server.State.STOPPED, now=long_ago + timedelta(hours=1))
    assert state_log.prune(NOW) == 1
    assert list(server.state_changes.values_list("state", flat=True)) == ["stopped"]


def test_a_server_that_was_stopped_on_a_disk_that_took_no_state_is_stopped(server, runtime):
    server.desired_state = Server.Desired.STOPPED
    server.actual_state = Server.State.STOPPED
    server.save()
    runtime.set(server.pk, State.CRASHED, is_abandoned=True, detail="its supervisor was killed", last_lines=("x",))
    assert _refresh(runtime).changed == 0
    server.refresh_from_db()
    assert (server.actual_state, server.last_error) == (Server.State.STOPPED, "")
    assert not Job.objects.exists()


def test_a_server_counts_as_abandoned_only_after_every_pause_that_its_own_restarts_make():
    policy = RestartPolicy()
    assert policy.last_pause_seconds == 16
    assert max(policy.pause_before(restart) for restart in range(1, policy.most + 1)) == policy.last_pause_seconds
    unit = (Path(__file__).parents[2] / "deploy/systemd/left4me-server@.service").read_text()
    [pause_of_systemd] = [int(line.removeprefix("RestartSec=")) for line in unit.splitlines() if "RestartSec" in line]
    assert reconcile.ABANDONED_AFTER.total_seconds() > max(policy.last_pause_seconds, pause_of_systemd)
