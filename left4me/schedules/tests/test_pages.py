"""The pages and the API of schedules."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from left4me.audit.models import AuditEntry
from left4me.schedules import actions
from left4me.schedules.models import Run, Schedule
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers.models import Server, ServerShare
from servers.tests.factories import make_blueprint, make_server, share


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner, name="Friday", desired_state="running")


@pytest.fixture
def anna(client: Client, cast: Cast) -> Client:
    client.force_login(cast.owner)
    return client


def given(**fields: Any) -> dict[str, Any]:
    return {
        "name": "nightly",
        "target": "all",
        "action": "restart",
        "repeat": "daily",
        "at": "05:30",
        "time_zone": "Europe/Berlin",
        "condition": "wait_skip",
        "wait_minutes": 60,
        "warn_minutes": "10, 5",
        **fields,
    }


def test_a_schedule_is_created_shown_changed_switched_and_deleted(anna: Client, cast: Cast, server: Server):
    answer = anna.post("/schedules/new", given(target=f"server:{server.pk}"))
    schedule = Schedule.objects.get()
    assert answer["Location"] == schedule.get_absolute_url()
    assert (schedule.cron, schedule.server, schedule.warn_minutes) == ("30 5 * * *", server, [10, 5])
    shown = anna.get(schedule.get_absolute_url()).content.decode()
    assert "Every day at 05:30" in shown
    assert shown.count("05:30</time>") == 5
    anna.post(f"/schedules/{schedule.pk}/edit", given(repeat="weekly", weekdays=["1", "5"], name="twice a week"))
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.server, schedule.name) == ("30 5 * * 1,5", None, "twice a week")
    anna.post(f"/schedules/{schedule.pk}/switch")
    schedule.refresh_from_db()
    assert (schedule.is_enabled, schedule.next_at) == (False, None)
    anna.post(f"/schedules/{schedule.pk}/switch", {"on": "yes"})
    schedule.refresh_from_db()
    assert schedule.next_at is not None
    anna.post(f"/schedules/{schedule.pk}/delete")
    assert not Schedule.objects.exists()
    done = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert done == ["schedule.create", *["schedule.update"] * 3, "schedule.delete"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"repeat": "weekly"}, "Choose at least one weekday."),
        ({"repeat": "cron", "cron": "often"}, "This is not a cron expression."),
        ({"warn_minutes": "soon"}, "Enter minutes separated by commas"),
        ({"warn_minutes": "90"}, "Warnings can be sent from 1 to 60 minutes before."),
        ({"action": "map"}, "Choose a map."),
        ({"action": "commands", "argument": "rcon_password x"}, "rcon_password"),
    ],
)
def test_a_form_that_is_wrong_says_why_and_keeps_what_was_typed(anna: Client, fields: dict[str, Any], message: str):
    answer = anna.post("/schedules/new", given(**fields))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert message in page
    assert 'value="nightly"' in page
    assert not Schedule.objects.exists()


def test_the_preview_shows_the_next_five_times_of_an_unfinished_form(anna: Client):
    times = {"repeat": "weekly", "at": "04:15", "weekdays": ["0"], "time_zone": "America/New_York"}
    shown = anna.get("/schedules/preview", times).content.decode()
    assert shown.count("Sun ") == 5
    assert "<html" not in shown
    assert "Complete the times" in anna.get("/schedules/preview", {"repeat": "weekly"}).content.decode()


def test_somebody_elses_server_cannot_be_chosen(anna: Client, cast: Cast):
    foreign = make_server(cast.stranger)
    assert anna.post("/schedules/new", given(target=f"server:{foreign.pk}")).status_code == 422
    assert anna.get(f"/schedules/new?server={foreign.pk}").status_code == 404


def test_a_viewer_cannot_schedule_what_an_operator_can(client: Client, cast: Cast, server: Server):
    share(server, cast.viewer)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    client.force_login(cast.viewer)
    assert client.post("/schedules/new", given(target=f"server:{server.pk}")).status_code == 403
    client.force_login(cast.operator)
    assert client.post("/schedules/new", given(target=f"server:{server.pk}")).status_code == 302


def test_the_page_of_a_server_plans_and_cancels_a_restart_when_empty(anna: Client, server: Server):
    page = f"/servers/{server.pk}/schedules"
    assert "Restart when empty" in anna.get(page).content.decode()
    anna.post(f"/servers/{server.pk}/when-empty", {"action": "restart"})
    run = Run.objects.get()
    assert "When empty, scheduled by anna" in anna.get(page).content.decode()
    anna.post(f"/servers/{server.pk}/runs/{run.pk}/cancel")
    run.refresh_from_db()
    assert run.state == "cancelled"
    answer = anna.post(f"/servers/{server.pk}/when-empty", {"action": "delete"}, follow=True)
    assert "Only Restart and Stop" in answer.content.decode()


def test_the_api_does_what_the_pages_do(api: Caller, cast: Cast, server: Server):
    anna = api.by(cast.owner)
    status, made = anna.post(
        "/schedules", {"name": "nightly", "server_id": server.pk, "action": "restart", "cron": "0 5 * * *"}
    )
    assert (status, len(made["next_times"]), made["owner"]) == (201, 5, "anna")
    path = f"/schedules/{made['id']}"
    status, changed = anna.patch(path, {"is_enabled": False, "time_zone": "Asia/Shanghai"})
    assert (status, changed["next_times"], changed["time_zone"]) == (200, [], "Asia/Shanghai")
    assert anna.get("/schedules")[1]["count"] == 1
    assert anna.get(f"{path}/runs")[1]["count"] == 0
    assert api.by(cast.stranger).get(path)[0] == 404
    assert anna.patch(path, {"time_zone": "Mars/Olympus"})[0] == 422
    assert anna.patch(path, {"cron": "x", "server": 1})[0] == 422
    status, run = anna.post(f"/servers/{server.pk}/runs", {"action": "stop"})
    assert (status, run["state"]) == (201, "waiting")
    assert anna.delete(f"/servers/{server.pk}/runs/{run['id']}")[0] == 204
    assert anna.delete(f"/servers/{server.pk}/runs/{run['id']}")[0] == 409
    assert anna.delete(path)[0] == 204


def test_a_schedule_for_a_server_and_a_blueprint_at_once_is_refused(api: Caller, cast: Cast, server: Server):
    body = {"name": "x", "action": "restart", "cron": "0 5 * * *", "server_id": server.pk}
    body["blueprint_id"] = make_blueprint(cast.owner).pk
    assert api.by(cast.owner).post("/schedules", body)[0] == 422


def test_the_number_of_schedules_is_limited(api: Caller, cast: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(actions, "MOST_PER_USER", 1)
    body = {"name": "x", "action": "restart", "cron": "0 5 * * *"}
    assert api.by(cast.owner).post("/schedules", body)[0] == 201
    status, problem = api.by(cast.owner).post("/schedules", body)
    assert status == 409
    assert "the most that one user can have" in problem["detail"]
