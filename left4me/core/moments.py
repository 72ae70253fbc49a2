"""Moments as text: one format everywhere, in the time zone of the viewer, which a middleware of accounts activates."""

from __future__ import annotations

import functools
import math
import re
import zoneinfo
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

# Names of places; the others are abbreviations, offsets and names from before 1993.
_OF_PLACES = re.compile(r"^(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/|^UTC$")


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The time zone of this name; None for a text that names none."""
    return zoneinfo.ZoneInfo(name) if name in _names() else None


@functools.cache
def zone_names() -> list[str]:
    """The names to choose from."""
    return sorted(name for name in _names() if _OF_PLACES.match(name))


def machine_zone() -> zoneinfo.ZoneInfo:
    """The time zone of this machine, which its games have too. Django sets that of this process to UTC."""
    try:
        with Path("/etc/localtime").open("rb") as file:
            return zoneinfo.ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return zoneinfo.ZoneInfo("UTC")


def check_zone(name: str) -> None:
    """Raise ValidationError if there is no time zone of this name."""
    if zone(name) is None:
        raise ValidationError(_("Unknown time zone “%s”. Choose one from the list.") % name)


def day(moment: datetime) -> str:
    """Such as “21 Nov 2026”."""
    return date_format(timezone.localtime(moment), pgettext("format of a date", "j M Y"))


def minute(moment: datetime) -> str:
    """Such as “21 Nov 2026, 20:00”. The zone is added only where it is not the viewer's own: “20:00 UTC”."""
    text = date_format(timezone.localtime(moment), pgettext("format of a date with time", "j M Y, H:i"))
    return text if is_of_viewer() else f"{text} {_abbreviation(moment)}"


def second(moment: datetime) -> str:
    """Such as “21 Nov 2026, 20:00:05 CET”."""
    text = date_format(timezone.localtime(moment), pgettext("format of a date with seconds", "j M Y, H:i:s"))
    return f"{text} {_abbreviation(moment)}"


def relative(moment: datetime, *, now: datetime) -> str:
    """Such as “5 min. ago” or “in 2 hr.”.

    The words are those of the browser's Intl.RelativeTimeFormat: the script that keeps them true moves nothing.
    """
    seconds = (moment - now).total_seconds()
    amount, step = abs(seconds), 0
    while amount >= _STEPS[step][0]:
        amount, step = amount / _STEPS[step][0], step + 1
    _size, ago, ahead = _STEPS[step]
    words = ago if seconds <= 0 else ahead
    return words(int(amount)) % int(amount)


_STEPS: list[tuple[float, Callable[[int], str], Callable[[int], str]]] = [
    (60, lambda n: ngettext("%d sec. ago", "%d sec. ago", n), lambda n: ngettext("in %d sec.", "in %d sec.", n)),
    (60, lambda n: ngettext("%d min. ago", "%d min. ago", n), lambda n: ngettext("in %d min.", "in %d min.", n)),
    (24, lambda n: ngettext("%d hr. ago", "%d hr. ago", n), lambda n: ngettext("in %d hr.", "in %d hr.", n)),
    (30, lambda n: ngettext("%d day ago", "%d days ago", n), lambda n: ngettext("in %d day", "in %d days", n)),
    (12, lambda n: ngettext("%d mo. ago", "%d mo. ago", n), lambda n: ngettext("in %d mo.", "in %d mo.", n)),
    (math.inf, lambda n: ngettext("%d yr. ago", "%d yr. ago", n), lambda n: ngettext("in %d yr.", "in %d yr.", n)),
]


def is_of_viewer() -> bool:
    """Whether the active zone was chosen by the viewer or their browser, and is not the default."""
    return timezone.get_current_timezone_name() != timezone.get_default_timezone_name()


def _abbreviation(moment: datetime) -> str:
    return timezone.localtime(moment).tzname() or ""


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
