"""Journeys with a running game in a real sandbox: its admins, and a change that makes it crash."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from left4me.jobs.models import Job
from left4me.testing.jobs import drain
from left4me.testing.recorded_run import RecordedRun
from overlays import paths
from overlays.tests.factories import make_overlay
from servers.game_access import application
from servers.gamehost import rcon
from servers.hosts import reconcile, this_host
from servers.lifecycle import lifecycle, readiness
from servers.models import Server
from servers.simulated.releases import install_newest
from servers.tests.factories import make_blueprint, make_host, make_server, share

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
    # Below the ports that the kernel gives to clients, of which one may be taken at any moment.
    first = 29_900 + 10 * int(worker_id.removeprefix("gw") if worker_id.startswith("gw") else 0)
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


def crash(server: Server) -> None:
    """Crash the game, and observe the servers of the host, as the worker does, until that is known."""
    with contextlib.suppress(rcon.RconError):
        tell(Server.objects.get(pk=server.pk), "sim_crash")
    while not server.state_changes.filter(state__in=Server.ENDED_BADLY).exists():
        reconcile.refresh(
            server.host.name,
            runtime=this_host.runtime(),
            ready=readiness.ready,
            now=timezone.now(),
            rebooted=False,
        )


def tell(server: Server, command: str) -> str:
    return str(rcon.execute("127.0.0.1", server.port, server.live_rcon_password, command, timeout=20))


def rights(server: Server) -> str:
    """What SourceMod says of the player."""
    application.apply(server.host.name, now=timezone.now())
    row = next(line for line in tell(server, "sm_who").splitlines() if PLAYER in line)
    return row.split()[-1]


def test_a_person_is_admin_of_a_running_game_until_the_share_ends(cast, server, sign_in, axe, picture):
    server.refresh_from_db()
    tell(server, f"sim_join {PLAYER}")
    assert rights(server) == "none"

    page = sign_in(cast.viewer)
    page.goto("/accounts/")
    page.get_by_role("link", name="Confirm with Steam").click()
    page.get_by_role("link", name=PLAYER).click()
    page.get_by_text("Steam ID confirmed.").wait_for()
    axe(page)
    picture("game-admins", "1-confirmed")

    page = sign_in(cast.owner)
    page.goto(server.blueprint.get_absolute_url())
    page.locator("details.menu > summary[aria-label=More]").click()
    page.get_by_role("link", name="Admins in the game").click()
    page.get_by_label("Username or Steam ID").fill("vera")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("Running servers take it over within seconds").wait_for()
    axe(page)
    picture("game-admins", "2-listed")
    assert rights(server) == "root"

    page.get_by_role("link", name="Edit vera").click()
    page.get_by_label("Role").select_option("Chosen flags")
    page.get_by_label("c – Kick players").check()
    page.get_by_label("e – Unban players").check()
    page.get_by_label("Immunity").fill("20")
    axe(page)
    picture("game-admins", "3-edit")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Running servers take it over within seconds").wait_for()
    assert rights(server) == "ce"

    page.goto(f"/servers/{server.pk}/admins")
    row = page.get_by_role("row", name="vera")
    expect(row).to_contain_text("Blueprint")
    expect(page.locator("#in-the-game")).to_contain_text("In effect")
    axe(page)
    picture("game-admins", "4-in-effect")

    page.goto(f"/servers/{server.pk}/settings")
    page.locator("#sharing").get_by_role("button", name="Remove").click()
    expect(page.locator("#sharing")).not_to_contain_text("vera")
    assert rights(server) == "none"
    page.goto(f"/servers/{server.pk}/admins")
    expect(page.get_by_role("row", name="vera")).to_contain_text("Not in effect")


def test_a_change_that_crashes_the_game_is_found_and_undone(cast, server, sign_in, axe, picture, complaints):
    complaints.expect("status of 404")
    server = Server.objects.with_blueprint().get(pk=server.pk)
    # The game has run well for an hour.
    Server.objects.update(started_at=timezone.now() - timedelta(hours=1))
    server.refresh_from_db()
    lifecycle.stop(server, RecordedRun(server.resource))

    page = sign_in(cast.owner)
    page.goto(f"{server.blueprint.get_absolute_url()}/edit")
    page.get_by_label("server.cfg").fill("sv_alltalk 1")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{server.blueprint.get_absolute_url()}")
    lifecycle.start(Server.objects.with_blueprint().get(pk=server.pk), RecordedRun(server.resource))
    crash(server)

    page.goto(f"/servers/{server.pk}")
    main = page.get_by_role("main")
    expect(main).to_contain_text("ended with signal 11 (segmentation fault)")
    expect(main).to_contain_text("Segmentation fault (core dumped)")
    expect(main).to_contain_text("It last ran well")
    axe(page)
    picture("crash", "1-crashed")
    page.get_by_role("link", name="Show what changed").click()
    expect(main).to_contain_text("+ sv_alltalk 1")
    expect(main).to_contain_text("Version 2")
    axe(page)
    picture("crash", "2-what-changed")
    page.get_by_role("button", name=re.compile("tart without the last change")).click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Undo and")).click()
    expect(main).to_contain_text("The last change of the blueprint is undone, and the server starts.")
    picture("crash", "3-starts")
    assert Job.objects.get().operation == "restart"
    drain(host=server.host.name)
    page.goto(f"/servers/{server.pk}")
    expect(page.locator(".server-bar")).to_contain_text("Running")
    picture("crash", "4-runs-again")
