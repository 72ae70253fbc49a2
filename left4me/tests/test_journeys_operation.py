"""Journeys of running servers by clicks: schedules, stops when empty, actions on many servers, and game updates."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from left4me.core.redis import hosts
from left4me.jobs.models import Job
from left4me.schedules import bulk_execution, execution, game_updates, planner
from left4me.schedules.models import BulkAction, Schedule
from left4me.testing.cast import Cast
from livestate.tests.factories import make_snapshot
from servers.models import GameCheck, Host, Server
from servers.tests.factories import make_host, make_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
OLD, NEW = "20300101T000000000000-100", "20300102T000000000000-200"


@pytest.fixture
def host(redis_client: object, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(hosts, "send", lambda *_, **__: True)
    now = timezone.now()
    versions = [
        {"id": version, "kind": "steam", "build": version[-3:], "installed_at": now.isoformat()}
        for version in (OLD, NEW)
    ]
    return make_host(last_seen_at=now + timedelta(days=1), game_version=NEW, facts={"versions": versions})


def running(cast: Cast, name: str, *, players: int = 0) -> Server:
    now = timezone.now()
    states = {"desired_state": Server.Desired.RUNNING, "actual_state": Server.State.RUNNING, "game_version": OLD}
    server = make_server(cast.owner, name=name, started_at=now - timedelta(hours=1), **states)
    make_snapshot(server, now + timedelta(minutes=10), players=players)
    return server


def finish(server: Server, state: str = "succeeded", error: str = "") -> None:
    at = timezone.now()
    live = Job.objects.live().filter(resource=server.resource)
    live.update(state=state, started_at=at, finished_at=at, error=error)


def test_a_schedule_restarts_a_server_at_its_time(cast: Cast, host: Host, sign_in, axe, picture):
    server = running(cast, "Friday")
    page = sign_in(cast.owner)
    page.goto("/servers")
    page.get_by_role("link", name="Friday").click()
    page.get_by_role("navigation", name="Server", exact=True).get_by_role("link", name="Schedules").click()
    page.get_by_role("link", name="New schedule").first.click()
    page.get_by_label("Name").fill("Nightly restart")
    page.get_by_label("Repeat").select_option("Every day")
    page.locator("[name=at]").fill("05:30")
    page.get_by_label("Time zone").select_option("UTC")
    expect(page.locator("#next-times")).to_contain_text("05:30")
    axe(page)
    picture("schedules", "1-new")
    page.get_by_role("button", name="Create schedule").click()
    page.get_by_role("heading", name="Nightly restart").wait_for()
    picture("schedules", "2-made")

    due = Schedule.objects.get().next_at
    assert due is not None
    # The time of the schedule has come; nobody plays.
    make_snapshot(server, due, players=0)
    planner.plan_due(due)
    execution.carry_out_due(due)
    finish(server)
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("Succeeded")
    axe(page)
    picture("schedules", "3-done")
    job = Job.objects.get()
    assert (job.operation, job.resource, job.user) == ("restart", server.resource, cast.owner)


def test_a_server_with_players_is_stopped_once_they_have_left(cast: Cast, host: Host, sign_in, axe, picture):
    server = running(cast, "Friday", players=3)
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}/schedules")
    page.get_by_role("button", name="Stop when empty").click()
    expect(page.get_by_role("main")).to_contain_text("When empty, scheduled by anna")
    axe(page)
    picture("drain", "1-waits")
    execution.carry_out_due(timezone.now())
    assert not Job.objects.exists()

    later = timezone.now() + timedelta(minutes=20)
    make_snapshot(server, later, players=0)
    execution.carry_out_due(later)
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("Queued")
    axe(page)
    picture("drain", "2-stops")
    assert Job.objects.get().operation == "stop"


def test_selected_servers_restart_by_a_plan_and_each_result_shows_by_itself(
    cast: Cast, host: Host, sign_in, axe, picture
):
    friday, _monday = running(cast, "Friday"), running(cast, "Monday", players=3)
    page = sign_in(cast.owner)
    page.goto("/servers")
    page.get_by_label("Select Friday").check()
    page.get_by_label("Select Monday").check()
    page.get_by_role("button", name="Plan…").click()
    expect(page.get_by_role("heading", name="Selected servers")).to_be_visible()
    expect(page.get_by_text("3 players will be disconnected.")).to_be_visible()
    page.get_by_label("When", exact=True).select_option("When empty")
    expect(page.get_by_text("Waits until it is empty. 3 players online.")).to_be_visible()
    axe(page)
    picture("bulk", "1-plan")
    page.get_by_role("button", name="Restart 2 servers").click()
    expect(page.get_by_text("0 of 2 done")).to_be_visible()
    bulk_execution.advance_all(timezone.now())
    expect(page.get_by_role("row", name="Friday")).to_contain_text("Queued")
    expect(page.get_by_role("row", name="Monday")).to_contain_text("Waits until it is empty.")
    finish(friday, "failed", "The port is taken.")
    expect(page.get_by_role("row", name="Friday")).to_contain_text("The port is taken.")
    expect(page.get_by_text("1 of 2 done")).to_be_visible()
    axe(page)
    picture("bulk", "2-under-way")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the rest").click()
    expect(page.get_by_role("row", name="Monday")).to_contain_text("Cancelled")
    picture("bulk", "3-cancelled")
    assert BulkAction.objects.get().state == BulkAction.State.CANCELLED


def test_a_game_update_is_noticed_installed_and_applied(cast: Cast, host: Host, sign_in, axe, picture):
    now = timezone.now()
    Host.objects.update(game_version=OLD, facts={"versions": [host.facts["versions"][0]]})
    GameCheck.objects.create(host=host, newest_build="200", noticed_at=now, checked_at=now, source="steam")
    friday = running(cast, "Friday")
    page = sign_in(cast.admin)
    page.goto("/hosts")
    page.get_by_role("link", name="local", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("Game update available")
    axe(page)
    picture("update", "1-noticed")
    page.get_by_role("link", name="Change When one is available").click()
    page.get_by_label("When a game update is available").select_option("when_empty")
    picture("update", "2-policy")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="local").wait_for()

    game_updates.follow_policies(timezone.now())
    install = Job.objects.get(operation="install")
    Job.objects.filter(pk=install.pk).update(state="succeeded", started_at=now, finished_at=timezone.now())
    Host.objects.update(game_version=NEW, facts=host.facts)
    game_updates.follow_policies(timezone.now())
    bulk_execution.advance_all(timezone.now())
    finish(friday)
    Server.objects.update(game_version=NEW)
    bulk_execution.advance_all(timezone.now() + bulk_execution.WATCHED)
    page.goto(f"/hosts/{host.pk}")
    expect(page.get_by_role("main")).to_contain_text("Up to date.")
    picture("update", "3-installed")
    page.get_by_role("link", name="game update of host").click()
    expect(page.get_by_text("1 of 1 done")).to_be_visible()
    axe(page)
    picture("update", "4-applied")
    assert BulkAction.objects.get().state == BulkAction.State.DONE


def test_an_update_that_breaks_a_server_is_rolled_back_from_its_page(cast: Cast, host: Host, sign_in, picture):
    now = timezone.now()
    GameCheck.objects.create(host=host, newest_build="200", noticed_at=now, checked_at=now, source="steam")
    Host.objects.update(update_policy="when_empty", update_at_once=1)
    first, _second = running(cast, "Alpha"), running(cast, "Bravo")
    page = sign_in(cast.admin)
    page.goto("/servers")
    expect(page.get_by_role("row", name="Alpha")).to_contain_text("Game update waiting")
    game_updates.follow_policies(timezone.now())
    bulk_execution.advance_all(timezone.now())
    page.goto(f"/hosts/{host.pk}")
    page.get_by_role("link", name="game update of host").click()
    finish(first, "failed", "The game ended with status 1.")
    bulk_execution.advance_all(timezone.now())
    expect(page.get_by_text("“Alpha” failed: The game ended with status 1.")).to_be_visible()
    expect(page.get_by_role("row", name="Bravo")).to_contain_text("Left as it is, because another server failed.")
    picture("update", "5-stopped")
    page.get_by_role("button", name="Roll back game").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.wait_for_url(f"**/hosts/{host.pk}")
    assert Job.objects.filter(operation="rollback_game", host=host.name).exists()
