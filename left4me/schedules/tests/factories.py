"""Factories for schedules."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from accounts.models import User
from left4me.schedules.models import Schedule

_numbers = itertools.count(1)


def make_schedule(owner: User, *, after: datetime, **fields: Any) -> Schedule:
    """A schedule whose first time is the next one after `after`; every day at five in UTC if nothing else is given."""
    given = {"name": f"schedule {next(_numbers)}", "cron": "0 5 * * *", **fields}
    schedule = Schedule(owner=owner, **given)
    schedule.plan_from(after)
    schedule.save()
    return schedule
