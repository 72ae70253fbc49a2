"""Plugins that a server enables and disables for itself, and what its next start shows of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.test import Client

from left4me.audit.models import AuditEntry
from left4me.core.web.refusals import Refused
from left4me.testing import smx_files
from left4me.testing.cast import Cast
from overlays import paths
from overlays.models import Overlay
from overlays.tests.test_plugins import put
from servers.actions import deletions
from servers.actions import plugins as actions
from servers.gamehost.spec import InstanceSpec
from servers.hosts import this_host
from servers.lifecycle import launch_plan, pending_changes
from servers.models import DeletedServer, Server
from servers.plugins import switches
from servers.tests.factories import share
from servers.tests.test_plugins import listed, overlay, server  # noqa: F401 -- fixtures

FOLDER = "left4dead2/addons/sourcemod/plugins"


@pytest.fixture
def tree(overlay: Overlay) -> Path:  # noqa: F811
    tree = paths.directory(overlay)
    for name in ("heal.smx", "extra/horde.smx", "optional/confogl.smx", "disabled/mapchooser.smx"):
        put(tree, name, smx_files.plugin(name))
    return tree


def spec_of(server: Server) -> InstanceSpec:  # noqa: F811
    layers = server.blueprint.layers
    trees = {layer.pk: paths.directory(layer) for layer in layers}
    places = launch_plan.HostPaths(game=Path("/game"), overlays=trees, cache=Path("/cache"))
    return launch_plan.compose(server, layers=layers, places=places, game_version="1").spec


def test_without_switches_nothing_moves(server: Server, tree: Path):  # noqa: F811
    assert spec_of(server).moved == {}


def test_a_disabled_plugin_moves_to_disabled_and_an_enabled_one_out_of_it(server: Server, tree: Path, cast: Cast):  # noqa: F811
    actions.switch(server=server, path="extra/horde.smx", is_enabled=False, by=cast.owner)
    actions.switch(server=server, path="mapchooser.smx", is_enabled=True, by=cast.owner)
    assert spec_of(server).moved == {
        f"{FOLDER}/extra/horde.smx": f"{FOLDER}/disabled/extra/horde.smx",
        f"{FOLDER}/disabled/mapchooser.smx": f"{FOLDER}/mapchooser.smx",
    }


def test_switches_that_say_what_is_so_already_move_nothing(server: Server, tree: Path, cast: Cast):  # noqa: F811
    actions.switch(server=server, path="heal.smx", is_enabled=True, by=cast.owner)
    actions.switch(server=server, path="mapchooser.smx", is_enabled=False, by=cast.owner)
    actions.switch(server=server, path="gone.smx", is_enabled=False, by=cast.owner)
    assert spec_of(server).moved == {}
    put(tree, "disabled/heal.smx")
    assert spec_of(server).moved == {}


def test_what_a_running_game_was_started_with_is_known_from_what_moved():
    moved = {
        f"{FOLDER}/extra/horde.smx": f"{FOLDER}/disabled/extra/horde.smx",
        f"{FOLDER}/disabled/mapchooser.smx": f"{FOLDER}/mapchooser.smx",
    }
    assert switches.of_moved(moved) == {"extra/horde.smx": False, "mapchooser.smx": True}


def test_the_list_shows_the_next_start_and_orders_name_the_present_path(
    server: Server,  # noqa: F811
    tree: Path,
    cast: Cast,
    client: Client,
):
    client.force_login(cast.owner)
    given = json.dumps({"switch": "heal.smx", "is_enabled": False})
    url = f"/api/v1/servers/{server.pk}/plugins"
    assert client.patch(url, given, content_type="application/json").status_code == 200
    plugin = listed(server, client)["disabled/heal.smx"]
    assert (plugin["is_enabled"], plugin["is_switched"], plugin["present_path"]) == (False, True, "heal.smx")
    this_host.storage().of(server.pk).note_moved({f"{FOLDER}/heal.smx": f"{FOLDER}/disabled/heal.smx"})
    assert listed(server, client)["disabled/heal.smx"]["present_path"] == "disabled/heal.smx"
    client.post(f"/servers/{server.pk}/plugins/switch", {"path": "heal.smx", "operation": "enable"})
    plugin = listed(server, client)["heal.smx"]
    assert (plugin["is_enabled"], plugin["present_path"]) == (True, "disabled/heal.smx")


def test_plugins_in_optional_have_no_switch(server: Server, tree: Path, cast: Cast, client: Client):  # noqa: F811
    client.force_login(cast.owner)
    assert listed(server, client)["optional/confogl.smx"]["switch"] == ""


@pytest.mark.parametrize(
    "path", ["", "a.txt", "../a.smx", "/a.smx", "a//b.smx", "disabled/a.smx", "optional/a.smx", "a\n.smx", "a\\b.smx"]
)
def test_what_is_no_path_of_a_plugin_is_refused(server: Server, cast: Cast, path: str):  # noqa: F811
    with pytest.raises(Refused):
        actions.switch(server=server, path=path, is_enabled=False, by=cast.owner)


def test_a_switch_is_told_as_a_change_of_the_next_start_and_in_the_audit_log(server: Server, tree: Path, cast: Cast):  # noqa: F811
    server.applied = pending_changes.current(server)
    server.actual_state = Server.State.RUNNING
    assert not pending_changes.restart_needed(server)
    actions.switch(server=server, path="heal.smx", is_enabled=False, by=cast.owner)
    assert pending_changes.restart_needed(server)
    assert [change.after for change in pending_changes.pending(server)] == ["heal.smx disabled"]
    assert AuditEntry.objects.filter(action="server.plugin_disabled", target=server.resource).exists()
    actions.switch(server=server, path="heal.smx", is_enabled=None, by=cast.owner)
    assert not pending_changes.restart_needed(server)


def test_a_game_of_an_earlier_release_needs_no_restart(server: Server, tree: Path):  # noqa: F811
    server.applied = {name: value for name, value in pending_changes.current(server).items() if name != "plugins"}
    server.actual_state = Server.State.RUNNING
    assert not pending_changes.restart_needed(server)


def test_only_those_who_may_change_the_server_switch_its_plugins(server: Server, cast: Cast, client: Client):  # noqa: F811
    share(server, cast.operator, "operator")
    client.force_login(cast.operator)
    given = json.dumps({"switch": "heal.smx", "is_enabled": False})
    url = f"/api/v1/servers/{server.pk}/plugins"
    assert client.patch(url, given, content_type="application/json").status_code == 403
    answer = client.post(f"/servers/{server.pk}/plugins/switch", {"path": "heal.smx", "operation": "disable"})
    assert answer.status_code == 403
    assert "switch" not in client.get(f"/servers/{server.pk}/plugins").content.decode().partition("<main")[2]


def test_a_restored_server_has_its_switches(server: Server, cast: Cast):  # noqa: F811
    actions.switch(server=server, path="heal.smx", is_enabled=False, by=cast.owner)
    DeletedServer.remember(server, now=server.created_at)
    pk = server.pk
    server.delete()
    deletions.restore_server(deleted=DeletedServer.objects.get(server_id=pk), by=cast.owner)
    assert Server.objects.get(pk=pk).plugin_switches == {"heal.smx": False}
