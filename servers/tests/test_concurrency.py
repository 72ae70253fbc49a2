"""Two at once: real threads, each with a connection and transactions of its own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from overlays import actions as overlay_actions
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers import actions
from servers.models import Blueprint, Host, Server
from servers.tests.factories import make_blueprint, make_host, make_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def host(cast: Cast) -> Host:
    return make_host(first_port=27015, last_port=27030)


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What each call answered, or the exception it raised; all set off at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        try:
            barrier.wait(timeout=30)
            return call()
        except Exception as fault:
            return fault
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def kinds(answers: list[object]) -> list[str]:
    return sorted(type(answer).__name__ for answer in answers)


@pytest.mark.parametrize("_round", range(3))
def test_one_port_goes_to_one_server(cast: Cast, host: Host, _round: int) -> None:
    blueprint = make_blueprint(cast.owner)

    def make(name: str) -> Callable[[], object]:
        return lambda: actions.create_server(
            owner=cast.owner, by=cast.owner, name=name, blueprint=blueprint, host=host, port=27020
        )

    answers = at_once(*(make(f"s{number}") for number in range(4)))
    assert kinds(answers) == ["Server", "ValidationError", "ValidationError", "ValidationError"], answers
    for fault in answers:
        if isinstance(fault, ValidationError):
            assert fault.message_dict == {"port": ["Another server on this host uses this port. Choose another one."]}
    assert Server.objects.filter(port=27020).count() == 1


def test_ports_given_by_themselves_are_all_different(cast: Cast, host: Host) -> None:
    blueprint = make_blueprint(cast.owner)

    def make(name: str) -> Callable[[], object]:
        return lambda: actions.create_server(
            owner=cast.owner, by=cast.owner, name=name, blueprint=blueprint, host=host
        )

    answers = at_once(*(make(f"s{number}") for number in range(8)))
    assert kinds(answers) == ["Server"] * 8, answers
    assert sorted(Server.objects.values_list("port", flat=True)) == list(range(27015, 27023))


def test_one_name_goes_to_one_server(cast: Cast, host: Host) -> None:
    blueprint = make_blueprint(cast.owner)

    def make(name: str) -> Callable[[], object]:
        return lambda: actions.create_server(
            owner=cast.owner, by=cast.owner, name=name, blueprint=blueprint, host=host
        )

    answers = at_once(make("Friday"), make("FRIDAY"))
    assert kinds(answers) == ["Server", "ValidationError"], answers


@pytest.mark.parametrize("_round", range(3))
def test_of_two_edits_of_one_blueprint_the_second_is_told(cast: Cast, _round: int) -> None:
    first, second = make_overlay(), make_overlay()
    blueprint = make_blueprint(cast.owner, name="b", overlays=[first, second])

    def edit(config: str, layers: list[Overlay]) -> Callable[[], object]:
        return lambda: actions.update_blueprint(
            blueprint=Blueprint.objects.get(pk=blueprint.pk),
            seen_version=1,
            by=cast.owner,
            name="b",
            description="",
            arguments="",
            config=config,
            overlays=layers,
        )

    answers = at_once(edit("sv_pure 1", [second, first]), edit("sv_pure 2", [first]))
    assert kinds(answers) == ["Blueprint", "Stale"], answers
    blueprint.refresh_from_db()
    stands = (blueprint.config, Blueprint.objects.with_layers().get().layers, blueprint.version)
    assert stands in [("sv_pure 1", [second, first], 2), ("sv_pure 2", [first], 2)]


def test_of_two_edits_of_one_server_the_second_is_told(cast: Cast, host: Host) -> None:
    server = make_server(cast.owner, host=host)

    def edit(name: str) -> Callable[[], object]:
        return lambda: actions.update_server(
            server=server, seen_version=1, by=cast.owner, name=name, blueprint=server.blueprint, port=server.port
        )

    assert kinds(at_once(edit("a"), edit("b"))) == ["Server", "Stale"]


def test_a_blueprint_is_deleted_or_used_but_never_both(cast: Cast, host: Host) -> None:
    blueprint = make_blueprint(cast.owner)
    answers = at_once(
        lambda: actions.delete_blueprint(blueprint=Blueprint.objects.get(pk=blueprint.pk), by=cast.owner),
        lambda: actions.create_server(
            owner=cast.owner, by=cast.owner, name="s", blueprint=Blueprint.objects.get(pk=blueprint.pk), host=host
        ),
    )
    exists, used = Blueprint.objects.filter(pk=blueprint.pk).exists(), Server.objects.exists()
    assert exists == used, answers
    faults = [answer for answer in answers if isinstance(answer, Exception)]
    assert len(faults) == 1, answers
    assert isinstance(faults[0], actions.InUse | ValidationError | Blueprint.DoesNotExist)


def test_an_overlay_is_deleted_or_used_but_never_both(cast: Cast) -> None:
    overlay = make_overlay(owner=cast.owner)
    blueprint = make_blueprint(cast.owner, name="b")
    answers = at_once(
        lambda: overlay_actions.delete(overlay=Overlay.objects.get(pk=overlay.pk), by=cast.owner),
        lambda: actions.update_blueprint(
            blueprint=blueprint,
            seen_version=1,
            by=cast.owner,
            name="b",
            description="",
            arguments="",
            config="",
            overlays=[Overlay.objects.get(pk=overlay.pk)],
        ),
    )
    exists, used = Overlay.objects.filter(pk=overlay.pk).exists(), blueprint.links.exists()
    assert exists == used, answers


def test_a_start_asked_for_many_times_is_one_job(cast: Cast, host: Host) -> None:
    server = make_server(cast.owner, host=host)

    def start() -> object:
        return actions.request(server=Server.objects.get(pk=server.pk), operation="start", by=cast.owner)

    answers = at_once(*([start] * 6))
    assert kinds(answers) == ["Job"] * 6, answers
    assert Job.objects.count() == 1


def test_a_port_does_not_change_under_a_start(cast: Cast, host: Host) -> None:
    server = make_server(cast.owner, host=host, port=27015)

    def move() -> object:
        return actions.update_server(
            server=server, seen_version=1, by=cast.owner, name="s", blueprint=server.blueprint, port=27016
        )

    def start() -> object:
        return actions.request(server=Server.objects.get(pk=server.pk), operation="start", by=cast.owner)

    moved, started = at_once(move, start)
    assert isinstance(started, Job), started
    server.refresh_from_db()
    assert server.port == (27016 if isinstance(moved, Server) else 27015)
    assert isinstance(moved, Server | ValidationError), moved


class _Turn:
    """Sees what a request's connection is about to do: `waits` is set once it knows the row and wants to hold it."""

    def __init__(self, table: str) -> None:
        self.waits = threading.Event()
        self._table = table
        self._knows = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if self._knows and ("BEGIN" in sql or "FOR UPDATE" in sql):
            self.waits.set()
        self._knows = self._knows or f'FROM "{self._table}"' in sql
        return execute(sql, params, many, context)


