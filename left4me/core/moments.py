"""Moments as text: one format everywhere, in the time zone of the viewer, which a middleware of accounts activates."""

from __future__ import annotations

import functools
import re
import zoneinfo
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

# Names of places; the others are abbreviations, offsets and names from before 1993.
_OF_PLACES = re.compile(r"^(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/|^UTC$")


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The time zone of this name; None for a text that names none."""
    return zoneinfo.ZoneInfo(name) if name in _names() else None


@functools.cache
def zone_names() -> list[str]:
    """The names to choose from."""
    return sorted(name for name in _names() if _OF_PLACES.match(name))


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


def is_of_viewer() -> bool:
    """Whether the active zone was chosen by the viewer or their browser, and is not the default."""
    return timezone.get_current_timezone_name() != timezone.get_default_timezone_name()


def _abbreviation(moment: datetime) -> str:
    return timezone.localtime(moment).tzname() or ""


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
