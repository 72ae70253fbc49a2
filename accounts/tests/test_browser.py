"""The door, as people meet it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from accounts.models import User

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


@pytest.fixture
def anna(cast):
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    return cast.owner


def enter(page, *, name="anna", password=PASSWORD):
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_signing_in_leads_to_where_one_wanted_to_go(page, anna):
    page.goto("/?from=link")
    expect(page).to_have_url(re.compile("/accounts/login"))
    enter(page)
    expect(page).to_have_url(re.compile(r"/\?from=link$"))
    expect(page.locator(".user-menu-name")).to_have_text("anna")


def test_a_wrong_password_is_said_without_saying_which_part_was_wrong(page, anna):
    page.goto("/accounts/login/")
    enter(page, password="something else")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Username")).to_have_value("anna")


def test_signing_out_ends_the_session(page, anna, sign_in):
    sign_in(anna)
    page.goto("/")
    page.locator(".user-menu > summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/accounts/login"))
    page.goto("/")
    expect(page).to_have_url(re.compile("/accounts/login"))


def test_too_many_wrong_passwords_get_a_pause(page, anna, complaints):
    complaints.expect("429")
    for _attempt in range(40):
        page.goto("/accounts/login/")
        enter(page, password="something else")
        if page.get_by_text("Too many attempts").is_visible():
            break
    expect(page.get_by_role("heading", level=1)).to_have_text("Too many attempts")


def test_changing_the_password_ends_other_sessions_but_not_this_one(page, anna, browser, live_server):
    page.goto("/accounts/login/")
    enter(page)
    other = browser.new_context(base_url=live_server.url).new_page()
    other.goto("/accounts/login/")
    enter(other)
    expect(other.locator(".user-menu-name")).to_have_text("anna")

    page.goto("/accounts/password/")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("another horse battery")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Password changed.")).to_be_visible()

    other.goto("/")
    expect(other).to_have_url(re.compile("/accounts/login"))
    enter(other, password="another horse battery")
    expect(other.locator(".user-menu-name")).to_have_text("anna")
    other.context.close()


def test_everything_at_the_door_works_without_scripts(browser, live_server, anna, redis_client):
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False, color_scheme="light")
    page = context.new_page()
    page.goto("/accounts/login/")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    enter(page)
    page.locator(".user-menu > summary").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/accounts/login"))
    context.close()


@pytest.mark.browser_context_args(timezone_id="Asia/Kolkata")
def test_times_are_in_the_zone_of_the_browser_from_the_first_page_on(sign_in, anna):
    User.objects.update(created_at=datetime(2026, 7, 1, 20, 0, tzinfo=UTC))
    page = sign_in(anna)
    page.goto("/accounts/")
    member_since = page.locator("time[datetime^='2026-07-01']")
    assert "01:30:00" in member_since.get_attribute("title"), (
        "the script wrote it: the server did not know the zone yet"
    )
    page.reload()
    assert member_since.get_attribute("title") == "2 Jul 2026, 01:30:00 IST"
    expect(member_since).to_have_text("2 Jul 2026")
