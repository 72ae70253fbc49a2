"""The plugins of a server: those of its layers, and what each of them lacks."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from left4me.testing import smx_files
from left4me.testing.cast import Cast
from overlays import paths
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from overlays.tests.test_plugins import put
from servers.hosts import this_host
from servers.models import Server
from servers.tests.factories import make_blueprint, make_host, make_server, share
from servers.tests.near_host import answer_here


@pytest.fixture
def overlay(settings, tmp_path: Path) -> Overlay:
    settings.LEFT4ME_ROOT = tmp_path
    return make_overlay(name="SourceMod")


@pytest.fixture
def server(cast: Cast, overlay: Overlay, monkeypatch) -> Server:
    """A stopped server of the owner; pages reach its host directly."""
    answer_here(monkeypatch)
    made = make_server(
        cast.owner,
        host=make_host(last_seen_at=timezone.now()),
        blueprint=make_blueprint(cast.owner, overlays=[overlay]),
        actual_state=Server.State.STOPPED,
    )
    this_host.storage().of(made.pk).prepare()
    return made


def listed(server: Server, client: Client) -> dict[str, dict]:
    found = client.get(f"/api/v1/servers/{server.pk}/plugins").json()
    return {plugin["path"]: plugin for plugin in found["plugins"]}


def test_plugins_of_overlays_and_of_the_server_are_listed(
    server: Server, overlay: Overlay, cast: Cast, client: Client
):
    put(paths.directory(overlay), "heal.smx", smx_files.plugin("Heal", version="1.2", author="Anna"))
    put(this_host.storage().of(server.pk).upper, "own.smx", smx_files.plugin("Own"))
    client.force_login(cast.owner)
    plugins = listed(server, client)
    assert plugins["heal.smx"]["overlay"] == "SourceMod"
    assert plugins["own.smx"]["overlay"] == ""
    page = client.get(f"/servers/{server.pk}/plugins").content.decode()
    for words in ("Heal", "1.2", "Anna", "This server", "Enabled"):
        assert words in page


def test_optional_plugins_are_apart(server: Server, overlay: Overlay, cast: Cast, client: Client):
    for path in ("heal.smx", "disabled/optional/old.smx", "optional/zone/ready.smx"):
        put(paths.directory(overlay), path)
    client.force_login(cast.owner)
    answer = client.get(f"/servers/{server.pk}/plugins")
    assert [plugin["path"] for plugin in answer.context["optional"]] == ["optional/zone/ready.smx"]
    assert len(answer.context["plugins"]) == 2
    assert "1 optional plugin, which others load" in answer.content.decode()
    assert "Optional" in client.get(f"/overlays/{overlay.pk}/plugins").content.decode()


def test_what_a_plugin_lacks_is_named(server: Server, overlay: Overlay, cast: Cast, client: Client):
    tree = paths.directory(overlay)
    needs = smx_files.plugin("Spawner", plugins=["left4dhooks.smx", "spawner.smx"], extensions=["dhooks.ext", "a.ext"])
    put(tree, "spawner.smx", needs)
    put(tree, "disabled/left4dhooks.smx")
    extensions = tree / "left4dead2/addons/sourcemod/extensions"
    extensions.mkdir()
    (extensions / "dhooks.ext.2.l4d2.so").touch()
    client.force_login(cast.owner)
    assert listed(server, client)["spawner.smx"]["missing"] == ["left4dhooks.smx", "a.ext"]
    assert "left4dhooks.smx, a.ext" in client.get(f"/servers/{server.pk}/plugins").content.decode()
    put(tree, "left4dhooks.smx")
    assert listed(server, client)["spawner.smx"]["missing"] == ["a.ext"]


def test_a_viewer_does_not_get_to_the_plugins(server: Server, cast: Cast, client: Client):
    share(server, cast.stranger)
    client.force_login(cast.stranger)
    assert client.get(f"/servers/{server.pk}/plugins").status_code == 403
