# ruff: noqa: S608 -- every statement is made of constants of this file
"""What the database lets other hosts do: a decision for every table, and PostgreSQL's own word for what is refused."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import User
from left4me.alerts.events import Event
from left4me.alerts.models import Channel, Delivery
from left4me.core import schema
from left4me.jobs import actions as jobs
from left4me.jobs import sweep
from left4me.jobs.models import Job
from left4me.site import host_access, host_rights, host_rows
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from livestate.models import Order
from servers import actions, tasks
from servers.game_access import application
from servers.models import GameAccessState, HostToken, Server, StateChange
from servers.state import state_log
from servers.tests.factories import make_host, make_server, share
from servers.tests.fake_runtime import FakeRuntime

# What a host must not change of its own servers either.
OF_THE_WEB = (
    *("owner_id", "name", "blueprint_id", "host_id", "port", "sealed_rcon_password", "restart_when_hung", "tags"),
    *("version", "created_at"),
)
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="rights are PostgreSQL's: bin/test --postgres"
)


def test_every_table_has_a_decision():
    tables = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    assert set(host_rights.RIGHTS) == tables


def test_every_table_is_in_one_sentence():
    tables = [table for topic in host_access.TOPICS for table in topic.tables]
    assert sorted(tables) == sorted(host_rights.RIGHTS)
    for topic in host_access.TOPICS:
        # Nothing that a host sees is called closed to it.
        assert len({bool(host_rights.RIGHTS[table]) for table in topic.tables}) == 1, topic.words


def test_the_page_the_api_and_the_command_say_what_a_host_may_do(cast: Cast, client, api, capsys):
    two = make_host(name="two", knows_web_key=True)
    client.force_login(cast.admin)
    page = client.get(f"/hosts/{two.pk}/access").content.decode()
    assert "its servers, with their RCON passwords" in page and "the audit log" in page and "keys rotate" in page
    assert "What this host may do" in client.get(f"/hosts/{two.pk}").content.decode()
    _status, told = api.by(cast.admin).get(f"/hosts/{two.pk}/access")
    assert "its jobs and their logs" in told["changes"] and "the audit log" in told["never"]
    assert (told["is_web"], told["has_own_key"]) == (False, False)
    here = make_host()
    assert api.by(cast.admin).get(f"/hosts/{here.pk}/access")[1]["is_web"]
    assert api.by(cast.owner).get(f"/hosts/{two.pk}/access")[0] in (403, 404)
    call_command("host_rights")
    assert "  - its jobs and their logs" in capsys.readouterr().out
    call_command("host_rights", "--tables")
    assert "jobs.JobLock: SELECT, INSERT, DELETE" in capsys.readouterr().out


def test_every_table_with_rights_has_a_decision_about_its_rows():
    assert set(host_rows.ROWS) == {label for label, rights in host_rights.RIGHTS.items() if rights}
    # A condition that allows every row has to be one with a reason.
    for label, rows in host_rows.ROWS.items():
        assert isinstance(rows, host_rows.All) or rows.read != "true", label
        assert getattr(rows, "because", "x"), label


@pytest.fixture
def alone_with_roles(request: pytest.FixtureRequest) -> Iterator[None]:
    """Roles are those of the whole PostgreSQL server, which tests of other processes use too."""
    with (request.config.cache.mkdir("databases") / "roles.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def as_host(alone_with_roles, transactional_db) -> Iterator[None]:
    """The test's connection has the rights of a host when `as_host()` is entered."""
    roles = [f"{host_rows.ROLE_PREFIX}{name}" for name in ("two", "three")]
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE ROLE "{host_rights.ROLE}" NOLOGIN')
        for role in roles:
            cursor.execute(f'CREATE ROLE "{role}" IN ROLE "{host_rights.ROLE}"')

    @contextlib.contextmanager
    def enter(role: str = "left4me_host_two") -> Iterator[None]:
        assert host_rights.apply(connection)
        with connection.cursor() as cursor:
            cursor.execute(f'SET ROLE "{role}"')
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")

    yield enter
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(f'DROP OWNED BY "{host_rights.ROLE}"')
        for role in (*roles, host_rights.ROLE):
            cursor.execute(f'DROP ROLE "{role}"')


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
        *(f"UPDATE servers_server SET {name} = {name}" for name in OF_THE_WEB),
        *(f"UPDATE jobs_job SET {name} = {name}" for name in ("user_id", "operation", "resource", "host", "params")),
        "UPDATE servers_host SET key_number = 0",
        "ALTER TABLE servers_server DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY x ON servers_server",
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
