"""What workers of hosts are asked to do needs no more rights in PostgreSQL than hosts have."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.db import DatabaseError, connection
from django.utils import timezone

from left4me.alerts.events import Event as Alert
from left4me.alerts.tests.factories import make_channel
from left4me.backups.tests.factories import make_backup
from left4me.testing.cast import Cast
from left4me.tests.test_host_rights import alone_with_roles, as_host, on_postgresql  # noqa: F401 -- fixtures
from livestate import tasks as live_tasks
from livestate.demos.tests import factories as demos
from livestate.matches import watch
from livestate.matches.game import Facts
from livestate.matches.gamelog import Event, Kind
from livestate.matches.models import Match
from livestate.matches.progress import Observation
from livestate.matches.tests.factories import MODE, make_match, offer
from livestate.models import Order
from livestate.rotation.tests.factories import make_event, make_rotation
from livestate.tests.factories import make_session, make_snapshot
from overlays.tests.factories import make_overlay
from servers.gamehost import rcon
from servers.hosts import rpc_handlers, this_host
from servers.lifecycle import launch_plan
from servers.models import Server
from servers.tests.factories import install_game, make_blueprint, make_host, make_server
from servers.tests.fake_runtime import FakeRuntime

pytestmark = on_postgresql

BASE = 76561197960265728
BEAT: dict[str, Any] = django_settings.CELERY_BEAT_SCHEDULE
PERIODIC = sorted({entry["args"][0] for entry in BEAT.values() if entry["task"] == "servers.ask_hosts"})
# Sent when somebody changed something, with the server as their argument.
MESSAGES = (
    *("servers.apply_identity", "servers.apply_plugin_settings", "servers.apply_sourcetv", "servers.tail"),
    "livestate.learn_commands",
)


@pytest.fixture
def server(transactional_db, cast: Cast, settings, tmp_path, monkeypatch, redis_client) -> Server:
    """A running server of the host “two”, whose worker this process plays; it has something of everything."""
    current_app.loader.import_default_modules()
    settings.LEFT4ME_HOST, settings.LEFT4ME_ROOT = "two", tmp_path
    monkeypatch.setattr(this_host, "runtime", FakeRuntime)
    monkeypatch.setattr(rcon, "execute", lambda *_args, **_options: rcon.Answer(""))
    install_game(tmp_path)
    now = timezone.now()
    overlay = make_overlay(name="Pack", owner=cast.owner, built_at=now, is_inspected=True)
    offer(overlay, MODE)
    make_channel(cast.owner, name="all", kind="discord", events=[str(event) for event in Alert])
    server = make_server(
        cast.owner,
        host=make_host(name="two"),
        blueprint=make_blueprint(cast.owner, overlays=[overlay]),
        sourcetv={"is_enabled": True},
        actual_state=Server.State.RUNNING,
        actual_state_at=now,
    )
    start(server, at=now - timedelta(hours=1))
    make_rotation(server, ["c1m1_hotel", "c2m1_highway"])
    make_event(server, "finale_win", now)
    make_session(server, 1, now - timedelta(minutes=5))
    make_snapshot(server, now, players=1)
    demos.make_demo(server, now - timedelta(hours=1))
    return server


def start(server: Server, *, at: datetime) -> None:
    """Leave on disk and in the row what a start leaves."""
    directory = this_host.storage().of(server.pk)
    directory.prepare()
    places = launch_plan.HostPaths(game=Path("/game"), overlays={}, cache=Path("/cache"))
    plan = launch_plan.compose(server, layers=[], places=places, game_version="1")
    directory.write_spec(plan.spec)
    launch_plan.record_start(server, plan, now=at)
    # So that there is something to take over.
    server.blueprint.config = "hostname Changed\n"
    server.blueprint.save()


@contextlib.contextmanager
def refused() -> Iterator[list[str]]:
    """Collect what the database refuses, also where the code under test goes on."""
    found: list[str] = []

    def execute(run: Callable[..., Any], sql: str, values: Any, many: bool, context: Any) -> Any:
        try:
            return run(sql, values, many, context)
        except DatabaseError as fault:
            if "permission denied" in str(fault) or "row-level security" in str(fault):
                found.append(f"{fault}: {sql}")
            raise

    with connection.execute_wrapper(execute):
        yield found


@pytest.mark.parametrize("name", PERIODIC)
def test_a_periodic_task(as_host, server: Server, name: str):  # noqa: F811
    make_match(server, state=Match.State.WAITING)
    with as_host(), refused() as found:
        current_app.tasks[name].run()
    assert found == []


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_about_a_server(as_host, server: Server, name: str, monkeypatch):  # noqa: F811
    asked = []
    monkeypatch.setattr(rcon, "execute", lambda *given, **_options: rcon.Answer(asked.append(given[3]) or ""))
    with as_host(), refused() as found:
        current_app.tasks[name].run(server.pk)
    assert found == []
    assert asked or name in {"servers.apply_plugin_settings", "servers.tail"}


@pytest.mark.parametrize("kind", Order.Kind.values)
def test_an_order(as_host, cast: Cast, server: Server, kind: str):  # noqa: F811
    order = Order.objects.create(server=server, user=cast.owner, kind=kind, value="5", created_at=timezone.now())
    with as_host(), refused() as found:
        live_tasks.carry_out(order.pk)
    assert found == []
    order.refresh_from_db()
    assert order.finished_at is not None


@pytest.mark.parametrize("procedure", sorted(rpc_handlers._HANDLERS))
def test_a_question_of_a_page(as_host, server: Server, procedure: str):  # noqa: F811
    values: dict[str, Any] = {
        "server": server.pk,
        "backup": make_backup(server, host="two").pk,
        "demo": server.demos.get().pk,
        "file": "console.log",
        "text": "x",
        "offset": 0,
        "ports": [server.port],
    }
    asked = inspect.signature(rpc_handlers._HANDLERS[procedure]).parameters
    with as_host(), refused() as found:
        rpc_handlers.handle(procedure, {name: values[name] for name in asked})
    assert found == []


def test_a_match_from_beginning_to_end(as_host, server: Server, monkeypatch):  # noqa: F811
    match = make_match(server, state=Match.State.WAITING, loads_when_ready=True, wanted_players=1)
    now = timezone.now()
    seen = [
        Observation(events=[Event(kind=Kind.READY, steam_id_64=BASE + 1)]),
        Observation(facts=Facts(is_loaded=False)),
        Observation(facts=Facts(is_loaded=True, config=MODE.config, is_getting_ready=True)),
        Observation(facts=Facts(is_loaded=True, config=MODE.config)),
        *[Observation(facts=Facts(is_loaded=False))] * 4,
    ]
    states = []
    with as_host(), refused() as found:
        for turn, observation in enumerate(seen):
            monkeypatch.setattr(watch, "observe", lambda _match, sends, observation=observation: observation)
            watch.attend("two", now=now + turn * timedelta(seconds=5))
            states.append(Match.objects.get(pk=match.pk).state)
    assert found == []
    assert states == [*["loading"] * 2, *["live"] * 4, *["ended"] * 2]
    assert match.players.count() == 1
