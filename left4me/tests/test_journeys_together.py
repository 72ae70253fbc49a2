"""Journeys of several people, by clicks: a friend who is invited and comes by phone, and the day of an admin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User
from left4me.jobs.models import Job
from left4me.tests.world import furnish
from servers.models import Server, ServerShare, StarterBlueprint
from servers.tests.factories import make_host

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

PASSWORD = "a long password of nobody"


@pytest.fixture
def phone(browser, live_server, complaints) -> Iterator:
    """Another person's phone, which knows nothing of the first browser."""
    context = browser.new_context(
        base_url=live_server.url,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        reduced_motion="reduce",
    )
    page = context.new_page()
    complaints.watch(page)
    page.set_default_timeout(20_000)
    yield page
    context.close()


def test_a_friend_is_invited_signs_up_on_a_phone_makes_a_server_and_shares_it(
    cast, sign_in, phone, axe, picture, settings
):
    settings.LEFT4ME_SIGNUP = "invite"
    make_host(game_version="20300102T000000-100", last_seen_at=timezone.now() + timedelta(hours=1))
    StarterBlueprint.objects.get_or_create(name="Vanilla co-op", defaults={"arguments": "+map c1m1_hotel"})
    page = sign_in(cast.admin)
    page.goto("/users")
    page.get_by_role("link", name="Invitations").click()
    page.get_by_label("Note").fill("Zoey")
    page.get_by_role("button", name="Create link").click()
    link = page.get_by_role("region", name="New invitation").locator("code").inner_text()
    picture("friend", "1-invited")

    phone.goto(link)
    phone.get_by_label("Username").fill("zoey")
    phone.get_by_label("Password", exact=True).fill(PASSWORD)
    picture("friend", "2-sign-up", of=phone)
    phone.get_by_role("button", name="Create account").tap()
    phone.get_by_role("heading", name="Dashboard").wait_for()
    axe(phone)
    picture("friend", "3-dashboard", of=phone)
    phone.get_by_role("link", name="New server").first.tap()
    phone.get_by_label("Name").fill("Zoey's evening")
    picture("friend", "4-new-server", of=phone)
    phone.get_by_role("button", name="Create and start").tap()
    phone.wait_for_url(re.compile(r"/servers/\d+$"))
    phone.locator('[data-state="starting"]').first.wait_for()
    axe(phone)
    picture("friend", "5-starting", of=phone)

    phone.get_by_role("navigation", name="Server", exact=True).get_by_role("link", name="Settings").tap()
    shared = phone.get_by_role("region", name="Shared with")
    shared.get_by_label("Username").fill("anna")
    shared.get_by_label("Role").select_option("operator")
    shared.get_by_role("button", name="Share").tap()
    expect(phone.get_by_role("region", name="Shared with")).to_contain_text("anna")
    axe(phone)
    picture("friend", "6-shared", of=phone)
    share = ServerShare.objects.get()
    assert (share.server.owner.username, share.user, share.role) == ("zoey", cast.owner, "operator")

    phone.get_by_role("link", name="Manage link").tap()
    phone.get_by_role("button", name="Create link").tap()
    phone.get_by_role("link", name="Open").tap()
    phone.get_by_role("link", name="Join with Steam").wait_for()
    axe(phone)
    picture("friend", "7-join-page", of=phone)


def test_an_admin_s_day(cast, sign_in, axe, picture, complaints):
    # The stream of a job's log is another process.
    complaints.expect("status of 404")
    furnish(cast.admin, cast.viewer, timezone.now() + timedelta(hours=1))
    Job.objects.filter(state__in=("running", "queued")).delete()
    Server.objects.filter(name="A server with a name as long as the form allows it to be").delete()
    page = sign_in(cast.admin)
    places = page.get_by_role("navigation", name="Main")

    def choose(name: str) -> None:
        places.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", name=name, level=1).wait_for()
        axe(page)

    page.goto("/")
    choose("Hosts")
    page.get_by_role("link", name="local", exact=True).click()
    picture("admin", "1-host")
    page.get_by_role("button", name="Update", exact=True).click()
    expect(page.get_by_role("region", name="Game")).to_contain_text("Queued")
    picture("admin", "2-update")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("region", name="Recent activity")).to_contain_text("Roll back game")
    picture("admin", "3-roll-back")
    assert Job.objects.filter(operation="rollback_game").count() == 1

    page.locator(".user-menu > summary").click()
    page.locator(".user-menu").get_by_role("link", name="Alerts").click()
    page.get_by_label("Name").fill("Our group")
    page.get_by_label("Kind").select_option("webhook")
    page.get_by_label(re.compile("Address")).fill("https://hooks.example.org/services/abc")
    page.get_by_role("button", name="Add alert channel").click()
    expect(page.get_by_role("link", name="Our group")).to_be_visible()
    picture("admin", "4-alerts")

    choose("Users")
    page.get_by_role("link", name="Add user").click()
    page.get_by_label("Username").fill("rochelle")
    page.get_by_role("button", name="Add").click()
    page.get_by_role("link", name="Done").click()
    page.get_by_label("Actions for rochelle").click()
    page.get_by_role("button", name="Make admin").click()
    expect(page.get_by_role("row", name="rochelle")).to_contain_text("Admin")
    assert User.objects.get(username="rochelle").is_admin
    picture("admin", "5-users")

    choose("Audit log")
    expect(page.get_by_role("main")).to_contain_text("made the user rochelle an admin")
    expect(page.get_by_role("main")).to_contain_text("rolled back the game")
    picture("admin", "6-audit")