def _deleted_meanwhile(row: Model, ask: Callable[[], Any]) -> Any:
    """What `ask` is answered when `row` goes after it has looked and before it has its turn."""
    turn = _Turn(row._meta.db_table)

    def request() -> Any:
        try:
            with connection.execute_wrapper(turn):
                return ask()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            type(row)._default_manager.select_for_update().get(pk=row.pk)
            answer = pool.submit(request)
            assert turn.waits.wait(30)
            row.delete()
        return answer.result(30)


@pytest.mark.parametrize("kind", ["blueprint", "overlay"])
def test_the_second_who_deletes_the_same_is_told_that_it_is_gone(cast: Cast, client: Client, kind: str) -> None:
    row = make_blueprint(cast.owner) if kind == "blueprint" else make_overlay(owner=cast.owner)
    name = "servers:blueprint_delete" if kind == "blueprint" else "overlays:delete"
    client.force_login(cast.owner)
    answer = _deleted_meanwhile(row, lambda: client.post(reverse(name, args=[row.pk])))
    assert answer.status_code == 404
    assert "Already deleted" in answer.content.decode()


def test_the_api_says_so_too(cast: Cast, client: Client) -> None:
    blueprint = make_blueprint(cast.owner)
    client.force_login(cast.owner)
    answer = _deleted_meanwhile(blueprint, lambda: client.delete(f"/api/v1/blueprints/{blueprint.pk}"))
    assert (answer.status_code, answer.json()["title"]) == (404, "Already deleted")
