"""Times of cron expressions in time zones, and their words."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from left4me.schedules import description, recurrence
from left4me.schedules.description import Repeat, Times

BERLIN = ZoneInfo("Europe/Berlin")


def clocks(cron: str, start: datetime, count: int) -> list[str]:
    """The next times as the clock in Berlin shows them."""
    moments = recurrence.next_times(cron, "Europe/Berlin", after=start, count=count)
    return [moment.astimezone(BERLIN).strftime("%d %H:%M") for moment in moments]


def test_a_time_follows_the_clock_of_its_zone_over_changes_of_daylight_saving_time():
    assert clocks("0 5 * * *", datetime(2026, 3, 28, tzinfo=UTC), 3) == ["28 05:00", "29 05:00", "30 05:00"]
    spring = recurrence.next_times("0 5 * * *", "Europe/Berlin", after=datetime(2026, 3, 28, 12, tzinfo=UTC), count=2)
    assert spring[1] - spring[0] == timedelta(hours=24)
    assert spring[0] == datetime(2026, 3, 29, 3, tzinfo=UTC)


def test_a_time_that_does_not_exist_runs_once_after_the_gap():
    assert clocks("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == ["29 03:00", "30 02:30"]


def test_a_time_that_exists_twice_runs_once():
    assert clocks("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == ["25 02:30", "26 02:30"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("every day", "not a cron expression"),
        ("", "not a cron expression"),
        ("61 * * * *", "not a cron expression"),
        ("0 0 31 2 *", "cron expression|no date"),
        ("* * * * *", "every 5 minutes"),
        ("0,3 * * * *", "every 5 minutes"),
    ],
)
def test_an_expression_that_is_wrong_is_refused_with_the_reason(text: str, reason: str):
    with pytest.raises(ValidationError, match=reason):
        recurrence.check_cron(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "", "x" * 300])
def test_a_zone_that_is_unknown_is_refused(name: str):
    with pytest.raises(ValidationError):
        recurrence.check_zone(name)


@pytest.mark.parametrize("at", [time(0, 0), time(5, 30), time(23, 59)])
def test_the_choices_of_the_form_survive_being_stored_as_an_expression(at: time):
    days = [list(chosen) for count in range(1, 8) for chosen in itertools.combinations(range(7), count)]
    choices = [Times(repeat=Repeat.WEEKLY, at=at, weekdays=weekdays) for weekdays in days]
    for times in [Times(repeat=Repeat.DAILY, at=at), *choices]:
        assert description.read(times.as_cron()) == times
    hourly = Times(repeat=Repeat.HOURLY, at=at)
    assert description.read(hourly.as_cron()).as_cron() == hourly.as_cron()


def test_common_expressions_are_described_and_others_shown_as_they_are():
    assert description.describe("0 5 * * *") == "Every day at 05:00"
    assert description.describe("30 4 * * 0,1") == "Sun, Mon at 04:30"
    assert description.describe("5 * * * *") == "Every hour at minute 5"
    assert description.describe("0 4 1 * *") == "0 4 1 * *"
