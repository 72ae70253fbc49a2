"""Journeys by clicks around players: a ban on a running game, bans of others, notes, and forgetting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone
from playwright.sync_api import expect

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from left4me.core.steam_ids import profile_url
from livestate.bans import application
from livestate.bans.models import Ban, Subscription
from livestate.bans.tests.factories import make_ban, make_list
from livestate.models import PlayerNote, PlayerSession
from livestate.status import parse_status
from livestate.tests.factories import make_profile, make_session
from servers.models import Server
from servers.simulated import harness
from servers.tests.factories import make_host, make_server, share

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.timeout(300),
]


@pytest.fixture(autouse=True)
def _without_streams(complaints):
    # Streams are an application of their own, which the live server of the tests does not serve.
    complaints.expect("status of 404")


@pytest.fixture
def game(tmp_path) -> Iterator[harness.Sim]:
    with harness.running(tmp_path) as sim:
        sim.rcon("sim_speed 1;sim_players 0;sv_lan 0;sim_join Troll")
        yield sim


@pytest.fixture
def server(cast, game) -> Server:
    """Anna's server, on which Troll plays."""
    now = timezone.now()
    server = make_server(
        cast.owner,
        name="Friday",
        host=make_host(last_seen_at=now + timedelta(hours=1)),
        port=game.port,
        rcon_password=game.password,
        actual_state="running",
        desired_state="running",
        actual_state_at=now + timedelta(hours=1),
        started_at=now,
    )
    (troll,) = parse_status(game.rcon("status")).people
    account = int(troll.steamid64) - STEAM_ID_64_BASE
    make_session(server, account, now - timedelta(minutes=5), name_at_join="Troll")
    return server


@pytest.fixture
def apply() -> Callable[[], None]:
    """What the host does within a moment of every change."""

    def run() -> None:
        application.apply_due("local", now=timezone.now())
        connections.close_all()

    def in_a_thread() -> None:
        # Playwright's event loop runs in the test's own thread.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(run).result()

    return in_a_thread


