"""Journeys of people through the pages, in a real browser, by clicks or by keys alone."""

from __future__ import annotations

import re

import pytest

from accounts.models import User
from servers.models import Server
from servers.tests.factories import make_host

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "a long password of nobody"


@pytest.fixture
def newcomer(page) -> User:
    """Signs in at the form, on a host with the game installed."""
    make_host(game_version="20300102T000000-100")
    user = User.objects.create_user("nick", PASSWORD)
    page.goto("/")
    page.get_by_label(re.compile("User ?name", re.IGNORECASE)).fill(user.username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    return user


def test_day_one_takes_two_clicks_to_a_starting_server_and_two_more_for_its_campaign(page, newcomer, axe) -> None:
    clicks = 0

    def click(name: str, role: str = "button") -> None:
        nonlocal clicks
        page.get_by_role(role, name=name).click()
        clicks += 1

    axe(page)
    click("New server", "link")
    # Opening the list and choosing are two clicks.
    page.get_by_label("First campaign").select_option(label="Dark Carnival")
    clicks += 2
    click("Create and start")
    page.wait_for_url(re.compile(r"/servers/\d+$"))
    page.locator('[data-state="starting"]').first.wait_for()
    assert clicks <= 5
    assert "c2m1_highway" in Server.objects.get().blueprint.arguments
    page.goto("/")
    click("Create join page")
    page.get_by_role("link", name=re.compile("Open|Look at it")).wait_for()
    assert "/join/" in page.content()
