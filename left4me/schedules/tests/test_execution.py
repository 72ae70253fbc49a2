"""What becomes of runs: done once, skipped, waiting, and players are warned."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from left4me.core.redis import hosts
from left4me.core.web.refusals import Refused
from left4me.jobs.models import Job
from left4me.schedules import actions, execution, planner
from left4me.schedules.models import Condition, Run
from left4me.schedules.tests.factories import make_schedule
from left4me.testing.cast import Cast
from livestate.models import Order
from livestate.tests.factories import make_snapshot
from servers.models import Server, ServerShare
from servers.tests.factories import make_host, make_server, share

MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def server(cast: Cast, now: datetime, redis_client: object, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(hosts, "send", lambda *_, **__: True)
    running = {"desired_state": Server.Desired.RUNNING, "actual_state": Server.State.RUNNING}
    return make_server(cast.owner, started_at=now - timedelta(hours=1), **running)


def players(server: Server, count: int, now: datetime) -> None:
    make_snapshot(server, now, players=count)


def run_of(cast: Cast, server: Server, due: datetime, **fields: Any) -> Run:
    """The run that a schedule of these fields creates for `due`."""
    cron = f"{due.minute} {due.hour} * * *"
    make_schedule(cast.owner, after=due - timedelta(hours=1), server=server, cron=cron, **fields)
    planner.plan_due(due)
    return Run.objects.get()


def settled(run: Run) -> tuple[str, str]:
    run.refresh_from_db()
    return run.state, run.reason


def on_the_minute(now: datetime) -> datetime:
    return now.replace(second=0)


def test_a_run_requests_its_operation_once_as_its_owner(cast: Cast, server: Server, now: datetime):
    players(server, 3, now)
    run = run_of(cast, server, on_the_minute(now))
    assert execution.carry_out_due(now) == 1
    assert execution.carry_out_due(now) == 0
    job = Job.objects.get()
    assert (job.operation, job.resource, job.user) == ("restart", server.resource, cast.owner)
    run.refresh_from_db()
    assert (run.state, run.job) == ("started", job)


def test_two_workers_that_look_at_the_same_run_act_once(cast: Cast, server: Server, now: datetime):
    run = run_of(cast, server, on_the_minute(now))
    stale = Run.objects.select_related("server__host", "user").get(pk=run.pk)
    execution.carry_out_due(now)
    assert not execution._act(stale, cast.owner, now)
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("condition", "count", "expected"),
    [
        (Condition.SKIP, 2, "skipped"),
        (Condition.SKIP, 0, "started"),
        (Condition.WAIT_SKIP, 2, "waiting"),
        (Condition.WAIT_RUN, 2, "waiting"),
        (Condition.WAIT_RUN, 0, "started"),
        (Condition.ALWAYS, 2, "started"),
    ],
)
def test_players_decide_as_the_schedule_says(
    cast: Cast, server: Server, now: datetime, condition: str, count: int, expected: str
):
    players(server, count, now)
    run = run_of(cast, server, on_the_minute(now), condition=condition)
    execution.carry_out_due(now)
    assert settled(run)[0] == expected


@pytest.mark.parametrize(
    ("condition", "expected"), [(Condition.WAIT_SKIP, "skipped"), (Condition.WAIT_RUN, "started")]
)
def test_a_wait_ends_as_the_schedule_says(cast: Cast, server: Server, now: datetime, condition: str, expected: str):
    run = run_of(cast, server, on_the_minute(now), condition=condition, wait_minutes=30)
    for minutes, state in ((5, "waiting"), (29, "waiting"), (31, expected)):
        later = now + minutes * MINUTE
        players(server, 2, later)
        execution.carry_out_due(later)
        assert settled(run)[0] == state


def test_a_game_that_does_not_answer_does_not_count_as_empty(cast: Cast, server: Server, now: datetime):
    run = run_of(cast, server, on_the_minute(now), condition=Condition.SKIP)
    execution.carry_out_due(now)
    assert settled(run) == ("skipped", "Players were online.")


def test_a_server_that_somebody_stopped_is_not_restarted(cast: Cast, server: Server, now: datetime):
    Server.objects.update(desired_state=Server.Desired.STOPPED)
    run = run_of(cast, server, on_the_minute(now))
    execution.carry_out_due(now)
    assert settled(run) == ("skipped", "The server was stopped.")
    assert not Job.objects.exists()


def test_a_run_of_somebody_who_lost_the_right_is_skipped(cast: Cast, server: Server, now: datetime):
    shared = share(server, cast.operator, ServerShare.Role.OPERATOR)
    run = actions.plan_when_empty(server=server, action="restart", by=cast.operator)
    shared.delete()
    execution.carry_out_due(now)
    assert settled(run) == ("skipped", "The user who scheduled this can no longer operate the server.")


def test_players_are_warned_once_for_each_minute_of_the_schedule(cast: Cast, server: Server, now: datetime):
    due = on_the_minute(now) + 12 * MINUTE
    make_schedule(cast.owner, after=now, server=server, cron=f"{due.minute} {due.hour} * * *", warn_minutes=[10, 5, 1])
    said = []
    for seconds in range(0, 13 * 60, 20):
        moment = now + timedelta(seconds=seconds)
        players(server, 4, moment)
        planner.plan_due(moment)
        execution.carry_out_due(moment)
        said = list(Order.objects.order_by("pk").values_list("value", flat=True))
    assert said == [f"Server restarts in {n}." for n in ("10 minutes", "5 minutes", "1 minute")]
    assert Job.objects.get().operation == "restart"


def test_console_commands_are_given_in_order_and_a_map_is_changed(cast: Cast, server: Server, now: datetime):
    due = on_the_minute(now)
    run = run_of(cast, server, due, action="commands", argument="sv_cheats 0\n\nsay hello\n")
    execution.carry_out_due(now)
    assert settled(run)[0] == "started"
    assert list(Order.objects.order_by("pk").values_list("kind", "value")) == [
        ("command", "sv_cheats 0"),
        ("command", "say hello"),
    ]


def test_a_refused_action_fails_with_the_reason_and_does_nothing(cast: Cast, server: Server, now: datetime):
    run = run_of(cast, server, on_the_minute(now), action="map", argument="no_such_map")
    execution.carry_out_due(now)
    assert settled(run) == ("failed", "This map is not on the server. Choose another one.")
    assert not Order.objects.exists()


def test_a_restart_when_empty_waits_for_the_last_player(cast: Cast, server: Server, now: datetime):
    run = actions.plan_when_empty(server=server, action="restart", by=cast.owner)
    assert actions.plan_when_empty(server=server, action="restart", by=cast.owner) == run
    for minutes, count, state in ((0, 3, "waiting"), (600, 1, "waiting"), (601, 0, "started")):
        moment = now + timedelta(seconds=1) + minutes * MINUTE
        players(server, count, moment)
        execution.carry_out_due(moment)
        assert settled(run)[0] == state


def test_a_plan_can_be_cancelled_while_it_waits(cast: Cast, server: Server):
    run = actions.plan_when_empty(server=server, action="stop", by=cast.owner)
    actions.cancel(run=run, by=cast.owner)
    assert settled(run)[0] == "cancelled"
    with pytest.raises(Refused, match="no longer waiting"):
        actions.cancel(run=run, by=cast.owner)


def test_a_changed_schedule_forgets_runs_that_waited_for_its_old_times(cast: Cast, server: Server, now: datetime):
    players(server, 2, now)
    run = run_of(cast, server, on_the_minute(now), condition=Condition.WAIT_SKIP)
    actions.change(schedule=run.schedule, by=cast.owner, cron="0 4 * * *")
    assert not Run.objects.exists()
    assert run.schedule is not None


def test_a_fault_in_one_run_does_not_stop_the_others(
    cast: Cast, server: Server, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    other = make_server(cast.owner, desired_state="running", actual_state="running", started_at=server.started_at)
    for each in (server, other):
        actions.plan_when_empty(server=each, action="restart", by=cast.owner)
        players(each, 0, now + MINUTE)
    act = execution._act
    monkeypatch.setattr(execution, "_act", lambda run, *rest: 1 / 0 if run.server_id == server.pk else act(run, *rest))
    assert execution.carry_out_due(now + MINUTE) == 2
    assert sorted(Run.objects.values_list("state", flat=True)) == ["failed", "started"]


def test_an_admin_schedules_game_updates_once_per_host_and_workshop_refreshes_once(
    cast: Cast, server: Server, now: datetime
):
    other = make_server(cast.admin, host=make_host(name="other"))
    owned = [make_server(cast.admin), make_server(cast.admin), other]
    due = on_the_minute(now)
    for action in ("update_game", "refresh_workshop"):
        cron = f"{due.minute} {due.hour} * * *"
        make_schedule(cast.admin, after=due - timedelta(hours=1), cron=cron, action=action, condition="skip")
    planner.plan_due(due)
    players(owned[0], 3, now)
    execution.carry_out_due(due)
    jobs = sorted(Job.objects.values_list("operation", "host", "user__username"))
    admin = cast.admin.get_username()
    assert jobs == [("install", "local", admin), ("install", "other", admin), ("workshop_refresh", "local", admin)]
    assert set(Run.objects.values_list("state", flat=True)) == {"started"}


def test_only_admins_schedule_what_is_not_of_servers(cast: Cast, server: Server, now: datetime):
    with pytest.raises(ValidationError, match="Only admins"):
        actions.create(owner=cast.owner, by=cast.owner, name="x", action="update_game", cron="0 5 * * *")
    due = on_the_minute(now)
    run = run_of(cast, server, due, action="update_game")
    execution.carry_out_due(due)
    assert settled(run)[0] == Run.State.SKIPPED
    assert not Job.objects.exists()


def test_a_backup_is_made_also_of_a_server_that_is_stopped(cast, redis_client):
    now = timezone.now()
    server = make_server(cast.owner, actual_state="stopped")
    run = Run.objects.create(server=server, user=cast.owner, action="back_up", due_at=now)
    execution.carry_out_due(now)
    run.refresh_from_db()
    assert (run.state, run.job.operation) == ("started", "back_up")
    assert server.backups.get().reason == "scheduled"


def test_who_only_operates_a_server_schedules_no_backups_of_it(cast, api):
    now = timezone.now()
    server = make_server(cast.owner, actual_state="stopped")
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    asked = {"name": "x", "server_id": server.pk, "action": "back_up", "cron": "0 5 * * *"}
    assert api.by(cast.operator).post("/schedules", asked)[0] == 403
    assert api.by(cast.operator).post("/schedules", asked | {"action": "start"})[0] == 201
    assert api.by(cast.owner).post("/schedules", asked)[0] == 201
    run = Run.objects.create(server=server, user=cast.operator, action="back_up", due_at=now)
    execution.carry_out_due(now)
    run.refresh_from_db()
    assert run.state == "skipped"
    assert not server.backups.exists()
