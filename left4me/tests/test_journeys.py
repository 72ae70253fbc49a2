"""Journeys of people through the pages, in a real browser, by clicks or by keys alone."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User
from left4me.jobs.models import Job
from servers.models import Server, StarterBlueprint
from servers.tests.factories import make_host, make_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "a long password of nobody"


@pytest.fixture
def newcomer(page) -> User:
    """Signs in at the form, on a host with the game installed."""
    make_host(game_version="20300102T000000-100")
    # The migration's templates are gone once an earlier test has emptied the tables.
    StarterBlueprint.objects.get_or_create(name="Vanilla co-op", defaults={"arguments": "+map c1m1_hotel"})
    user = User.objects.create_user("nick", PASSWORD)
    page.goto("/")
    sign_in_at_form(page)
    page.get_by_role("heading", name="Dashboard").wait_for()
    return user


def sign_in_at_form(page) -> None:
    page.get_by_label(re.compile("User ?name", re.IGNORECASE)).fill("nick")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_day_one_takes_two_clicks_to_a_starting_server_and_two_more_for_its_campaign(page, newcomer, axe) -> None:
    clicks = 0

    def click(name: str, role: str = "button") -> None:
        nonlocal clicks
        page.get_by_role(role, name=name).click()
        clicks += 1

    axe(page)
    click("New server", "link")
    click("First map")
    click("Dark Carnival: The Highway")
    click("Create and start")
    page.wait_for_url(re.compile(r"/servers/\d+$"))
    page.locator('[data-state="starting"]').first.wait_for()
    assert clicks <= 5
    assert "c2m1_highway" in Server.objects.get().blueprint.arguments
    page.goto("/")
    click("Create join page")
    page.get_by_role("link", name=re.compile("Open|Look at it")).wait_for()
    assert "/join/" in page.content()


def test_what_is_typed_outlives_a_session_that_ends_and_is_forgotten_when_saved(page, newcomer) -> None:
    page.goto("/servers/new")
    page.get_by_label("Name").fill("Friday night")
    page.get_by_text("server.cfg, port and other options").click()
    page.get_by_label("More lines for server.cfg").fill("sv_alltalk 1\n" + "x" * 600)
    page.get_by_role("button", name="Create and start").click()
    page.locator("#id_config_error").wait_for()
    # Refused: the server shows what was typed.
    assert page.get_by_label("Name").input_value() == "Friday night"
    page.get_by_label("More lines for server.cfg").fill("sv_alltalk 1")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Create and start").click()
    sign_in_at_form(page)
    expect(page.get_by_label("Name")).to_have_value("Friday night")
    expect(page.get_by_label("More lines for server.cfg")).to_have_value("sv_alltalk 1")
    page.get_by_role("button", name="Create and start").click()
    page.wait_for_url(re.compile(r"/servers/\d+$"))
    page.goto("/servers/new")
    expect(page.get_by_label("Name")).not_to_have_value("Friday night")


def test_going_away_by_accident_keeps_the_form_and_passwords_are_never_stored(page, newcomer) -> None:
    page.goto("/blueprints/new")
    page.get_by_label("Description").fill("typed")
    page.goto("/servers")
    page.goto("/blueprints/new")
    expect(page.get_by_label("Description")).to_have_value("typed")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_label("Description")).to_have_value("")
    page.goto("/accounts/password/")
    page.locator("input[type=password]").first.fill(PASSWORD)
    page.goto("/servers")
    assert PASSWORD not in page.evaluate("JSON.stringify(sessionStorage)")


def test_cfg_lines_are_completed_and_checked_while_they_are_typed(page, newcomer, axe) -> None:
    page.goto("/blueprints/new")
    text = page.get_by_label("server.cfg")
    text.click()
    page.keyboard.type("sv_pure 2\nsv_allt")
    page.get_by_role("option", name=re.compile("sv_alltalk")).wait_for()
    axe(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("1\nsv_altalk 1")
    page.get_by_text(re.compile("Line 3.*sv_alltalk")).wait_for()
    assert text.input_value() == "sv_pure 2\nsv_alltalk 1\nsv_altalk 1"
    assert page.locator(".editor-lines").last.inner_text().split() == ["1", "2", "3"]


def test_everything_is_reached_by_keys_alone(cast, sign_in, axe) -> None:
    server = make_server(cast.owner, name="Friday", host=make_host(last_seen_at=timezone.now()))
    page = sign_in(cast.owner)
    page.goto("/")
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/servers")
    page.keyboard.press("/")
    page.keyboard.type("g s ?")
    assert page.locator("#q").input_value() == "g s ?"
    page.keyboard.press("Control+k")
    page.get_by_role("option", name="Dashboard").wait_for()
    page.keyboard.type("start frid")
    page.get_by_role("option", name="Start: Friday").wait_for()
    axe(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/servers/{server.pk}")
    assert Job.objects.get().operation == "start"
    page.locator("h1").wait_for()
    page.keyboard.press("?")
    keys = page.locator("#keys")
    expect(keys.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    axe(page)
    keys.get_by_label("Use single keys").press("Space")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(keys).not_to_be_visible()


def test_forty_servers_are_filtered_while_typing_and_started_together(cast, sign_in, axe) -> None:
    host = make_host(last_seen_at=timezone.now(), last_port=27100)
    for number in range(40):
        make_server(cast.owner, name=f"Server {number:02}", host=host, tags=",night," if number < 3 else "")
    page = sign_in(cast.owner)
    page.goto("/servers")
    page.get_by_label("Search", exact=True).fill("server 1")
    expect(page.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Search", exact=True).fill("")
    page.get_by_label("Tag").select_option("night")
    expect(page.locator("tbody tr")).to_have_count(3)
    assert page.url.endswith("?tag=night")
    start = page.locator("#many").get_by_role("button", name="Start", exact=True)
    expect(start).not_to_be_visible()
    page.get_by_label("Select all").check()
    # A refresh of the table leaves the ticks alone.
    with page.expect_response(re.compile("tag=night")):
        page.evaluate("document.body.dispatchEvent(new Event('servers-changed'))")
    page.get_by_label("Select Server 01").uncheck()
    axe(page)
    start.click()
    expect(page.locator("#outcomes li")).to_have_count(2)
    assert sorted(Job.objects.values_list("resource", flat=True)) == sorted(
        server.resource for server in Server.objects.filter(name__in=["Server 00", "Server 02"])
    )
    page.set_viewport_size({"width": 390, "height": 844})
    assert max(page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.offsetHeight)")) < 100
