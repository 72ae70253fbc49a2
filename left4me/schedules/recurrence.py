"""Times of a schedule: a cron expression in a time zone.

Across changes of daylight-saving time cronsim behaves like Debian's cron: a time that does not exist on a day runs as
soon as the clock has passed it, and a time that exists twice runs once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from left4me.core.moments import check_zone as check_zone

LEAST_PAUSE: Final = timedelta(minutes=5)
_CHECKED_TIMES: Final = 100


def times(cron: str, zone: str, *, after: datetime) -> Iterator[datetime]:
    """The times after `after`, in UTC, the earliest first. Ends when no date within fifty years matches."""
    for moment in CronSim(cron, after.astimezone(ZoneInfo(zone))):
        yield moment.astimezone(UTC)


def next_times(cron: str, zone: str, *, after: datetime, count: int = 1) -> list[datetime]:
    return list(itertools.islice(times(cron, zone, after=after), count))


def check_cron(text: str) -> None:
    """Raise ValidationError for a text that is no cron expression, that never runs, or that runs too often."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    try:
        first = list(itertools.islice(CronSim(text, start), _CHECKED_TIMES))
    except (CronSimError, ValueError) as fault:
        message = _("This is not a cron expression. Example: “0 5 * * *” is every day at 5:00.")
        raise ValidationError(message) from fault
    if not first:
        raise ValidationError(_("This expression matches no date."))
    if any(later - earlier < LEAST_PAUSE for earlier, later in itertools.pairwise(first)):
        raise ValidationError(_("A schedule can run at most every 5 minutes."))
