# ruff: noqa: S608 -- every statement is made of constants of this file
"""Row rights of worker hosts, asked of PostgreSQL as the role of a host: it has its own rows and no others."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import User
from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from left4me.alerts.tests.factories import make_channel
from left4me.backups import actions as backups
from left4me.backups import operations as backup_operations
from left4me.backups.models import Backup
from left4me.backups.tests.factories import make_backup
from left4me.core.net import ports
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job, JobLock
from left4me.schedules.tests.factories import make_schedule
from left4me.site import host_rights, host_rows
from left4me.status_pages.tests.factories import make_page
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from left4me.tests.test_host_rights import alone_with_roles, as_host, on_postgresql  # noqa: F401 -- a fixture
from left4me.tests.world import furnish
from livestate import sweep
from livestate.bans import tasks as ban_tasks
from livestate.bans.models import AppliedBans, Subscription
from livestate.bans.tests.factories import make_ban, make_list
from livestate.models import Order, Silence, Sweep
from overlays.models import Overlay, OverlayAddon, OverlayCopy
from overlays.tests.factories import make_overlay
from servers import actions, tasks
from servers.game_access import application as game_access
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.lifecycle import readiness
from servers.models import (
    DeletedServer,
    GameAccessState,
    GameRun,
    Host,
    PlayersLink,
    Server,
    StateChange,
)
from servers.state import hangs
from servers.tests.factories import install_game, make_blueprint, make_host, make_server
from servers.tests.fake_runtime import FakeRuntime

pytestmark = on_postgresql
# Of these a host sees something that is not of its servers: admins get alerts of all hosts.
ADMINS = {"accounts.User", "alerts.Channel"}
LIMITED = sorted(label for label, rows in host_rows.ROWS.items() if isinstance(rows, host_rows.Rows))


@pytest.fixture
def world(transactional_db, cast: Cast) -> Host:
    """Rows in every table that is limited, all of the web's own host."""
    now = timezone.now()
    keys = furnish(cast.owner, cast.operator, now)
    server = Server.objects.get(pk=keys["servers"])
    overlay = Overlay.objects.get(pk=keys["overlays"])
    actions.set_person(of=server, person="vera", by=cast.owner)
    actions.set_rules(of=server, by=cast.owner, team_are_admins=True)
    GameAccessState.objects.create(server=server, result="applied", at=now)
    GameRun.objects.create(server=server, started_at=now, content={})
    StateChange.objects.create(server=server, at=now, state="running")
    PlayersLink.objects.create(server=server)
    Silence.objects.create(server=server, since=now, last_at=now, count=1, reason="timed_out")
    Sweep.objects.create(host=server.host, started_at=now, writer=uuid.UUID(int=1))
    Order.objects.create(server=server, user=cast.owner, kind="command", value="x", created_at=now)
    OverlayCopy.objects.create(overlay=overlay, host=server.host.name, content_version=1, made_at=now)
    OverlayAddon.objects.create(overlay=overlay, path="x.vpk", size=1)
    AppliedBans.objects.create(server=server)
    jobs.request(operation="diagnostic", resource="diagnostic:1", by=None, host=server.host.name, params={"lines": 2})
    problem = ProblemReport(
        event=Event.SERVER_CRASHED, key=server.resource, subject=server.resource, title="x", owners=[server.owner_id]
    )
    make_channel(cast.owner, name="all", kind="discord", events=[str(event) for event in Event])
    incidents.report(problem, now=now)
    DeletedServer.remember(Server.objects.exclude(pk=server.pk).first(), now=now)
    for label in host_rows.ROWS:
        assert apps.get_model(label)._default_manager.exists() or label == "bans.Subscription", label
    return server.host


def run(statement: str, values: Any = ()) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount


def count(label: str) -> int:
    table = apps.get_model(label)._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM "{table}"')
        return cursor.fetchone()[0]


