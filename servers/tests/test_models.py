"""Rules that hold whoever writes the row."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from left4me.core import secrets
from left4me.testing.cast import Cast
from overlays.tests.factories import make_overlay
from servers.models import Host, Server
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = pytest.mark.django_db


def test_migrating_makes_this_machine_a_host_and_once_only() -> None:
    # Called here once more: tests that commit clear what migrations wrote.
    migration = import_module("servers.migrations.0002_default_host")
    for _ in range(2):
        migration.make_this_host(apps, None)
    assert Host.objects.get().name == "local"


def test_two_servers_cannot_have_one_port_on_one_host(cast: Cast) -> None:
    make_server(cast.owner, port=27015)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_server(cast.stranger, port=27015)
    make_server(cast.stranger, port=27015, host=make_host(name="second"))


def test_a_name_is_taken_in_any_case_but_only_for_its_owner(cast: Cast) -> None:
    make_server(cast.owner, name="Friday")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_server(cast.owner, name="FRIDAY")
    make_server(cast.stranger, name="friday")


@pytest.mark.parametrize("port", [0, 1023, 65536])
def test_a_port_is_one_that_an_ordinary_user_may_open(cast: Cast, port: int) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_server(cast.owner, port=port)


def test_what_servers_are_made_of_cannot_be_deleted_under_them(cast: Cast) -> None:
    overlay = make_overlay()
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[overlay]))
    for row in (overlay, server.blueprint, server.host, cast.owner):
        with pytest.raises(ProtectedError):
            row.delete()


def test_the_password_does_not_stand_in_the_database_as_it_is(cast: Cast) -> None:
    server = make_server(cast.owner, rcon_password="hunter2hunter2")
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed_rcon_password FROM servers_server")
        assert "hunter2" not in cursor.fetchone()[0]
    assert Server.objects.get(pk=server.pk).rcon_password == "hunter2hunter2"


def test_the_running_game_keeps_the_password_that_it_was_started_with(cast: Cast) -> None:
    server = make_server(cast.owner, rcon_password="old")
    server.applied_sealed_rcon_password = server.sealed_rcon_password
    server.rcon_password = "new"
    assert (server.live_rcon_password, server.rcon_password) == ("old", "new")


def test_a_password_sealed_with_another_key_says_so(cast: Cast, settings: object) -> None:
    server = make_server(cast.owner)
    old_key, settings.SECRET_KEY = settings.SECRET_KEY, "k" * 50
    with pytest.raises(secrets.Unreadable, match="LEFT4ME_SECRET_KEY"):
        _ = server.rcon_password
    settings.SECRET_KEY_FALLBACKS = [old_key]
    assert len(server.rcon_password) == 43


def test_a_user_sees_own_and_shared_servers_and_an_admin_all(cast: Cast) -> None:
    mine, shared = make_server(cast.owner), make_server(cast.stranger)
    share(shared, cast.owner)
    hidden = make_server(cast.stranger)
    assert set(Server.objects.visible_to(cast.owner)) == {mine, shared}
    assert set(Server.objects.visible_to(cast.admin)) == {mine, shared, hidden}
    assert not Server.objects.visible_to(cast.viewer)


@pytest.mark.parametrize("desired", Server.Desired.values)
@pytest.mark.parametrize("actual", Server.State.values)
def test_a_server_has_drifted_if_it_is_not_as_wanted(cast: Cast, desired: str, actual: str) -> None:
    server = make_server(cast.owner, desired_state=desired, actual_state=actual)
    drifts = {"running": {"stopped", "stopping", "crashed", "gave_up"}, "stopped": {"starting", "running", "crashed"}}
    assert server.has_drifted == (actual in drifts[desired])


def test_a_host_that_missed_several_reports_is_down(settings: object) -> None:
    now = timezone.now()
    settings.LEFT4ME_STATUS_SECONDS = 8
    assert make_host(last_seen_at=None).is_down(now)
    assert make_host(last_seen_at=now - timedelta(seconds=33)).is_down(now)
    assert not make_host(last_seen_at=now - timedelta(seconds=31)).is_down(now)
    settings.LEFT4ME_STATUS_SECONDS = 60
    assert not make_host(last_seen_at=now - timedelta(seconds=239)).is_down(now)


def test_the_tables_of_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", "servers", check_changes=True, dry_run=True, verbosity=0)
