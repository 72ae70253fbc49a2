"""What somebody can be told of."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _


class Event(models.TextChoices):
    SERVER_CRASHED = "server_crashed", _("a server crashed")
    SERVER_GAVE_UP = "server_gave_up", _("a server gave up")
    SERVER_RECOVERED = "server_recovered", _("a server is well again")
    JOB_FAILED = "job_failed", _("a job failed")
    DISK_LOW = "disk_low", _("a disk is nearly full")
    HOST_SILENT = "host_silent", _("a host is silent")
    HOST_RECOVERED = "host_recovered", _("a host is well again")
    TEST = "test", _("a test")
    CONFIRM = "confirm", _("an address to be confirmed")


# What an admin alone can be told of: the machines are theirs.
FOR_ADMINS = (Event.DISK_LOW, Event.HOST_SILENT, Event.HOST_RECOVERED)
FOR_ALL = (Event.SERVER_CRASHED, Event.SERVER_GAVE_UP, Event.SERVER_RECOVERED, Event.JOB_FAILED)
CHOOSABLE = (*FOR_ALL, *FOR_ADMINS)

# Only a person brings a server back that gave up: whatever goes wrong after that is news again.
ENDS_A_ROUND = (Event.SERVER_GAVE_UP,)

GOOD_NEWS = (Event.SERVER_RECOVERED, Event.HOST_RECOVERED)

# An incident that goes on is told of once; these are told of once more when they still happen after so long.
AGAIN_AFTER = {Event.JOB_FAILED: timedelta(hours=1)}


def choosable(*, by_admin: bool) -> tuple[Event, ...]:
    """The events that a channel of such a user may carry."""
    return CHOOSABLE if by_admin else FOR_ALL