def test_a_host_reads_and_changes_nothing_of_other_hosts(as_host, world: Host):  # noqa: F811
    make_host(name="two")
    make_host(name="three")
    samples = {label: _sample(label) for label in host_rows.ROWS}
    for role in ("left4me_host_two", "left4me_host_three", host_rights.ROLE):
        with as_host(role):
            for label, sample in samples.items():
                _refused(label, sample)


def _refused(label: str, sample: dict[str, Any]) -> None:
    rights, rows = host_rights.RIGHTS[label], host_rows.ROWS[label]
    model = apps.get_model(label)
    table, key = model._meta.db_table, model._meta.pk.column
    if isinstance(rows, host_rows.Rows):
        seen = Host.objects.count() if label == "servers.Host" else count(label)
        own = {"servers.Host": 1}.get(label, 0)
        if label in ADMINS:
            assert set(User.objects.values_list("username", flat=True)) == {"ada"}
        else:
            assert seen <= own, label
    may_change = rows.written != "true"
    if "DELETE" in rights and may_change:
        assert run(f'DELETE FROM "{table}" WHERE "{key}" = %s', [sample[key]]) == 0, label
    if "UPDATE" in rights and may_change:
        columns = rights.partition("UPDATE (")[2].partition(")")[0].split(", ") if "UPDATE (" in rights else [key]
        update = f'UPDATE "{table}" SET {columns[0]} = {columns[0]} WHERE "{key}" = %s'
        assert run(update, [sample[key]]) == 0, label
    if "INSERT" in rights and may_change:
        names = ", ".join(f'"{name}"' for name in sample)
        places = ", ".join(["%s"] * len(sample))
        with pytest.raises(DatabaseError, match="row-level security"):
            run(f'INSERT INTO "{table}" ({names}) VALUES ({places})', list(sample.values()))


def _sample(label: str) -> dict[str, Any]:
    """The values of a row, as PostgreSQL takes them back."""
    model = apps.get_model(label)
    row = model._default_manager.order_by("pk").first() or Subscription(pk=1, ban_list_id=1, user_id=1)
    return {
        field.column: field.get_db_prep_save(getattr(row, field.attname), connection)
        for field in model._meta.concrete_fields
    }


def test_a_host_reads_what_is_its_own(as_host, world: Host):  # noqa: F811
    expected = {label: count(label) for label in LIMITED}
    Host.objects.filter(pk=world.pk).update(name="two")
    Job.objects.update(host="two")
    OverlayCopy.objects.update(host="two")
    # Of deliveries those of its servers, and not those of an age when they had no subject.
    del expected["alerts.Delivery"], expected["accounts.User"]
    # The overlays of its blueprints and the lists of its owners.
    for label in ("bans.BanList", "bans.Ban", "alerts.Channel"):
        del expected[label]
    # Those of a single server: others are the web's.
    expected["schedules.Schedule"] = 1
    with as_host():
        for label, number in expected.items():
            assert count(label) == number, label
        assert count("alerts.Delivery") > 0 and count("bans.Ban") > 0
        assert set(User.objects.values_list("username", flat=True)) == {"ada", "anna", "otto", "vera"}


@pytest.fixture
def two(transactional_db, cast: Cast) -> Server:
    return make_server(cast.owner, host=make_host(name="two"))


@pytest.fixture
def foreign(cast: Cast, two: Server) -> Server:
    return make_server(cast.stranger, host=make_host(name="three"))


