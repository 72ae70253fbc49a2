"""A status page in a real browser: made, turned on, opened without an account, embedded, turned off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from left4me.status_pages.models import StatusPage
from left4me.status_pages.tests.factories import make_page
from livestate.models import Snapshot
from livestate.tests.factories import make_session, make_snapshot
from servers.models import Server
from servers.tests.factories import make_host, make_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MINUTE = timedelta(minutes=1)
# Milliseconds of the page's clock: it asks every 10 s.
PERIOD = 11_000


def played(owner: Any, name: str, game_map: str = "c2m3_coaster", *, players: int = 3) -> Server:
    now = timezone.now()
    host = make_host(last_seen_at=now + 60 * MINUTE, address="play.example.org")
    server = make_server(owner, host=host, name=name, actual_state="running", started_at=now - 90 * MINUTE)
    make_snapshot(server, now - 50 * MINUTE, now + 60 * MINUTE, players=players, max_players=8, map=game_map)
    for account in range(players):
        make_session(
            server, server.pk * 100 + account, now - (account + 7) * MINUTE, name_at_join=f"Rochelle {account}"
        )
    return server


def test_a_page_from_its_making_to_its_end(cast: Any, sign_in: Any, axe: Any, browser: Any, live_server: Any) -> None:
    played(cast.owner, "Friday night versus")
    mine = sign_in(cast.owner)
    mine.goto("/status-pages")
    mine.get_by_role("link", name="New status page").first.click()
    mine.get_by_label("Title").fill("Our servers")
    mine.get_by_label("Friday night versus").check()
    mine.get_by_label("Show the names of players").check()
    mine.get_by_role("button", name="Create status page").click()
    mine.get_by_text("Status page created.").wait_for()
    axe(mine)
    mine.get_by_role("button", name="Turn on").click()
    mine.get_by_text("Status page turned on.").wait_for()

    visitor = browser.new_context(base_url=live_server.url, reduced_motion="reduce").new_page()
    visitor.clock.install()
    visitor.goto(StatusPage.objects.get().public_path)
    visitor.get_by_role("heading", name="Friday night versus").wait_for()
    visitor.get_by_text("Rochelle 2").wait_for()
    assert visitor.get_by_role("link", name="Join").get_attribute("href") == "steam://connect/play.example.org:27015"
    axe(visitor)

    Snapshot.objects.update(map="c1m1_hotel")
    cache.clear()
    visitor.clock.run_for(PERIOD)
    visitor.get_by_text("Dead Center · The Hotel").wait_for()

    mine.get_by_role("button", name="Turn off").click()
    mine.get_by_text("Status page turned off.").wait_for()
    visitor.clock.run_for(PERIOD)
    visitor.get_by_role("heading", name="This status page is turned off").wait_for()
    visitor.context.close()


def test_a_site_that_was_chosen_embeds_it_and_no_other(
    cast: Any, page: Any, live_server: Any, complaints: Any
) -> None:
    make_page(cast.owner, played(cast.owner, "Friday"), slug="friday", embed_origins=["https://clan.example.org"])
    for words in ("frame-ancestors", "ERR_BLOCKED_BY_RESPONSE", "Mixed Content", "Blocked autofocusing"):
        complaints.expect(words)
    frame = f'<!doctype html><iframe src="{live_server.url}/status/friday?embed=1" width="360" height="600"></iframe>'
    page.route("**/*.example.org/**", lambda route: route.fulfill(body=frame, content_type="text/html"))
    page.goto("https://clan.example.org/")
    page.frame_locator("iframe").get_by_role("heading", name="Friday", exact=True).wait_for()
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        page.goto("https://evil.example.org/")
