"""The operations against the port: what becomes of rows and words in each outcome."""

from __future__ import annotations

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.net import ports
from left4me.jobs.operations import Failed
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from overlays.tests.factories import make_overlay
from servers.gamehost import rcon
from servers.gamehost.port import Exit, LaunchFailed, MountFailed, State, StopTimedOut
from servers.hosts import this_host
from servers.lifecycle import lifecycle, readiness
from servers.models import Server
from servers.tests.factories import install_game, make_blueprint, make_server
from servers.tests.fake_runtime import EPOCH, FakeRuntime


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
    return make_server(cast.owner)


def test_a_start_ends_when_the_server_answers(server: Server, runtime: FakeRuntime):
    run = RecordedRun(server.resource)
    lifecycle.start(server, run)
    server.refresh_from_db()
    assert server.actual_state == Server.State.RUNNING
    assert server.last_error == ""
    assert server.started_at is not None
    assert server.applied is not None
    assert run.phases == ["starting", "loading the map", "ready"]


def test_a_second_start_changes_nothing(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    started_at = Server.objects.get().started_at
    run = RecordedRun()
    lifecycle.start(server, run)
    assert Server.objects.get().started_at == started_at
    assert "The game is already running; waiting for it to respond." in run.lines


def test_without_the_game_a_start_says_what_to_do(server: Server, runtime: FakeRuntime, tmp_path):
    (tmp_path / "game" / "current").unlink()
    with pytest.raises(Failed, match="not installed on this host"):
        lifecycle.start(server, RecordedRun())


def test_an_unbuilt_overlay_is_named(cast: Cast, runtime: FakeRuntime):
    overlay = make_overlay(owner=cast.owner, kind="workshop", name="Custom maps")
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[overlay]))
    with pytest.raises(Failed, match="Overlays not built yet: Custom maps"):
        lifecycle.start(server, RecordedRun())
    assert runtime.specs == {}


def test_a_port_that_another_program_holds_is_named_with_the_cure(server: Server, runtime: FakeRuntime, monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda port: port != server.port)
    monkeypatch.setattr(ports, "holder", lambda port: "nc (process 7)")
    with pytest.raises(Failed, match=f"Port {server.port} on this host is in use by nc"):
        lifecycle.start(server, RecordedRun())
    server.refresh_from_db()
    assert server.actual_state == Server.State.STOPPED
    assert server.offered_port == server.port + 1
    assert f"Port {server.port + 1} is free" in server.last_error
    assert runtime.specs == {}


@pytest.mark.parametrize("fault", [MountFailed("layer 3 is missing"), LaunchFailed("no such program")])
def test_a_start_that_fails_leaves_the_reason_on_the_server(server: Server, runtime: FakeRuntime, fault):
    runtime.faults["start"] = fault
    with pytest.raises(Failed, match=str(fault)):
        lifecycle.start(server, RecordedRun())
    server.refresh_from_db()
    assert server.actual_state == Server.State.STOPPED
    assert str(fault) in server.last_error


def test_a_game_that_falls_before_it_is_ready_fails_the_start(server: Server, runtime: FakeRuntime, monkeypatch):
    def fall(server, timeout=2.0):
        exit_ = Exit(status=1, signal=None, at=EPOCH)
        runtime.set(server.pk, State.GAVE_UP, last_exit=exit_, detail="ended 6 times", last_lines=("Error: bad VPK",))
        return False

    monkeypatch.setattr(readiness, "answers", fall)
    with pytest.raises(Failed, match=r"ended 6 times \(last exit: status 1\)"):
        lifecycle.start(server, RecordedRun())
    server.refresh_from_db()
    assert server.actual_state == Server.State.GAVE_UP
    assert server.state_changes.first().last_lines == ["Error: bad VPK"]


def test_a_game_whose_supervisor_dies_during_the_start_is_started_again(
    server: Server, runtime: FakeRuntime, monkeypatch
):
    falls = iter([True, False])

    def fall_once(server, timeout=2.0):
        fell = next(falls)
        if fell:
            runtime.set(server.pk, State.CRASHED, is_abandoned=True, detail="its supervisor was killed")
        return not fell

    monkeypatch.setattr(readiness, "answers", fall_once)
    run = RecordedRun(server.resource)
    lifecycle.start(server, run)
    assert "The game stopped (its supervisor was killed); starting it again." in run.lines
    assert runtime.observe([server.pk])[server.pk].state is State.RUNNING


