"""A journey with the plugins of a running game in a real sandbox."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from left4me.testing import smx_files
from left4me.testing.recorded_run import RecordedRun
from livestate import actions, tasks
from overlays import paths
from overlays.tests.factories import make_overlay
from overlays.tests.test_plugin_cfg import GENERATED
from overlays.tests.test_plugins import put
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.lifecycle import lifecycle
from servers.models import Server
from servers.plugins import settings as plugin_settings
from servers.simulated.releases import install_newest
from servers.tests.factories import make_blueprint, make_host, make_server
from servers.tests.near_host import answer_here

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def server(cast, settings, tmp_path: Path, monkeypatch, worker_id: str) -> Iterator[Server]:
    """A running server of Anna's with SourceMod and some plugins; its host answers at once."""
    settings.LEFT4ME_ROOT = tmp_path
    answer_here(monkeypatch)
    orders = {tasks.carry_out.name: tasks.carry_out, plugin_settings.TASK: plugin_settings.apply}
    monkeypatch.setattr(actions.hosts, "send", lambda _host, task, *args, **_options: orders[task](*args) or True)
    this_host.runtime.cache_clear()
    # Below the ports that the kernel gives to clients, of which one may be taken at any moment.
    first = 29_700 + 10 * int(worker_id.removeprefix("gw") if worker_id.startswith("gw") else 0)
    host = make_host(last_seen_at=timezone.now(), first_port=first, last_port=first + 9)
    install_newest(versions=this_host.games(), watch=RecordedRun("game"), repair=False)
    overlay = make_overlay(name="SourceMod", owner=cast.owner, built_at=timezone.now())
    tree = paths.directory(overlay)
    put(tree, "heal.smx", smx_files.plugin("Heal", version="1.2", author="Anna", description="Heals everybody."))
    put(tree, "left4dhooks.smx", smx_files.plugin("[L4D & L4D2] Left 4 DHooks Direct", version="1.166"))
    put(tree, "spawner.smx", smx_files.plugin("Spawner", plugins=["left4dhooks.smx"]))
    put(tree, "votes.smx", smx_files.plugin("Votes", extensions=["builtinvotes.ext"]))
    put(tree, "disabled/mapchooser.smx", smx_files.plugin("MapChooser", version="1.12.0.7210"))
    cfg = tree / "left4dead2/cfg/sourcemod/plugin.heal.cfg"
    cfg.parent.mkdir(parents=True)
    cfg.write_text(GENERATED)
    blueprint = make_blueprint(cast.owner, name="Versus", overlays=[overlay])
    server = make_server(cast.owner, name="Friday", host=host, port=first, blueprint=blueprint)
    try:
        lifecycle.start(server, RecordedRun(server.resource))
        yield server
    finally:
        with contextlib.suppress(Exception):
            this_host.runtime().kill(server.pk)
        this_host.runtime.cache_clear()


def row(page: Page, title: str):
    # The whole title: the list of errors names files, such as votes.smx.
    exactly = re.compile(rf"^\s*{re.escape(title)}\s*$")
    return page.get_by_role("row").filter(has=page.locator(".cell-title", has_text=exactly))


def test_plugins_are_seen_and_loaded_while_the_game_runs(cast, server, sign_in, axe, picture):
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}/plugins")
    expect(row(page, "Heal")).to_contain_text("Running")
    expect(row(page, "Votes")).to_contain_text("builtinvotes.ext")
    expect(row(page, "Votes")).to_contain_text("Failed")
    expect(row(page, "MapChooser")).to_contain_text("Not loaded")
    axe(page)
    picture("plugins", "1-list")

    page.get_by_role("button", name="Load MapChooser").click()
    expect(page.locator("#plugin-order")).to_contain_text("Confirmed by the list of plugins.")
    page.reload()
    expect(row(page, "MapChooser")).to_contain_text("Running")
    page.get_by_role("button", name="Unload [L4D & L4D2] Left 4 DHooks Direct").click()
    expect(page.locator("#plugin-order")).to_contain_text("Plugins that run need this one: Spawner")
    axe(page)
    picture("plugins", "2-refused")


def test_a_plugin_is_disabled_for_one_server_from_its_next_start_on(cast, server, sign_in, axe, picture):
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}/plugins")
    page.get_by_role("button", name="Disable Heal").click()
    expect(page.get_by_text("Applies at the next start.")).to_be_visible()
    expect(row(page, "Heal")).to_contain_text("Set for this server")
    expect(row(page, "Heal")).to_contain_text("Running")
    page.get_by_role("button", name="Enable MapChooser").click()
    axe(page)
    picture("plugins", "3-switched")
    page.set_viewport_size({"width": 390, "height": 844})
    picture("plugins", "4-phone")
    page.set_viewport_size({"width": 1280, "height": 800})

    lifecycle.restart(Server.objects.with_blueprint().get(pk=server.pk), RecordedRun(server.resource))
    page.goto(f"/servers/{server.pk}/plugins")
    expect(row(page, "Heal")).to_contain_text("disabled/heal.smx")
    expect(row(page, "Heal")).to_contain_text("Not loaded")
    expect(row(page, "MapChooser")).to_contain_text("Running")
    overlay = paths.directory(server.blueprint.layers[0]) / "left4dead2/addons/sourcemod/plugins"
    assert (overlay / "heal.smx").is_file()
    assert (overlay / "disabled/mapchooser.smx").is_file()

    page.get_by_role("button", name="Load Heal").click()
    expect(page.locator("#plugin-order")).to_contain_text("Confirmed by the list of plugins.")


def test_settings_of_a_plugin_are_changed_for_one_server(cast, server, sign_in, axe, picture):
    def amount() -> str:
        row = Server.objects.get(pk=server.pk)
        answer = rcon.execute("127.0.0.1", row.port, row.live_rcon_password, "l4d_heal_amount", timeout=20)
        return str(answer).split('"')[3]

    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}/plugins")
    page.get_by_role("link", name="plugin.heal.cfg").click()
    page.get_by_label("l4d_heal_amount").fill("400")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Enter a number from 0 to 100.")).to_be_visible()
    axe(page)
    picture("plugins", "5-settings")
    page.get_by_label("l4d_heal_amount").fill("75")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    assert amount() == "50"

    lifecycle.restart(Server.objects.with_blueprint().get(pk=server.pk), RecordedRun(server.resource))
    assert amount() == "75"
    page.reload()
    expect(page.get_by_text("A running game takes it over at once.")).to_be_visible()
    page.get_by_label("l4d_heal_amount").fill("80")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    assert amount() == "80"

    page.get_by_role("button", name="Reset").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    expect(page.get_by_text("Applies at the next start.")).to_be_visible()
    lifecycle.restart(Server.objects.with_blueprint().get(pk=server.pk), RecordedRun(server.resource))
    assert amount() == "50"


def test_an_archive_is_requested_from_an_address(cast, settings, tmp_path: Path, sign_in, axe, picture):
    settings.LEFT4ME_ROOT = tmp_path
    overlay = make_overlay(name="SourceMod 1.12", owner=cast.owner)
    page = sign_in(cast.owner)
    page.goto(f"/overlays/{overlay.pk}/files")
    page.locator("summary").filter(has_text="Fetch archive").click()
    page.get_by_label("Address of a zip, tar or 7z file").fill("https://example.com/sourcemod-1.12.0-linux.tar.gz")
    page.get_by_label("SHA-256 (optional)").fill("0" * 64)
    axe(page)
    picture("plugins", "6-fetch")
    page.get_by_role("button", name="Fetch and extract").click()
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_role("heading", name="Fetch archive")).to_be_visible()
