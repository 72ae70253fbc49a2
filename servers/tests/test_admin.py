"""Django's admin is a third door to the same rules."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers.models import Blueprint, Host, Server, StarterBlueprint
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin_client(cast: Cast, client: Client) -> Client:
    client.force_login(cast.admin)
    return client


@pytest.mark.parametrize("model", ["overlays/overlay", "servers/server", "servers/blueprint", "servers/host"])
def test_each_list_and_row_is_shown(cast: Cast, admin_client: Client, model: str) -> None:
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[make_overlay()]))
    share(server, cast.viewer)
    rows = {"overlay": Overlay, "server": Server, "blueprint": Blueprint, "host": Host}
    row = rows[model.rpartition("/")[2]].objects.get()
    assert admin_client.get(f"/admin/{model}/").status_code == 200
    page = admin_client.get(f"/admin/{model}/{row.pk}/change/")
    assert page.status_code == 200
    assert server.rcon_password not in page.content.decode()


def test_a_blueprint_is_made_and_its_refused_lines_are_named(cast: Cast, admin_client: Client) -> None:
    overlay = make_overlay()
    sent = {"name": "b", "config": "say \x07", "overlays": [overlay.pk]}
    response = admin_client.post("/admin/servers/blueprint/add/", sent)
    assert (
        response.status_code == 200 and "Line 1: This line contains a control character" in response.content.decode()
    )
    assert not Blueprint.objects.exists()
    assert admin_client.post("/admin/servers/blueprint/add/", {**sent, "config": "sv_pure 2"}).status_code == 302
    blueprint = Blueprint.objects.get()
    assert (blueprint.owner, blueprint.layers) == (cast.admin, [overlay])
    assert AuditEntry.objects.filter(action="blueprint.create").count() == 1


def test_another_users_blueprint_keeps_its_owner_and_their_overlays(cast: Cast, admin_client: Client) -> None:
    private = make_overlay(owner=cast.owner)
    blueprint = make_blueprint(cast.owner, name="b", overlays=[private])
    sent = {"name": "renamed", "overlays": [private.pk], "version": "1"}
    assert admin_client.post(f"/admin/servers/blueprint/{blueprint.pk}/change/", sent).status_code == 302
    blueprint.refresh_from_db()
    assert (blueprint.name, blueprint.owner, blueprint.layers) == ("renamed", cast.owner, [private])
    response = admin_client.post(f"/admin/servers/blueprint/{blueprint.pk}/change/", sent)
    assert response.status_code == 200 and "Someone else edited this" in response.content.decode()


def test_a_blueprint_in_use_is_not_deleted(cast: Cast, admin_client: Client) -> None:
    server = make_server(cast.owner)
    admin_client.post(f"/admin/servers/blueprint/{server.blueprint_id}/delete/", {"post": "yes"})
    assert Blueprint.objects.exists()
    empty = make_blueprint(cast.owner)
    response = admin_client.post(f"/admin/servers/blueprint/{empty.pk}/delete/", {"post": "yes"})
    assert response.status_code == 302 and not Blueprint.objects.filter(pk=empty.pk).exists()


def test_a_server_is_made_changed_and_deleted_by_the_same_actions(cast: Cast, admin_client: Client) -> None:
    host = make_host(last_seen_at=timezone.now())
    blueprint = make_blueprint(cast.admin)
    sent = {"name": "s", "blueprint": blueprint.pk, "host": host.pk, "port": ""}
    assert admin_client.post("/admin/servers/server/add/", sent).status_code == 302
    server = Server.objects.get()
    assert (server.port, len(server.rcon_password), server.owner) == (host.first_port, 43, cast.admin)
    make_server(cast.owner, host=host, port=27050)
    sent = {"name": "s", "blueprint": blueprint.pk, "port": "27050", "version": "1"}
    response = admin_client.post(f"/admin/servers/server/{server.pk}/change/", sent)
    assert "Another server on this host uses this port. Choose another one." in response.content.decode()
    response = admin_client.post(f"/admin/servers/server/{server.pk}/change/", {**sent, "port": "27051"})
    assert response.status_code == 302
    server.refresh_from_db()
    assert (server.port, server.version) == (27051, 2)
    response = admin_client.post(f"/admin/servers/server/{server.pk}/delete/", {"post": "yes"}, follow=True)
    assert "Deleting server" in response.content.decode()
    assert Job.objects.get().operation == "delete"
    assert Server.objects.filter(pk=server.pk).exists()


def test_an_overlay_in_use_is_not_deleted_and_its_directory_is_checked(cast: Cast, admin_client: Client) -> None:
    overlay = make_overlay()
    make_blueprint(cast.owner, overlays=[overlay])
    admin_client.post(f"/admin/overlays/overlay/{overlay.pk}/delete/", {"post": "yes"})
    assert Overlay.objects.exists()
    sent = {"name": "x", "kind": "files", "is_system": "on", "path": "../evil"}
    response = admin_client.post("/admin/overlays/overlay/add/", sent)
    assert response.status_code == 200 and "below the overlay root" in response.content.decode()
    assert admin_client.post("/admin/overlays/overlay/add/", {**sent, "path": ""}).status_code == 302


def test_a_host_is_changed_but_neither_added_nor_deleted(admin_client: Client) -> None:
    host = make_host()
    assert admin_client.get("/admin/servers/host/add/").status_code == 403
    assert admin_client.post(f"/admin/servers/host/{host.pk}/delete/", {"post": "yes"}).status_code == 403
    sent = {"address": "games.example.org", "first_port": "27015", "last_port": "27000", "is_enabled": "on"}
    response = admin_client.post(f"/admin/servers/host/{host.pk}/change/", sent)
    assert "the last cannot be below the first" in response.content.decode()
    sent["last_port"] = "27200"
    assert admin_client.post(f"/admin/servers/host/{host.pk}/change/", sent).status_code == 302
    host.refresh_from_db()
    assert (host.address, host.last_port) == ("games.example.org", 27200)


def test_a_template_is_switched_off_and_its_lines_are_checked(admin_client: Client) -> None:
    starter = StarterBlueprint.objects.create(name="Mine", config="sv_pure 2")
    address = f"/admin/servers/starterblueprint/{starter.pk}/change/"
    assert "Line 1" in admin_client.post(address, {"name": "Mine", "config": "say \x07"}).content.decode()
    assert admin_client.post(address, {"name": "Mine", "config": "sv_pure 2"}).status_code == 302
    starter.refresh_from_db()
    assert not starter.is_offered
