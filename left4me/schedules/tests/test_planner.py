"""When runs are created: each time once, whatever happens to those who look at the schedules."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from left4me.schedules import planner, recurrence
from left4me.schedules.models import Run, Schedule
from left4me.schedules.tests.factories import make_schedule
from left4me.testing.cast import Cast
from servers.models import Server
from servers.tests.factories import make_blueprint, make_server

START = datetime(2026, 1, 1, tzinfo=UTC)
FIVE = datetime(2026, 1, 1, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_a_run_is_created_for_every_server_of_the_target(cast: Cast):
    blueprint = make_blueprint(cast.owner)
    one, two = (make_server(cast.owner, blueprint=blueprint) for _ in range(2))
    other, foreign = make_server(cast.owner), make_server(cast.stranger)
    make_schedule(cast.owner, after=START, server=one)
    make_schedule(cast.owner, after=START, blueprint=blueprint)
    make_schedule(cast.owner, after=START)
    assert planner.plan_due(FIVE - MINUTE) == 0
    assert planner.plan_due(FIVE) == 1 + 2 + 3
    by_server = [Run.objects.filter(server=server).count() for server in (one, two, other, foreign)]
    assert by_server == [3, 2, 1, 0]


def test_a_second_look_at_the_same_time_creates_nothing(cast: Cast):
    make_server(cast.owner)
    schedule = make_schedule(cast.owner, after=START)
    stale = Schedule.objects.get(pk=schedule.pk)
    assert planner.plan_due(FIVE) == 1
    # Another worker that read the schedule before.
    assert planner._plan(stale, FIVE, FIVE) == 0
    assert planner.plan_due(FIVE) == 0


def test_runs_with_warnings_are_created_early_enough_for_the_first_one(cast: Cast):
    make_server(cast.owner)
    make_schedule(cast.owner, after=START, warn_minutes=[10, 1])
    assert planner.plan_due(FIVE - 11 * MINUTE) == 0
    assert planner.plan_due(FIVE - 10 * MINUTE) == 1


def test_missed_times_are_listed_and_only_the_last_is_caught_up(cast: Cast):
    make_server(cast.owner)
    make_schedule(cast.owner, after=START, name="skips")
    make_schedule(cast.owner, after=START, name="catches up", catch_up=True)
    planner.plan_due(FIVE + timedelta(days=2, hours=1))
    states = {
        name: list(Run.objects.filter(schedule__name=name).order_by("due_at").values_list("state", flat=True))
        for name in ("skips", "catches up")
    }
    assert states == {"skips": ["missed"] * 3, "catches up": ["missed", "missed", "waiting"]}


def test_a_schedule_that_is_off_creates_nothing(cast: Cast):
    make_server(cast.owner)
    make_schedule(cast.owner, after=START, is_enabled=False)
    assert planner.plan_due(FIVE + timedelta(days=3)) == 0


ROUNDS = st.tuples(
    st.sampled_from([200, 350, 700, 3000, 9000, 90_000]),  # minutes until the next round
    st.sampled_from([0, 0, 0, 0, 10, 90]),  # minutes by which the clock is then set back
    st.booleans(),  # whether the worker that looks was restarted, and so notices no step of the clock
)


# What it runs is covered by the others; counting makes it take longer.
@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rounds=st.lists(ROUNDS, min_size=20, max_size=60),
    cron=st.sampled_from(["30 2 * * *", "0 5 * * 1,5", "15 */12 * * *"]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    catch_up=st.booleans(),
)
def test_over_two_years_of_outages_and_clock_steps_every_time_has_one_run(
    cast: Cast, rounds: list[tuple[int, int, bool]], cron: str, zone: str, catch_up: bool
):
    """Rounds come late, stop for days, and the clock is set back, over changes of daylight-saving time."""
    Schedule.objects.all().delete()
    Server.objects.all().delete()
    make_server(cast.owner)
    schedule = make_schedule(cast.owner, after=START, cron=cron, time_zone=zone, catch_up=catch_up)
    now, end = START, START + timedelta(days=730)
    for wait, back, is_restarted in itertools.cycle(rounds):
        planner.plan_due(now)
        if back:
            now -= min(back * MINUTE, now - START)
            if not is_restarted:
                planner.plan_again(now)
        now += wait * MINUTE
        if now >= end:
            break
    planner.plan_due(end)
    planner.plan_due(end)
    expected = list(itertools.takewhile(lambda at: at <= end, recurrence.times(cron, zone, after=START)))
    assert list(schedule.runs.order_by("due_at").values_list("due_at", flat=True)) == expected
    assert not schedule.runs.exclude(state__in=[Run.State.WAITING, Run.State.MISSED]).exists()
