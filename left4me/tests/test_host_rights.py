"""What the database lets other hosts do: a decision for every table, and PostgreSQL's own word for what is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import User
from left4me.alerts.events import Event
from left4me.alerts.models import Channel, Delivery
from left4me.core import schema
from left4me.jobs import actions as jobs
from left4me.jobs import sweep
from left4me.jobs.models import Job
from left4me.site import host_rights
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from livestate.models import Order
from servers import actions, tasks
from servers.game_access import application
from servers.models import GameAccessState, HostToken, Server, StateChange
from servers.state import state_log
from servers.tests.factories import make_host, make_server, share
from servers.tests.fake_runtime import FakeRuntime

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="rights are PostgreSQL's: bin/test --postgres"
)


def test_every_table_has_a_decision():
    tables = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    assert set(host_rights.RIGHTS) == tables


@pytest.fixture
def as_host(transactional_db) -> Iterator[None]:
    """The test's connection has the rights of a host when `as_host()` is entered."""
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE ROLE "{host_rights.ROLE}" NOLOGIN')

    @contextlib.contextmanager
    def enter() -> Iterator[None]:
        assert host_rights.apply(connection)
        with connection.cursor() as cursor:
            cursor.execute(f'SET ROLE "{host_rights.ROLE}"')
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")

    yield enter
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(f'DROP OWNED BY "{host_rights.ROLE}"')
        cursor.execute(f'DROP ROLE "{host_rights.ROLE}"')


@on_postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT password FROM accounts_user",
        "SELECT * FROM accounts_session",
        "SELECT * FROM accounts_apitoken",
        "SELECT * FROM accounts_onetimelink",
        "SELECT * FROM servers_hosttoken",
        "SELECT token FROM servers_playerslink",
        "SELECT text FROM overlays_overlayscript",
        "SELECT sealed_address FROM alerts_channel",
        "SELECT * FROM audit_auditentry",
        "UPDATE accounts_user SET is_admin = true",
        "UPDATE servers_host SET name = 'mine'",
        "UPDATE overlays_overlay SET owner_id = NULL",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('x', 'y', now())",
        "DELETE FROM jobs_job",
        "CREATE TABLE mine (x int)",
        "ALTER TABLE jobs_job ADD COLUMN x int",
        "DROP TABLE jobs_joblog",
        "CREATE ROLE other",
    ],
)
def test_a_host_may_not(as_host, statement: str):
    with as_host(), pytest.raises(DatabaseError, match=r"permission denied|must be owner"), transaction.atomic():
        connection.cursor().execute(statement)


@on_postgresql
def test_a_host_may_do_its_work(as_host, cast: Cast, settings, tmp_path, monkeypatch, redis_client):
    settings.LEFT4ME_HOST, settings.LEFT4ME_ROOT = "two", tmp_path
    host = make_host(name="two")
    HostToken.objects.create(host=host, digest="x")
    server, doomed = make_server(cast.owner, host=host), make_server(cast.owner, host=host)
    share(doomed, cast.viewer)
    Order.objects.create(server=doomed, user=cast.owner, kind="command", value="x", created_at=timezone.now())
    Channel.objects.create(
        user=cast.owner, name="x", kind="email", events=[str(e) for e in Event], address="a@b.example"
    )
    for one in (server, doomed):
        actions.set_person(of=one, person="vera", by=cast.owner)
        actions.set_rules(of=one, by=cast.owner, team_are_admins=True)
    StateChange.objects.create(server=doomed, at=timezone.now(), state="stopped")
    jobs.request(operation="diagnostic", resource="diagnostic:1", by=None, host="two", params={"lines": 2})
    jobs.request(operation="delete", resource=doomed.resource, by=cast.owner, host="two")
    monkeypatch.setattr("servers.hosts.this_host.runtime", FakeRuntime)
    with as_host():
        assert schema.mismatch() == ""
        assert {job.state for job in drain(host="two")} == {"succeeded"}
        tasks.refresh()
        tasks.tidy()
        state_log.record_state(server, Server.State.RUNNING, now=timezone.now())
        application.apply("two", now=timezone.now())
        state_log.record_state(server, Server.State.CRASHED, now=timezone.now())
        sweep.take_over_dead(host="two", now=timezone.now())
    assert not Server.objects.filter(pk=doomed.pk).exists()
    assert GameAccessState.objects.get().server == server
    host.refresh_from_db()
    assert host.last_seen_at is not None
    assert sorted(Delivery.objects.values_list("event", flat=True)) == ["server_crashed", "server_stopped"]
    assert Job.objects.count() == 2 and User.objects.count() == 5


@on_postgresql
def test_what_an_older_release_granted_is_taken_back(as_host):
    with connection.cursor() as cursor:
        cursor.execute(f'GRANT ALL ON accounts_user TO "{host_rights.ROLE}"')
    with as_host(), pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        connection.cursor().execute("SELECT password FROM accounts_user")


def test_without_the_role_nothing_happens(db):
    assert host_rights.apply(connection) is False