def test_a_player_is_banned_from_a_running_game_and_let_in_again(
    cast, sign_in, axe, picture, game, server, apply
) -> None:
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}")
    page.get_by_role("navigation", name="Server", exact=True).get_by_role("link", name="Players").click()
    page.get_by_label("Actions for Troll").click()
    axe(page)
    picture("bans", "1-menu")
    page.get_by_role("link", name="Ban…").click()
    page.get_by_label("Length").select_option("1 week")
    page.get_by_label("Reason").fill("Shoots at the team")
    page.get_by_label("Applies to").select_option("Friday")
    axe(page)
    picture("bans", "2-ban")
    page.get_by_role("button", name="Ban").click()
    bans = page.locator("#server-bans")
    expect(bans).to_contain_text("Being applied")
    picture("bans", "3-being-applied")
    apply()
    page.reload()
    expect(bans).to_contain_text("In effect")
    axe(page)
    picture("bans", "4-in-effect")
    assert parse_status(game.rcon("status")).people == ()
    assert "refused" in game.rcon("sim_join Troll")

    page.get_by_role("navigation", name="Main").get_by_role("link", name="Bans").click()
    row = page.get_by_role("row").filter(has_text="Troll")
    expect(row).to_contain_text("Shoots at the team")
    picture("bans", "5-listed")
    row.get_by_label("Actions for the ban of Troll").click()
    page.get_by_role("button", name="Lift ban").click()
    page.get_by_role("dialog").get_by_role("button", name="Lift ban").click()
    # The filter of the list that is left says "Lifted" too.
    expect(page.get_by_text("The ban of Troll is lifted.")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("Lifted")
    axe(page)
    picture("bans", "6-lifted")
    assert Ban.objects.get().state == Ban.State.LIFTED
    apply()
    assert "joined" in game.rcon("sim_join Troll")


def test_bans_of_another_server_are_pasted_and_those_of_others_are_subscribed_to(
    cast, sign_in, axe, picture, game, server, apply
) -> None:
    shared = make_list(cast.stranger, name="League bans", is_shared=True)
    make_ban(shared, 202, name="Wallhack")
    page = sign_in(cast.owner)
    page.goto("/bans")
    picture("bans", "7-empty")
    page.get_by_role("main").get_by_role("link", name="Import").first.click()
    page.get_by_label("Or paste it here").fill("banid 0 STEAM_1:1:50\nbanid 30 STEAM_1:0:77\nwho knows\n")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("heading", name="2 new bans").wait_for()
    axe(page)
    picture("bans", "8-preview")
    page.get_by_role("button", name="Add 2 bans").click()
    expect(page.get_by_role("main")).to_contain_text("2 bans")
    picture("bans", "9-imported")

    page.goto("/banlists")
    page.get_by_role("row").filter(has_text="League bans").get_by_text("Subscribe").click()
    axe(page)
    picture("bans", "10-subscribe")
    page.get_by_role("button", name="Friday").click()
    expect(page.get_by_role("row").filter(has_text="League bans")).to_contain_text("1 of your servers")
    assert Subscription.objects.get().server == server
    apply()
    page.goto(f"/servers/{server.pk}/players")
    expect(page.locator("#server-bans li").filter(has_text="Wallhack")).to_contain_text("In effect")
    axe(page)
    picture("bans", "11-of-the-server")
    page.goto(f"/banlists/{shared.pk}")
    axe(page)
    picture("bans", "12-subscribed-list")
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_text("It applies to none of your servers yet.").wait_for()
    apply()
    assert len(re.findall("STEAM_", game.rcon("listid"))) == 2


def test_a_player_is_found_noted_and_forgotten(cast, sign_in, axe, picture) -> None:
    server = make_server(cast.owner, name="Friday", host=make_host())
    share(server, cast.operator, role="operator")
    for account, name in enumerate(("Zoey", "Bill", "Francis"), 101):
        make_session(server, account, timezone.now() - timedelta(hours=account), timezone.now(), name_at_join=name)
        make_profile(account, timezone.now(), persona_name=name)
    page = sign_in(cast.operator)
    page.goto("/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Players").click()
    page.get_by_label("Search", exact=True).fill(profile_url(STEAM_ID_64_BASE + 102))
    expect(page.locator("tbody tr")).to_have_count(1)
    picture("players", "1-found")
    page.get_by_role("link", name="Bill").click()
    notes = page.get_by_role("region", name="Notes")
    notes.get_by_label("Note").fill("Was warned for his language.")
    notes.get_by_role("button", name="Add note").click()
    expect(notes).to_contain_text("Was warned for his language.")
    axe(page)
    picture("players", "2-noted")
    notes.get_by_label("Edit note").click()
    page.get_by_label("Note").fill("Was warned twice.")
    page.get_by_role("button", name="Save").click()
    expect(notes).to_contain_text("Was warned twice.")
    notes.get_by_label("Delete note").click()
    expect(notes).not_to_contain_text("Was warned")
    page.locator("#toasts, #messages").get_by_role("button", name="Undo").first.click()
    expect(notes).to_contain_text("Was warned twice.")
    page.goto(f"/servers/{server.pk}/players")
    expect(page.locator("#live-recent li").filter(has_text="Bill").get_by_label("Has notes")).to_be_visible()
    picture("players", "3-marked")

    page = sign_in(cast.admin)
    page.goto("/players?q=bill")
    page.get_by_role("link", name="Bill").click()
    page.get_by_label("More", exact=True).click()
    picture("players", "4-menu")
    page.get_by_role("link", name="Forget player…").click()
    expect(page.get_by_role("main")).to_contain_text("1 note")
    axe(page)
    picture("players", "5-forget")
    page.get_by_role("button", name="Forget player").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    page.get_by_role("heading", name="Players").wait_for()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert not PlayerNote.objects.exists() and PlayerSession.objects.count() == 2
