"""Panels, badges and the console in a real browser."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from left4me.core.redis import hosts
from livestate import tasks
from livestate.models import Order, Snapshot
from livestate.tests.factories import make_profile, make_session, make_snapshot
from servers.models import Server, ServerShare
from servers.tests.factories import make_server, share

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Milliseconds of the page's clock, which tests move on: the panel is refreshed every 5 s.
PERIOD = 6_000
# Longer than that, for a loaded machine.
ROUND = 20_000


def ago(**parts: float):
    return timezone.now() - timedelta(**parts)


@pytest.fixture(autouse=True)
def handed_over(monkeypatch) -> list[int]:
    """The orders sent to a host; replaces the broker."""
    handed: list[int] = []

    def send_task(name: str, *, args: list[int], **options: object) -> None:
        if name == tasks.carry_out.name:
            handed.append(args[0])

    monkeypatch.setattr(hosts.current_app, "send_task", send_task, raising=False)
    return handed


@pytest.fixture
def server(cast):
    server = make_server(cast.owner, actual_state=Server.State.RUNNING, started_at=ago(hours=2))
    make_snapshot(server, ago(hours=20), ago(hours=9), players=3, map="c1m1_hotel")
    make_snapshot(server, ago(hours=2), timezone.now() + timedelta(minutes=5), players=2)
    make_session(server, 101, ago(minutes=40))
    make_session(server, 202, ago(minutes=10), name_at_join="<b>Bill</b>")
    make_session(server, 303, ago(hours=3), ago(hours=2), name_at_join="Louis")
    make_profile(101, ago(hours=1), persona_name="Zoey")
    return server


def test_players_come_and_go_before_the_eyes_without_a_jump(cast, server, sign_in):
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto(reverse("servers:detail", args=[server.pk]))
    players = page.locator("#live-players")
    expect(players).to_contain_text("Zoey")
    expect(players).to_contain_text("<b>Bill</b>")
    page.get_by_label("Actions for Zoey").click()
    scrolled = page.evaluate("scrollTo(0, 60), scrollY")
    assert scrolled > 0
    make_session(server, 404, timezone.now(), name_at_join="Francis")
    page.clock.run_for(PERIOD)
    expect(players).to_contain_text("Francis", timeout=ROUND)
    assert page.evaluate("scrollY") == scrolled
    assert page.get_by_role("button", name="Kick").first.is_visible()


def test_an_unchanged_panel_does_not_move(cast, server, sign_in):
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto(reverse("livestate:panel", args=[server.pk]))
    page.evaluate(
        """() => { window.shifts = 0; new PerformanceObserver(list => {
             for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifts += each.value;
           }).observe({type: 'layout-shift', buffered: false}) }"""
    )
    for _ in range(2):
        with page.expect_response("**/live-state", timeout=ROUND):
            page.clock.run_for(PERIOD)
    assert page.evaluate("window.shifts") < 0.001


def hide(page, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
             Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
             document.dispatchEvent(new Event('visibilitychange'));
           }""",
        hidden,
    )


def test_a_hidden_tab_asks_nothing_and_catches_up_when_it_shows_again(cast, server, sign_in):
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto(reverse("livestate:panel", args=[server.pk]))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "live-state" in request.url else None)
    hide(page, True)
    page.clock.run_for(11_000)
    assert asked == []
    with page.expect_response("**/live-state", timeout=4_000):
        hide(page, False)


def test_a_lost_connection_is_said_and_found_again(cast, server, sign_in, complaints):
    complaints.expect("ERR_INTERNET_DISCONNECTED")
    complaints.expect("htmx:sendError")
    complaints.expect("htmx:afterRequest")
    page = sign_in(cast.owner)
    page.goto(reverse("livestate:panel", args=[server.pk]))
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible(timeout=ROUND)
    expect(page.locator("#live-players")).to_contain_text("Zoey")
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden(timeout=ROUND)


def test_who_loses_the_right_to_look_sees_nothing_more(cast, server, sign_in, complaints):
    complaints.expect("404")
    share(server, cast.viewer)
    page = sign_in(cast.viewer)
    page.clock.install()
    page.goto(reverse("livestate:panel", args=[server.pk]))
    expect(page.locator("#live-players")).to_contain_text("Zoey")
    ServerShare.objects.all().delete()
    page.clock.run_for(PERIOD)
    expect(page.locator("#live-players")).to_have_count(0, timeout=ROUND)
    expect(page.locator("#main")).not_to_contain_text("Zoey")


def test_a_list_shows_badges_that_follow(cast, server, sign_in):
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto(reverse("servers:list"))
    badge = page.locator(f"#live-{server.pk}")
    expect(badge).to_contain_text("2/8 · c2m3_coaster", timeout=ROUND)
    Snapshot.objects.filter(players=2).update(players=4)
    page.clock.run_for(PERIOD)
    expect(badge).to_contain_text("4/8", timeout=ROUND)
    # The list itself is refreshed as well, and must not put its placeholder back.
    with page.expect_response(lambda response: response.url.endswith("/servers"), timeout=ROUND):
        page.clock.run_for(2 * PERIOD)
    assert "4/8" in badge.inner_text()


def test_a_command_is_typed_sent_and_answered(cast, server, sign_in, handed_over):
    page = sign_in(cast.owner)
    page.goto(reverse("livestate:console", args=[server.pk]))
    field = page.get_by_label("Command")
    field.press_sequentially("z_diffi")
    expect(page.locator("#console-names option").first).to_have_attribute("value", "z_difficulty")
    field.fill("stats")
    field.press("Enter")
    entry = page.locator(".order").first
    expect(entry).to_contain_text("stats")
    expect(entry).to_contain_text("Queued")
    expect(field).to_have_value("")
    Order.objects.filter(pk=handed_over[0]).update(state="done", output="CPU 12.5", finished_at=timezone.now())
    expect(entry).to_contain_text("CPU 12.5", timeout=ROUND)
    field.press("ArrowUp")
    expect(field).to_have_value("stats")


def test_a_refused_command_is_explained_and_stays_in_the_field(cast, server, sign_in, complaints):
    complaints.expect("409")
    page = sign_in(cast.owner)
    page.goto(reverse("livestate:console", args=[server.pk]))
    field = page.get_by_label("Command")
    field.fill("quit")
    field.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Use the server's buttons")
    expect(field).to_have_value("quit")


def test_a_player_is_kicked_after_a_question_and_the_outcome_shows(cast, server, sign_in, handed_over):
    page = sign_in(cast.owner)
    page.goto(reverse("servers:detail", args=[server.pk]))
    page.get_by_label("Actions for Zoey").click()
    page.locator("#live-players").get_by_role("button", name="Kick").first.click()
    page.locator("#confirm").get_by_role("button", name="Kick").click()
    order = page.locator("#live-order")
    expect(order).to_contain_text("Queued")
    Order.objects.filter(pk=handed_over[0]).update(
        state="uncertain", note="The player is still on the server.", finished_at=timezone.now()
    )
    expect(order).to_contain_text("still on the server", timeout=ROUND)