def test_a_job_for_another_host_cannot_be_written_nor_an_own_one_given_away(as_host, two: Server, foreign: Server):  # noqa: F811
    own = jobs.request(operation="stop", resource=two.resource, by=None, host="two")
    other = jobs.request(operation="stop", resource=foreign.resource, by=None, host="three")
    with as_host():
        for resource, host in (
            (two.resource, "three"),
            ("game", "local"),
            (foreign.resource, "two"),
            ("overlay:1", "two"),
        ):
            with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
                Job.objects.create(operation="stop", resource=resource, host=host)
        for change in ({"host": "three"}, {"resource": foreign.resource}, {"operation": "delete"}, {"user_id": None}):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                Job.objects.filter(pk=own.pk).update(**change)
        assert not Job.objects.filter(pk=other.pk).update(state="cancelled", finished_at=timezone.now())
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            JobLock.objects.create(job=other, resource="x@two", exclusive=True)
        # With a job of its own it cannot hold up those of others.
        for resource in (foreign.resource, "game@three", "overlay:1", "workshop"):
            with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
                JobLock.objects.create(job=own, resource=resource, exclusive=True)
        again = jobs.request(operation="restart", resource=two.resource, by=None, host="two")
        assert again.locks.count() >= 2
        assert jobs.request(operation="clean_game", resource="game", by=None, host="two").locks.count() == 1


def test_a_server_stays_the_server_of_its_owner_and_host(as_host, two: Server, foreign: Server):  # noqa: F811
    with as_host():
        assert list(Server.objects.all()) == [two]
        assert Server.objects.filter(pk=two.pk).update(actual_state="running") == 1
        assert Server.objects.filter(pk=foreign.pk).update(actual_state="running") == 0
        assert Server.objects.filter(pk=foreign.pk).delete()[0] == 0
        for change in (
            {"host_id": foreign.host_id},
            {"owner_id": 1},
            {"blueprint_id": 1},
            {"sealed_rcon_password": ""},
        ):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                Server.objects.filter(pk=two.pk).update(**change)


def test_a_deleted_server_cannot_come_back_as_something_else(as_host, cast: Cast, two: Server, foreign: Server):  # noqa: F811
    with as_host():
        DeletedServer.remember(two, now=timezone.now())
        assert DeletedServer.objects.get().server_id == two.pk
        for change in ({"blueprint_id": foreign.blueprint_id}, {"owner_id": cast.admin.pk}):
            with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
                DeletedServer.objects.update(**change)
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            DeletedServer.remember(foreign, now=timezone.now())


def test_overlays_are_those_of_its_blueprints_and_copies_name_no_others(as_host, cast: Cast, two: Server):  # noqa: F811
    used, other = make_overlay(), make_overlay(owner=cast.stranger)
    two.blueprint = make_blueprint(cast.owner, overlays=[used])
    two.save()
    with as_host():
        assert list(Overlay.objects.all()) == [used]
        values = {"content_version": 1, "is_whole": True, "made_at": timezone.now()}
        OverlayCopy.objects.create(overlay=used, host="two", **values)
        for overlay, host in ((other, "two"), (used, "three")):
            with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
                OverlayCopy.objects.create(overlay=overlay, host=host, **values)
    two.blueprint = make_blueprint(cast.owner)
    two.save()
    with as_host():
        # Its copy is still there to be deleted.
        assert list(Overlay.objects.all()) == [used]


def test_the_quota_of_an_owner_counts_backups_on_all_hosts(as_host, cast: Cast, two: Server):  # noqa: F811
    here = make_server(cast.owner)
    make_backup(here, owner=cast.owner, size=5)
    make_backup(two, owner=cast.owner, size=7, host="two")
    make_backup(make_server(cast.stranger), size=11)
    with as_host():
        assert type(here).objects.count() == 1
        backups = apps.get_model("backups.Backup").objects
        assert backups.filter(owner=cast.owner).size() == backups.all().size() == 12
        assert backups.filter(server_id=here.pk).delete()[0] == 0 or True
    assert backups.filter(server=here).count() == 1


def test_a_host_whose_role_has_another_name_has_no_rows(as_host, two: Server):  # noqa: F811
    Host.objects.filter(name="two").update(name="elsewhere")
    with as_host():
        assert not Server.objects.exists() and not Host.objects.exists()


