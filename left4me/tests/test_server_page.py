"""The page of a server in a real browser: driving it, a crash, a start that failed, the console."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from left4me.core.redis import hosts
from left4me.jobs.models import Job
from livestate.models import Order
from servers.models import Server, StateChange
from servers.tests.factories import make_host, make_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# A few polls of a page, on a loaded machine.
ROUND = 20_000


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr(hosts.current_app, "send_task", lambda *args, **options: None, raising=False)


@pytest.fixture
def server(cast):
    now = timezone.now()
    return make_server(
        cast.owner,
        host=make_host(last_seen_at=now + timedelta(minutes=5)),
        desired_state="running",
        actual_state="running",
        actual_state_at=now,
        started_at=now - timedelta(hours=2),
    )


def update(server, **fields):
    Server.objects.filter(pk=server.pk).update(**fields)


def test_the_bar_stays_through_all_tabs_and_offers_force_when_a_stop_is_slow(cast, server, sign_in):
    page = sign_in(cast.owner)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/servers/{server.pk}")
    tabs = page.get_by_role("navigation", name="Server", exact=True)
    for title in ("Console", "Players", "History", "Files", "Settings", "Overview"):
        tabs.get_by_role("link", name=title).click()
        expect(tabs.get_by_role("link", name=title)).to_have_attribute("aria-current", "page")
        expect(page.get_by_role("heading", level=1)).to_have_text(server.name)
        page.evaluate("scrollTo(0, 400)")
        expect(page.locator(".server-bar").get_by_role("button", name="Stop", exact=True)).to_be_in_viewport()
    assert page.get_by_role("button", name="Force stop").count() == 0
    page.locator(".server-bar").get_by_role("button", name="Stop", exact=True).click()
    page.locator("#confirm").get_by_role("button", name="Stop").click()
    expect(page.locator(".server-bar")).to_contain_text("Stopping")
    now = timezone.now()
    Job.objects.update(state="running", started_at=now, worker="w", lease_expires_at=now + timedelta(minutes=5))
    update(server, actual_state="stopping", actual_state_at=now)
    page.wait_for_timeout(2_500)
    assert page.get_by_role("button", name="Force stop").count() == 0
    update(server, actual_state_at=now - timedelta(seconds=10))
    expect(page.get_by_role("button", name="Force stop")).to_be_visible(timeout=ROUND)


def test_a_crash_counts_down_shows_its_last_lines_and_leaves_a_trace(cast, server, sign_in):
    now = timezone.now()
    StateChange.objects.create(
        server=server,
        at=now,
        state="crashed",
        detail="ended with signal 11",
        last_lines=["loading", "Segmentation fault"],
    )
    update(
        server, actual_state="crashed", last_error="ended with signal 11", starts_again_at=now + timedelta(minutes=9)
    )
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}")
    main = page.locator("#main")
    expect(main.locator(".message").first).to_contain_text("ended with signal 11")
    expect(main).not_to_contain_text("operation failed")
    crash = page.locator("#last-crash")
    expect(crash).to_contain_text("Segmentation fault")
    left = crash.locator("time[data-until]")
    first = left.inner_text()
    expect(left).not_to_have_text(first)
    assert left.inner_text() < first, "the time that is left becomes less"
    # It came back, and its uptime is that of the new process.
    update(server, actual_state="running", last_error="", starts_again_at=None, started_at=timezone.now())
    expect(page.locator(".server-bar")).to_contain_text("up 0:", timeout=ROUND)
    expect(main).to_contain_text("Crashed recently")
    expect(crash).to_contain_text("Segmentation fault")
    crash.get_by_role("link", name="Open last log lines").click()
    page.wait_for_url("**/console")


def test_a_start_that_found_its_port_taken_is_cured_by_a_button_or_cancelled(cast, server, sign_in):
    error = f"Port {server.port} of this host is used by nginx. Port 27027 is free."
    update(server, actual_state="stopped", last_error=error, offered_port=27027)
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}")
    expect(page.locator("#main")).to_contain_text("is used by nginx")
    bar = page.locator(".server-bar")
    expect(bar.get_by_role("button", name="Cancel start")).to_be_visible()
    page.get_by_role("button", name="Use port 27027 and start").click()
    expect(bar).to_contain_text("Starting", timeout=ROUND)
    assert (Server.objects.get().port, Job.objects.get().operation) == (27027, "start")
    Job.objects.update(state="failed", error=error, finished_at=timezone.now())
    update(server, last_error=error)
    bar.get_by_role("button", name="Cancel start").click(timeout=ROUND)
    expect(bar).to_contain_text("Stopping", timeout=ROUND)
    assert Server.objects.get().desired_state == "stopped"


LINES = ["Executing server.cfg", "Error: plugin failed to load", "Warning: old cvar", "Player joined"]


def test_the_console_is_one_stream_that_is_filtered_paused_and_spoken_to(cast, server, sign_in, axe):
    page = sign_in(cast.owner)
    body = f"event: on\ndata: log:{server.pk}\n\n"
    body += "".join(
        f"event: line\ndata: {json.dumps({'seq': n, 'line': line})}\n\n" for n, line in enumerate(LINES, 1)
    )
    page.route("**/live?*", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.goto(f"/servers/{server.pk}/console")
    log = page.locator("#console-log")
    expect(log.locator(".log-line")).to_have_count(4)
    expect(log.locator("[data-level=error]")).to_have_text(LINES[1])
    expect(log.locator("[data-level=warning]")).to_have_text(LINES[2])
    page.get_by_label("Filter the lines shown").fill("PLAYER")
    expect(log.locator(".log-line:visible")).to_have_text([LINES[3]])
    page.get_by_label("Filter the lines shown").fill("")
    expect(log.locator(".log-line:visible")).to_have_count(4)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-log-state]")).to_have_text("paused")
    axe(page)
    page.get_by_label("Command", exact=True).fill("no_such_thing")
    page.get_by_label("Command", exact=True).press("Enter")
    entry = log.locator(".order")
    expect(entry).to_contain_text("no_such_thing")
    output = 'Unknown command "no_such_thing"\n'
    Order.objects.update(state="failed", output=output, finished_at=timezone.now())
    expect(entry.locator(".badge")).to_have_text("Unknown command", timeout=ROUND)