def test_a_silent_game_fails_the_start_in_the_end_but_goes_on(server: Server, runtime: FakeRuntime, monkeypatch):
    monkeypatch.setattr(readiness, "answers", lambda server, timeout=2.0: False)
    monkeypatch.setattr(lifecycle, "READY_WITHIN", lifecycle.READY_WITHIN * 0)
    with pytest.raises(Failed, match="RCON did not respond"):
        lifecycle.start(server, RecordedRun())
    assert runtime.observe([server.pk])[server.pk].state is State.RUNNING


def test_waiting_for_a_silent_game_can_be_cancelled(server: Server, runtime: FakeRuntime, monkeypatch):
    monkeypatch.setattr(readiness, "answers", lambda server, timeout=2.0: False)
    run = RecordedRun()
    run.cancel_after_sleeps = 2
    with pytest.raises(Cancelled):
        lifecycle.start(server, run)


def test_a_stop_clears_the_last_error(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    Server.objects.update(last_error="old trouble")
    run = RecordedRun()
    lifecycle.stop(server, run)
    server.refresh_from_db()
    assert (server.actual_state, server.last_error) == (Server.State.STOPPED, "")
    assert run.lines[-1] == "The game has stopped."
    again = RecordedRun()
    lifecycle.stop(server, again)
    assert again.lines[-1] == "The game was not running."


def test_players_are_told_before_a_stop_when_asked_for(server: Server, runtime: FakeRuntime, monkeypatch):
    said = []
    monkeypatch.setattr(rcon, "execute", lambda host, port, password, command, **_: said.append(command))
    lifecycle.start(server, RecordedRun())
    run = RecordedRun(warn_seconds=30, message='Back in a minute"; quit')
    lifecycle.stop(server, run)
    assert said[0] == "say Back in a minute quit"
    assert run.slept == [30]


def test_a_stop_that_times_out_says_so_on_the_server(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    runtime.faults["stop"] = StopTimedOut("the game survives KILL")
    with pytest.raises(Failed, match="survives KILL"):
        lifecycle.stop(server, RecordedRun())
    server.refresh_from_db()
    assert server.last_error == "the game survives KILL"


def test_kill_ends_it_and_is_idempotent(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    lifecycle.kill(server, RecordedRun())
    run = RecordedRun()
    lifecycle.kill(server, run)
    assert run.lines == ["The game was not running."]
    server.refresh_from_db()
    assert server.actual_state == Server.State.STOPPED


def test_restart_is_a_stop_and_a_start(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    lifecycle.restart(server, RecordedRun())
    states = list(server.state_changes.order_by("pk").values_list("state", flat=True))
    assert states == ["starting", "running", "stopping", "stopped", "starting", "running"]


def test_a_restart_that_cannot_start_again_leaves_the_game_running_and_says_why(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    Server.objects.update(sealed_rcon_password="sealed with a key that is gone")
    server.refresh_from_db()
    with pytest.raises(Failed, match="RCON password cannot be read"):
        lifecycle.restart(server, RecordedRun())
    assert runtime.observe([server.pk])[server.pk].state is State.RUNNING
    server.refresh_from_db()
    assert "RCON password cannot be read" in server.last_error


def test_a_server_whose_password_cannot_be_read_can_be_stopped(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    Server.objects.update(sealed_rcon_password="gone", applied_sealed_rcon_password="gone")
    server.refresh_from_db()
    lifecycle.stop(server, RecordedRun(warn_seconds=1))
    assert runtime.observe([server.pk])[server.pk].state is State.STOPPED


def test_delete_ends_the_game_and_removes_files_and_row(server: Server, runtime: FakeRuntime):
    lifecycle.start(server, RecordedRun())
    server_id = server.pk
    lifecycle.delete(server, RecordedRun())
    assert runtime.deleted == [server_id]
    assert not Server.objects.exists()
