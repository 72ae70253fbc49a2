"""From nothing to a running server and its live log, through pages alone: the whole application with a real worker."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from left4me.testing.whole import Whole

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.django_db(transaction=True),
]
PASSWORD = "correct horse battery"
SOON = 60_000


def _sign_in(page: Page, application: Whole) -> None:
    application.manage("create_user", "anna", "--admin", "--password-stdin", said=f"{PASSWORD}\n")
    page.goto(f"{application.url}/accounts/login/")
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".user-menu-name")).to_have_text("anna")


def _install_the_game(page: Page, application: Whole) -> None:
    page.goto(f"{application.url}/hosts")
    page.get_by_role("link", name="local", exact=True).click()
    page.get_by_role("button", name="Install", exact=True).click()
    expect(page.locator('#host-state [data-state="current"]')).to_be_visible(timeout=SOON)


def _make_a_server(page: Page, application: Whole) -> None:
    page.goto(f"{application.url}/blueprints/new")
    page.get_by_label("Name", exact=True).fill("Co-op")
    page.get_by_role("button", name=re.compile("Save|Make")).click()
    expect(page.get_by_role("heading", name="Co-op")).to_be_visible()
    page.goto(f"{application.url}/servers/new")
    page.get_by_label("Name", exact=True).fill("Friday")
    page.get_by_label("Blueprint").select_option(label="Co-op")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="Friday")).to_be_visible()


def test_a_server_is_started_watched_and_stopped_from_its_page(page: Page, whole: Callable[[], Whole]):
    application = whole()
    _sign_in(page, application)
    _install_the_game(page, application)
    _make_a_server(page, application)

    state, log = page.locator("#server-state"), page.locator("#server-log .log").first
    expect(page.locator("[data-log-state]")).to_have_text("live", timeout=SOON)
    state.get_by_role("button", name="Start", exact=True).click()
    expect(state.locator('.badge[data-state="running"]')).to_be_visible(timeout=SOON)
    expect(log).to_contain_text("Started map", timeout=SOON)
    expect(page.locator("#server-resources")).to_contain_text("MB", timeout=SOON)
    expect(page.locator("#server-history")).to_contain_text("running", timeout=SOON)

    command = page.get_by_label("Command")
    command.fill("say the tank is coming")
    command.press("Enter")
    expect(log).to_contain_text("the tank is coming", timeout=SOON)

    page.get_by_role("searchbox", name="Search the stored log").fill("TANK IS")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#log-matches .log-line").last).to_contain_text("the tank is coming", timeout=SOON)
    page.get_by_text("Files that the game writes itself").click()
    expect(page.locator("[data-files]")).to_contain_text(re.compile("has written none|.log"), timeout=SOON)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert "the tank is coming" in download.value.path().read_text()

    state.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Yes").click()
    expect(state.locator('.badge[data-state="stopped"]')).to_be_visible(timeout=SOON)
