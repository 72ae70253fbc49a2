"""A person becomes an admin of a running game by pages alone, and stops being one, in a real sandbox."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from overlays import paths
from overlays.tests.factories import make_overlay
from servers.game_access import application
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.lifecycle import lifecycle
from servers.models import Server
from servers.simulated.releases import install_newest
from servers.tests.factories import make_blueprint, make_host, make_server, share
from servers.tests.recorded_run import RecordedRun

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.django_db(transaction=True),
]

PLAYER = "Boomerbait"


@pytest.fixture
def server(cast, settings, tmp_path: Path, live_server, worker_id: str) -> Iterator[Server]:
    """A running server of Anna's with SourceMod, which Vera may see."""
    settings.LEFT4ME_ROOT = tmp_path
    settings.LEFT4ME_STEAM_OPENID_URL = f"{live_server.url}/simulated-steam"
    this_host.runtime.cache_clear()
    first = 39_900 + 10 * int(worker_id.removeprefix("gw") if worker_id.startswith("gw") else 0)
    host = make_host(last_seen_at=timezone.now(), first_port=first, last_port=first + 9)
    install_newest(versions=this_host.games(), watch=RecordedRun("game"), repair=False)
    overlay = make_overlay(name="SourceMod", owner=cast.owner, built_at=timezone.now())
    (paths.directory(overlay) / "left4dead2/addons/sourcemod/plugins").mkdir(parents=True)
    blueprint = make_blueprint(cast.owner, name="Versus", overlays=[overlay])
    server = make_server(cast.owner, name="Friday", host=host, port=first, blueprint=blueprint)
    share(server, cast.viewer)
    try:
        lifecycle.start(server, RecordedRun(server.resource))
        yield server
    finally:
        with contextlib.suppress(Exception):
            this_host.runtime().kill(server.pk)
        this_host.runtime.cache_clear()


def tell(server: Server, command: str) -> str:
    return str(rcon.execute("127.0.0.1", server.port, server.live_rcon_password, command, timeout=20))


def rights(server: Server) -> str:
    """What SourceMod says of the player."""
    application.apply(server.host.name, now=timezone.now())
    row = next(line for line in tell(server, "sm_who").splitlines() if PLAYER in line)
    return row.split()[-1]


def test_a_person_is_admin_of_a_running_game_until_the_share_ends(cast, server, sign_in, axe):
    server.refresh_from_db()
    tell(server, f"sim_join {PLAYER}")
    assert rights(server) == "none"

    page = sign_in(cast.viewer)
    page.goto("/accounts/")
    page.get_by_role("link", name="Confirm with Steam").click()
    page.get_by_role("link", name=PLAYER).click()
    page.get_by_text("Steam ID confirmed.").wait_for()
    axe(page)

    page = sign_in(cast.owner)
    page.goto(server.blueprint.get_absolute_url())
    page.locator("details.menu > summary[aria-label=More]").click()
    page.get_by_role("link", name="Admins in the game").click()
    page.get_by_label("Username or Steam ID").fill("vera")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("Running servers take it over within seconds").wait_for()
    axe(page)
    assert rights(server) == "root"

    page.goto(f"/servers/{server.pk}/admins")
    row = page.get_by_role("row", name="vera")
    expect(row).to_contain_text("Blueprint")
    expect(page.locator("#in-the-game")).to_contain_text("In effect")
    axe(page)

    page.goto(f"/servers/{server.pk}/settings")
    page.locator("#sharing").get_by_role("button", name="Remove").click()
    expect(page.locator("#sharing")).not_to_contain_text("vera")
    assert rights(server) == "none"
    page.goto(f"/servers/{server.pk}/admins")
    expect(page.get_by_role("row", name="vera")).to_contain_text("Not in effect")
