"""Deleted servers: what is remembered of them, who may restore them, and what comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from servers import actions, tasks
from servers.hosts import this_host
from servers.lifecycle import lifecycle
from servers.models import DeletedServer, GameAccess, GamePerson, Server
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import FakeRuntime

pytestmark = pytest.mark.django_db


@pytest.fixture
def deleted(cast: Cast, settings, tmp_path, monkeypatch: pytest.MonkeyPatch) -> DeletedServer:
    """A server that its job has deleted, with a file of its own."""
    settings.LEFT4ME_ROOT = tmp_path
    monkeypatch.setattr(this_host, "runtime", FakeRuntime)
    server = make_server(
        cast.owner, host=make_host(last_seen_at=timezone.now()), name="Friday", restart_when_hung=True
    )
    directory = this_host.storage().of(server.pk)
    directory.prepare()
    (directory.upper / "banned_user.cfg").write_text("banid 0 STEAM_1:0:1")
    this_host.storage().delete(server.pk, now=timezone.now())
    lifecycle.delete(server, RecordedRun())
    assert not Server.objects.exists()
    return DeletedServer.objects.get()


@pytest.fixture
def anna(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def test_a_deleted_server_comes_back_with_its_address_password_and_files(
    deleted: DeletedServer, anna: Client, cast: Cast
) -> None:
    assert 'href="/servers/deleted"' in anna.get("/servers").content.decode()
    assert f'action="/servers/deleted/{deleted.pk}/restore"' in anna.get("/servers/deleted").content.decode()
    assert anna.post(f"/servers/deleted/{deleted.pk}/restore")["Location"] == f"/servers/{deleted.pk}"
    server = Server.objects.get()
    assert (server.pk, server.name, server.port) == (deleted.pk, "Friday", deleted.port)
    assert server.restart_when_hung and server.sealed_rcon_password == deleted.sealed_rcon_password
    assert Job.objects.live().get().operation == "restore"
    lifecycle.restore(server, run := RecordedRun())
    assert "Files restored: 1." in run.lines
    assert (this_host.storage().of(server.pk).upper / "banned_user.cfg").read_text() == "banid 0 STEAM_1:0:1"
    assert AuditEntry.objects.filter(action="server.restore", target=server.resource).exists()
    assert not DeletedServer.objects.exists()


def test_its_admins_come_back_without_those_whose_account_is_gone(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_host, "runtime", FakeRuntime)
    server = make_server(cast.owner, host=make_host(last_seen_at=timezone.now()))
    GameAccess.objects.create(server=server, whitelist=True, reserved_slots=2)
    for who in ({"user": cast.viewer}, {"user": cast.stranger}, {"steam_id": 76561197960265829, "name": "Zoey"}):
        GamePerson.objects.create(server=server, role="moderator", **who)
    people = GamePerson.objects.values("pk", "server", "user", "steam_id", "name", "role")
    before = list(people.exclude(user=cast.stranger))
    lifecycle.delete(server, RecordedRun())
    assert not GamePerson.objects.exists()
    cast.stranger.delete()
    actions.restore_server(deleted=DeletedServer.objects.get(), by=cast.owner)
    assert list(people.all()) == before
    assert GameAccess.objects.get(whitelist=True).reserved_slots == 2


def test_only_the_owner_and_admins_see_and_restore_it(deleted: DeletedServer, client: Client, cast: Cast) -> None:
    url = f"/servers/deleted/{deleted.pk}/restore"
    client.force_login(cast.stranger)
    assert "Friday" not in client.get("/servers/deleted").content.decode()
    assert client.post(url).status_code == 404
    assert Caller(cast.stranger).post(f"/servers/deleted/{deleted.pk}/restore")[0] == 404
    client.force_login(cast.admin)
    assert "Friday" in client.get("/servers/deleted").content.decode()
    assert client.post(url).status_code == 302
    assert Server.objects.get().owner == cast.owner


def test_the_api_lists_and_restores_it(deleted: DeletedServer, cast: Cast) -> None:
    api = Caller(cast.owner)
    (listed,) = api.get("/servers/deleted")[1]["items"]
    assert (listed["id"], listed["name"], listed["host"]) == (deleted.pk, "Friday", "local")
    status, server = api.post(f"/servers/deleted/{deleted.pk}/restore")
    assert (status, server["id"], server["shown_state"]) == (201, deleted.pk, "initializing")


def test_what_is_in_the_way_of_a_restore_is_said(deleted: DeletedServer, anna: Client, cast: Cast) -> None:
    url = f"/servers/deleted/{deleted.pk}/restore"
    other = make_server(cast.owner, name="friday", port=deleted.port)
    assert "another server named" in anna.post(url, follow=True).content.decode()
    other.name = "Saturday"
    other.save()
    DeletedServer.objects.update(blueprint=None)
    assert "blueprint of this server was deleted" in anna.post(url, follow=True).content.decode()
    DeletedServer.objects.update(blueprint=other.blueprint)
    anna.post(url)
    assert Server.objects.get(name="Friday").port != other.port, "a taken port becomes a free one"


def test_after_a_week_nothing_is_left(deleted: DeletedServer, anna: Client) -> None:
    DeletedServer.objects.update(deleted_at=timezone.now() - timedelta(days=7))
    assert "Friday" not in anna.get("/servers/deleted").content.decode()
    assert anna.post(f"/servers/deleted/{deleted.pk}/restore").status_code == 404
    tasks.prune()
    assert not DeletedServer.objects.exists()