def test_the_web_is_not_limited(as_host, two: Server, foreign: Server):  # noqa: F811
    host_rights.apply(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relforcerowsecurity")
        assert cursor.fetchone() == (0,)
    assert Server.objects.count() == 2


def test_what_is_in_force_already_is_not_written_again(as_host, two: Server):  # noqa: F811
    """A change locks its table, and the workers of hosts are in it."""
    host_rights.apply(connection)
    with connection.execute_wrapper(_no_policies):
        host_rights.apply(connection)
    with connection.cursor() as cursor:
        cursor.execute("CREATE POLICY older ON servers_server USING (true)")
    with as_host():
        assert Server.objects.count() == 1


def _no_policies(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    assert "POLICY" not in sql and "ROW LEVEL" not in sql, sql
    return execute(sql, params, many, context)


def test_an_alert_of_a_job_whose_server_has_moved_is_no_error(as_host, cast: Cast, two: Server):  # noqa: F811
    job = jobs.request(operation="stop", resource=two.resource, by=cast.owner, host="two")
    channel = make_channel(cast.owner, name="all", kind="discord", events=[str(event) for event in Event])
    Server.objects.filter(pk=two.pk).update(host=make_host(name="three"))
    Job.objects.filter(pk=job.pk).update(
        state="running", worker="w", attempt=1, lease_expires_at=timezone.now() + timedelta(minutes=1)
    )
    from left4me.jobs import transitions

    with as_host():
        held = Job.objects.get(pk=job.pk)
        assert transitions.finish(held, state=Job.State.FAILED, now=timezone.now(), exit_code=1, error="x")
    assert channel.deliveries.get().event == "job_failed"


def test_a_server_lives_its_whole_life_with_these_rights(
    as_host,  # noqa: F811
    cast: Cast,
    two: Server,
    foreign: Server,
    settings,
    tmp_path,
    monkeypatch,
    redis_client,
):
    settings.LEFT4ME_HOST, settings.LEFT4ME_ROOT = "two", tmp_path
    runtime = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: runtime)
    monkeypatch.setattr(readiness, "answers", lambda server, timeout=2.0: True)
    monkeypatch.setattr(rcon, "execute", lambda *args, **kwargs: "")
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    install_game(tmp_path)
    make_channel(cast.owner, name="all", kind="discord", events=[str(event) for event in Event])
    make_ban(make_list(cast.owner, server=two), 101)
    schedule = make_schedule(cast.owner, after=timezone.now(), server=two)
    schedule.runs.create(server=two, user=cast.owner, action="restart", due_at=timezone.now())
    actions.set_person(of=two, person="vera", by=cast.owner)
    actions.set_rules(of=two, by=cast.owner, team_are_admins=True)
    make_page(cast.owner, two)
    asked: list[Callable[[], object]] = [
        lambda: actions.request(server=two, operation="start", by=cast.owner),
        lambda: backups.request(target=two, by=cast.owner),
        lambda: actions.request(server=two, operation="restart", by=cast.owner),
        lambda: actions.request(server=two, operation="stop", by=cast.owner),
        lambda: backups.restore(backup=Backup.objects.complete().first(), by=cast.owner),
        lambda: actions.request(server=two, operation="delete", by=cast.owner),
    ]
    for ask in asked:
        # The web writes what users ask for.
        two.refresh_from_db()
        ask()
        with as_host():
            (job,) = drain(host="two")
            assert job.state == "succeeded", (job.operation, job.error)
            assert job.log.count() > 1
            tasks.refresh()
            tasks.tidy()
            drain(host="two")
            ban_tasks.apply()
            backup_operations.tidy()
            game_access.apply("two", now=timezone.now())
            if Server.objects.filter(pk=two.pk).exists():
                hangs.detect(Host.objects.get(), silent={two.pk: timezone.now()}, runtime=runtime, now=timezone.now())
            sweep.Sweeper(Host.objects.get(name="two")).sweep()
    assert list(Server.objects.all()) == [foreign]
    assert DeletedServer.objects.get().server_id == two.pk
    restored = actions.restore_server(deleted=DeletedServer.objects.get(), by=cast.owner)
    with as_host():
        assert [job.state for job in drain(host="two")] == ["succeeded"]
        actions_of_host = Server.objects.get()
        assert actions_of_host == restored
