"""Cron expressions of the common kinds in words, and as the fields of a form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import time
from typing import Final

from django.db import models
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

_COMMON: Final = re.compile(r"(\d{1,2}) (\*|\d{1,2}) \* \* (\*|[0-6](?:,[0-6])*)")


class Repeat(models.TextChoices):
    HOURLY = "hourly", gettext_lazy("Every hour")
    DAILY = "daily", gettext_lazy("Every day")
    WEEKLY = "weekly", gettext_lazy("On certain weekdays")
    CRON = "cron", gettext_lazy("Cron expression")


@dataclass(frozen=True, kw_only=True)
class Times:
    """The times of a schedule as a person chooses them. Weekdays are those of cron: 0 is Sunday."""

    repeat: Repeat
    at: time = time(5, 0)
    weekdays: list[int] = field(default_factory=list)
    cron: str = ""

    def as_cron(self) -> str:
        match self.repeat:
            case Repeat.HOURLY:
                return f"{self.at.minute} * * * *"
            case Repeat.DAILY:
                return f"{self.at.minute} {self.at.hour} * * *"
            case Repeat.WEEKLY:
                return f"{self.at.minute} {self.at.hour} * * {','.join(map(str, sorted(self.weekdays)))}"
        return " ".join(self.cron.split())


def read(cron: str) -> Times:
    """The choices that make this expression; `Repeat.CRON` for every expression of another kind."""
    match = _COMMON.fullmatch(cron)
    if match is None:
        return Times(repeat=Repeat.CRON, cron=cron)
    minute, hour, days = match.groups()
    weekdays = [] if days == "*" else [int(day) for day in days.split(",")]
    if int(minute) > 59 or (hour != "*" and int(hour) > 23) or (hour == "*" and weekdays):
        return Times(repeat=Repeat.CRON, cron=cron)
    at = time(0 if hour == "*" else int(hour), int(minute))
    if hour == "*":
        return Times(repeat=Repeat.HOURLY, at=at)
    return Times(repeat=Repeat.WEEKLY if weekdays else Repeat.DAILY, at=at, weekdays=weekdays)


def describe(cron: str) -> str:
    """The expression in words; an uncommon one as it is."""
    times = read(cron)
    match times.repeat:
        case Repeat.HOURLY:
            return _("Every hour at minute %d") % times.at.minute
        case Repeat.DAILY:
            return _("Every day at %s") % times.at.strftime("%H:%M")
        case Repeat.WEEKLY:
            # Django counts from Monday, cron from Sunday.
            days = ", ".join(str(WEEKDAYS_ABBR[(day - 1) % 7]) for day in times.weekdays)
            return _("%(days)s at %(time)s") % {"days": days, "time": times.at.strftime("%H:%M")}
    return cron
