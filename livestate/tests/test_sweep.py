from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from livestate import sweep, tasks
from livestate.figures import series
from livestate.figures.columns import decode
from livestate.figures.series import Range
from livestate.models import PlayerSession, ServerFigures, Silence, Snapshot, Sweep
from livestate.tests.answers import Person, status_text
from livestate.tests.factories import record_figures
from servers.gamehost.rcon import guard
from servers.gamehost.tests.rcon.scripted import PASSWORD, Quirks, ScriptedServer
from servers.models import Server
from servers.state.usage import Usage
from servers.tests.factories import make_host, make_server

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    guard.forget_all()
    yield
    sweep.close()
    guard.forget_all()


@pytest.fixture
def game() -> Iterator[ScriptedServer]:
    with ScriptedServer(Quirks(answers={"status": status_text([Person(101)]).encode()})) as game:
        yield game


def running(cast, game: ScriptedServer, **fields: object) -> Server:
    given = {"actual_state": Server.State.RUNNING, "rcon_password": PASSWORD, **fields}
    return make_server(cast.owner, port=game.port, **given)


def test_a_running_server_is_asked_and_its_answer_becomes_rows(cast, game):
    server = running(cast, game)
    tasks.poll()
    tasks.poll()
    assert Snapshot.objects.get().server == server
    assert PlayerSession.objects.get().server == server
    assert game.connections == 1
    assert (Sweep.objects.get().answered, Sweep.objects.get().silent) == (1, 0)


def test_a_sweep_sorts_no_servers_by_name(cast, game):
    running(cast, game)
    tasks.poll()
    with CaptureQueriesContext(connection) as asked:
        tasks.poll()
    for query in asked.captured_queries:
        assert not re.search(r'ORDER BY \w*(natural_key|regexp_replace).*"servers_server"."name"', query["sql"])


@pytest.mark.parametrize("state", [state for state in Server.State if state != Server.State.RUNNING])
def test_a_server_that_does_not_run_is_not_asked(cast, game, state):
    running(cast, game, actual_state=state)
    tasks.poll()
    assert game.connections == 0
    assert not Silence.objects.exists()


def test_a_server_without_password_is_not_asked(cast, game):
    running(cast, game, rcon_password="")
    tasks.poll()
    assert game.connections == 0


def test_the_password_that_the_running_game_was_started_with_is_used(cast, game):
    server = running(cast, game)
    server.applied_sealed_rcon_password = server.sealed_rcon_password
    server.rcon_password = "the one of the next start"
    server.save()
    tasks.poll()
    assert game.logins == [PASSWORD]


def test_a_seal_that_cannot_be_opened_stops_only_its_own_server(cast, game):
    running(cast, game)
    make_server(cast.owner, actual_state=Server.State.RUNNING)
    Server.objects.exclude(port=game.port).update(sealed_rcon_password="of another key")
    tasks.poll()
    assert Sweep.objects.get().answered == 1


def test_servers_of_other_hosts_are_left_to_them(cast, game):
    running(cast, game, host=make_host(name="elsewhere"))
    tasks.poll()
    assert game.connections == 0


def test_a_server_that_stopped_closes_its_stays(cast, game):
    server = running(cast, game)
    tasks.poll()
    server.actual_state = Server.State.STOPPED
    server.save()
    tasks.poll()
    assert not PlayerSession.objects.open().exists()


def test_a_server_that_does_not_answer_is_noted(cast, game):
    server = running(cast, game)
    game.quirks.banned = True
    tasks.poll()
    assert (Silence.objects.get().server, Silence.objects.get().reason) == (server, "unreachable")


def test_a_sweep_that_overruns_is_skipped_not_piled_up(cast, game):
    running(cast, game)
    with sweep._sweeping:
        tasks.poll()
    assert game.connections == 0
    assert not sweep._sweeping.locked()


def test_a_sweep_that_fails_lets_the_next_one_begin(cast, game, monkeypatch):
    running(cast, game)
    with monkeypatch.context() as patch:
        patch.setattr("livestate.sweep.Sweeper.sweep", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tasks.poll()
    tasks.poll()
    assert Snapshot.objects.exists()


def test_beat_has_every_host_asked_and_drops_what_is_late(settings):
    entry = settings.CELERY_BEAT_SCHEDULE["livestate-poll"]
    assert entry["task"] == "servers.ask_hosts"
    assert entry["args"] == [tasks.poll.name, settings.LEFT4ME_POLL_SECONDS]
    assert entry["options"]["expires"] < settings.LEFT4ME_POLL_SECONDS


def test_silence_that_may_be_a_hang_is_handed_on_and_a_refused_password_is_not(cast, game, monkeypatch):
    handed_on = {}
    monkeypatch.setattr(sweep.hangs, "detect", lambda host, *, silent, runtime, now: handed_on.update(silent))
    gone = make_server(cast.owner, port=1024, rcon_password=PASSWORD, actual_state=Server.State.RUNNING)
    running(cast, game, rcon_password="wrong")
    tasks.poll()
    assert Silence.objects.count() == 2
    assert handed_on == {gone.pk: Silence.objects.get(server=gone).since}


def test_figures_of_a_running_server_and_of_its_host_are_recorded(cast, game, monkeypatch):
    server = running(cast, game)
    measured = Usage(
        at=NOON, cpu_percent=12.5, memory_bytes=300 << 20, tasks=9, disk_bytes=1 << 20, cpu_seconds=1.0, disk_at=NOON
    )
    monkeypatch.setattr("livestate.figures.recorder.usage.of", lambda server_ids: dict.fromkeys(server_ids, measured))
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(3):
            tasks.poll()
            clock.shift(10)
        read = series.of_server(server, range_=Range.HOUR, now=timezone.now())
        of_host = series.of_host(server.host, range_=Range.HOUR, now=timezone.now())
    assert (read.line("players").now, read.line("cpu").now) == (1.0, 12.5)
    assert (read.line("memory").now, read.line("disk").now) == (300 << 20, 1 << 20)
    assert 0 <= read.line("ping").now < 5
    assert of_host.line("memory").now > 0
    assert of_host.line("cpu").now is not None


def test_a_sweep_without_redis_still_records_players(cast, game, monkeypatch):
    server = running(cast, game)

    def refuse(server_ids):
        raise redis.ConnectionError

    monkeypatch.setattr("livestate.figures.recorder.usage.of", refuse)
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(2):
            tasks.poll()
            clock.shift(10)
        read = series.of_server(server, range_=Range.HOUR, now=timezone.now())
    assert (read.line("players").now, read.line("cpu").now) == (1.0, None)


def test_figures_are_read_again_after_another_process_has_written(cast, game):
    server = running(cast, game)
    with time_machine.travel(NOON, tick=False) as clock:
        tasks.poll()
        clock.shift(10)
        # Another process writes three minutes of this hour, and then this one is the writer again.
        record_figures(server, NOON, [{"players": 4}] * 18)
        Sweep.objects.update(writer="00000000-0000-4000-8000-000000000000")
        clock.shift(170)
        for _ in range(2):
            tasks.poll()
            clock.shift(10)
    players = decode(ServerFigures.objects.get().players)
    assert players == [40] * 18 + [10]
