"""Creates the runs of schedules whose time has come."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from left4me.schedules.models import Condition, Run, Schedule

# A time that is longer ago was missed: nothing looked at the schedules then.
GRACE: Final = timedelta(minutes=10)
# Of one schedule at once. The rest follows in the next round, so that a month of missed times delays nobody.
_MOST_TIMES: Final = 100

_MISSED: Final = "left4me did not run at this time."


def plan_again(now: datetime) -> None:
    """Plan all schedules anew from `now`: the clock was set back since they were planned."""
    for schedule in Schedule.objects.filter(is_enabled=True, next_at__gt=now):
        before = schedule.next_at
        schedule.plan_from(now)
        Schedule.objects.filter(pk=schedule.pk, next_at=before).update(
            next_at=schedule.next_at, plan_at=schedule.plan_at
        )


def plan_due(now: datetime) -> int:
    """Create the runs of every time up to `now`; returns how many. Each time of a schedule gets its runs once."""
    planned = 0
    for schedule in Schedule.objects.filter(is_enabled=True, plan_at__lte=now).select_related("owner"):
        for _time in range(_MOST_TIMES):
            if schedule.next_at is None or schedule.plan_at is None or schedule.plan_at > now:
                break
            planned += _plan(schedule, schedule.next_at, now)
    return planned


@transaction.atomic
def _plan(schedule: Schedule, due: datetime, now: datetime) -> int:
    """Create the runs of the schedule's next time `due`, and move it on to the one after."""
    schedule.plan_from(due)
    # Whoever moves the schedule on creates the runs: another worker that has done so leaves no row to update.
    is_mine = Schedule.objects.filter(pk=schedule.pk, is_enabled=True, next_at=due).update(
        next_at=schedule.next_at, plan_at=schedule.plan_at
    )
    if not is_mine:
        return 0
    is_late = now - due > GRACE
    is_last = schedule.next_at is None or schedule.next_at > now
    is_missed = is_late and not (schedule.catch_up and is_last)
    # A run that is late has its time now: nobody is warned of a time in the past.
    waits_from = now if is_late else due
    runs = [
        Run(
            schedule=schedule,
            server=server,
            user=schedule.owner,
            action=schedule.action,
            argument=schedule.argument,
            condition=schedule.condition,
            due_at=due,
            wait_until=_wait_until(schedule, waits_from),
            warn_minutes=[] if is_late else schedule.warn_minutes,
            state=Run.State.MISSED if is_missed else Run.State.WAITING,
            reason=_MISSED if is_missed else "",
            ended_at=now if is_missed else None,
        )
        for server in schedule.targets()
    ]
    # A time that was planned before the clock was set back has its runs already.
    return len(Run.objects.bulk_create(runs, ignore_conflicts=True))


def _wait_until(schedule: Schedule, start: datetime) -> datetime | None:
    if not Condition(schedule.condition).waits:
        return None
    return start + timedelta(minutes=schedule.wait_minutes)
