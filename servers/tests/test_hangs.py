from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from servers.gamehost.port import LogLine, State
from servers.models import Server
from servers.state import hangs
from servers.tests.factories import make_server
from servers.tests.fake_runtime import EPOCH, FakeRuntime

NOW = EPOCH + timedelta(hours=1)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def server(cast: Cast, runtime: FakeRuntime) -> Server:
    server = make_server(cast.owner, actual_state=Server.State.RUNNING, restart_when_hung=True)
    runtime.set(server.pk, State.RUNNING, started_at=EPOCH)
    runtime.lines = ["the last words"]
    return server


def _check(server: Server, runtime: FakeRuntime, *, silent_for: float = 61, now: datetime = NOW) -> int:
    silent = {server.pk: now - timedelta(seconds=silent_for)}
    return hangs.detect(server.host, silent=silent, runtime=runtime, now=now)


def test_a_server_that_lives_and_is_silent_for_a_minute_is_restarted(server: Server, runtime: FakeRuntime):
    assert _check(server, runtime, silent_for=59) == 0
    assert _check(server, runtime) == 1
    job = Job.objects.get()
    assert (job.operation, job.resource, job.user) == ("restart", server.resource, None)
    change = server.state_changes.get()
    assert change.last_lines == ["the last words"]
    assert "has not responded since" in change.detail
    assert _check(server, runtime, silent_for=69) == 0, "once for each hang"


def test_by_default_it_is_only_said(server: Server, runtime: FakeRuntime):
    Server.objects.update(restart_when_hung=False)
    assert _check(server, runtime) == 1
    server.refresh_from_db()
    assert server.hung_since == NOW - timedelta(seconds=61)
    assert not Job.objects.exists()


def test_an_answer_ends_it(server: Server, runtime: FakeRuntime):
    Server.objects.update(restart_when_hung=False)
    _check(server, runtime)
    hangs.detect(server.host, silent={}, runtime=runtime, now=NOW)
    assert Server.objects.get().hung_since is None


def test_a_game_that_has_just_started_is_given_time(server: Server, runtime: FakeRuntime):
    runtime.set(server.pk, State.RUNNING, started_at=NOW - timedelta(seconds=90))
    assert _check(server, runtime) == 0


@pytest.mark.parametrize("words", ["-------- Mapchange to c1m2_streets --------", 'Loading map "c1m2_streets"'])
def test_a_game_that_loads_a_map_is_given_time(server: Server, runtime: FakeRuntime, monkeypatch, words: str):
    line = LogLine(text=words, at=NOW - timedelta(seconds=100), cursor="")
    monkeypatch.setattr(runtime, "tail", lambda server_id, lines=50: [line])
    assert _check(server, runtime) == 0
    assert _check(server, runtime, now=NOW + timedelta(minutes=3)) == 1


@pytest.mark.parametrize("state", [State.CRASHED, State.STOPPED, State.GAVE_UP, State.UNKNOWN])
def test_a_game_without_a_process_does_not_hang(server: Server, runtime: FakeRuntime, state: State):
    runtime.set(server.pk, state)
    assert _check(server, runtime) == 0


def test_a_server_with_a_job_is_left_to_its_job(server: Server, runtime: FakeRuntime):
    Job.objects.create(operation="stop", resource=server.resource, host="local")
    assert _check(server, runtime) == 0


def test_one_broken_server_does_not_keep_the_others_from_being_looked_at(
    server: Server, runtime: FakeRuntime, cast: Cast, monkeypatch
):
    other = make_server(cast.owner, actual_state=Server.State.RUNNING)
    runtime.set(other.pk, State.RUNNING, started_at=EPOCH)

    def tail(server_id: int, lines: int = 50) -> list[LogLine]:
        if server_id == server.pk:
            raise OSError("no disk")
        return []

    monkeypatch.setattr(runtime, "tail", tail)
    long_ago = NOW - timedelta(minutes=5)
    silent = {server.pk: long_ago, other.pk: long_ago}
    assert hangs.detect(server.host, silent=silent, runtime=runtime, now=NOW) == 1
