"""A journey through a match in a running game: planned, loaded when all are ready, locked, played and ended."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from left4me.core.files.tree import Tree
from left4me.testing.recorded_run import RecordedRun
from livestate import sweep
from livestate.matches import watch
from livestate.matches.models import Match
from livestate.matches.tests import factories
from overlays import match_modes, paths
from overlays.tests.factories import make_overlay
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.lifecycle import lifecycle
from servers.models import Server
from servers.simulated.releases import install_newest
from servers.tests.factories import make_blueprint, make_host, make_server
from servers.tests.near_host import answer_here

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.django_db(transaction=True),
]
SECONDS = 60.0


@pytest.fixture
def server(cast, settings, tmp_path: Path, monkeypatch, worker_id: str) -> Iterator[Server]:
    """A running server of Anna's with a competitive pack, and two players on it."""
    settings.LEFT4ME_ROOT = tmp_path
    answer_here(monkeypatch)
    monkeypatch.setattr("livestate.matches.actions.hosts.send", lambda *_args, **_options: True)
    this_host.runtime.cache_clear()
    # Below the ports that the kernel gives to clients, of which one may be taken at any moment.
    first = 29_800 + 10 * int(worker_id.removeprefix("gw") if worker_id.startswith("gw") else 0)
    host = make_host(last_seen_at=timezone.now(), first_port=first, last_port=first + 9)
    install_newest(versions=this_host.games(), watch=RecordedRun("game"), repair=False)
    overlay = make_overlay(name="Pack", owner=cast.owner, built_at=timezone.now())
    tree = paths.directory(overlay)
    laid = factories.lay(tree)
    with Tree(tree) as opened:
        match_modes.record(overlay, laid, tree=opened)
    blueprint = make_blueprint(cast.owner, name="Versus", overlays=[overlay], config="sim_map_load_seconds 0.2")
    server = make_server(cast.owner, name="Friday", host=host, port=first, blueprint=blueprint)
    try:
        lifecycle.start(server, RecordedRun(server.resource))
        server.refresh_from_db()
        ask(server, "sim_players 2")
        yield server
    finally:
        with contextlib.suppress(Exception):
            this_host.runtime().kill(server.pk)
        this_host.runtime.cache_clear()


def ask(server: Server, command: str) -> str:
    return rcon.execute("127.0.0.1", server.port, server.live_rcon_password, command, timeout=20)


def turn_until(condition: Callable[[Match], bool]) -> Match:
    """Poll the game and attend to the match, as the worker does every five seconds."""
    end = time.monotonic() + SECONDS
    while True:
        sweep.sweep("local")
        watch.attend("local", now=timezone.now())
        match = Match.objects.get()
        if condition(match):
            return match
        assert time.monotonic() < end, (match.state, match.note)
        time.sleep(0.3)


def test_a_match_is_loaded_when_all_are_ready_and_nothing_interrupts_it(cast, server, sign_in, axe, picture):
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}/matches")
    page.get_by_label("Mode").select_option("Arena 1.0")
    page.locator("#id_players").fill("2")
    axe(page)
    picture("matches", "1-plan")
    page.get_by_role("button", name="Plan match").click()
    page.wait_for_url(re.compile(r"/matches/\d+$"))
    turn_until(lambda match: bool(match.log_position))
    page.reload()
    online = page.locator("#match")
    expect(online.get_by_text("Not ready")).to_have_count(2)
    axe(page)
    picture("matches", "2-waiting")

    ask(server, "sim_ready")
    turn_until(lambda match: match.state == "live" and match.phase == "ready_up" and match.tells_score is True)
    page.reload()
    expect(online).to_contain_text("Players get ready")
    picture("matches", "3-live")
    page.goto(f"/servers/{server.pk}")
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_text("would be interrupted")).to_be_visible()
    expect(page.get_by_role("button", name="Interrupt the match")).to_be_visible()
    picture("matches", "4-refused")

    ask(server, "sim_round 310 295")
    match = turn_until(lambda match: match.score == (310, 295))
    page.goto(match.get_absolute_url())
    page.get_by_role("button", name="End match").click()
    page.get_by_role("dialog").get_by_role("button", name="End match").click()
    expect(page.get_by_text("The match is being ended.")).to_be_visible()
    turn_until(lambda match: match.state == "ended")
    page.reload()
    expect(online).to_contain_text("310 : 295")
    expect(online).to_contain_text("Ended by hand")
    axe(page)
    picture("matches", "5-result")
