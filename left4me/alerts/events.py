"""The events that alerts are sent for."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _


class Event(models.TextChoices):
    SERVER_CRASHED = "server_crashed", _("A server crashes")
    SERVER_GAVE_UP = "server_gave_up", _("A server keeps crashing")
    SERVER_RECOVERED = "server_recovered", _("A server has recovered")
    JOB_FAILED = "job_failed", _("A job fails")
    SERVER_STARTED = "server_started", _("A server starts")
    SERVER_STOPPED = "server_stopped", _("A server stops")
    SERVER_FULL = "server_full", _("A server is full")
    SERVER_EMPTY = "server_empty", _("The last player leaves a server")
    PLAYER_JOINED = "player_joined", _("A player joins")
    PLAYER_LEFT = "player_left", _("A player leaves")
    MATCH_ENDED = "match_ended", _("A match ends")
    GAME_UPDATED = "game_updated", _("The game of your servers is updated")
    DISK_LOW = "disk_low", _("A disk is almost full")
    DATABASE_DAMAGED = "database_damaged", _("The database is damaged")
    BACKUP_LATE = "backup_late", _("No backup of the machine was made")
    COPIES_LATE = "copies_late", _("Servers of a host were not copied")
    HOST_SILENT = "host_silent", _("A host goes offline")
    HOST_RECOVERED = "host_recovered", _("A host is back online")
    GAME_UPDATE_AVAILABLE = "game_update_available", _("A game update is available")
    GAME_UPDATE_INSTALLED = "game_update_installed", _("A game update was installed")
    GAME_UPDATE_APPLIED = "game_update_applied", _("All servers run the game update")
    GAME_UPDATE_STOPPED = "game_update_stopped", _("A game update was stopped")
    TEST = "test", _("Test")
    CONFIRM = "confirm", _("Address confirmation")


# Events of hosts, which only admins can choose.
FOR_ADMINS = (
    *(Event.DISK_LOW, Event.DATABASE_DAMAGED, Event.BACKUP_LATE, Event.COPIES_LATE),
    *(Event.HOST_SILENT, Event.HOST_RECOVERED),
    *(Event.GAME_UPDATE_AVAILABLE, Event.GAME_UPDATE_INSTALLED),
    *(Event.GAME_UPDATE_APPLIED, Event.GAME_UPDATE_STOPPED),
)
PROBLEMS = (Event.SERVER_CRASHED, Event.SERVER_GAVE_UP, Event.SERVER_RECOVERED, Event.JOB_FAILED)
# What happens on servers without anything being wrong.
PLAYERS = (Event.SERVER_FULL, Event.SERVER_EMPTY, Event.PLAYER_JOINED, Event.PLAYER_LEFT)
NEWS = (Event.SERVER_STARTED, Event.SERVER_STOPPED, Event.GAME_UPDATED, Event.MATCH_ENDED, *PLAYERS)
FOR_ALL = (*PROBLEMS, *NEWS)
CHOOSABLE = (*FOR_ALL, *FOR_ADMINS)

# A server that gave up is only restarted by a user: problems after that are reported again.
ENDS_A_ROUND = (Event.SERVER_GAVE_UP,)

# Players come and go all evening: these wait until they can be sent together, and hold up nothing else.
CHATTER = (Event.PLAYER_JOINED, Event.PLAYER_LEFT)
CHATTER_WAITS = timedelta(seconds=60)
# A server that players keep filling and leaving is told of once in this time.
QUIET_AFTER = {Event.SERVER_FULL: timedelta(minutes=10), Event.SERVER_EMPTY: timedelta(minutes=10)}

GOOD_NEWS = (
    *(Event.SERVER_RECOVERED, Event.HOST_RECOVERED),
    *(Event.GAME_UPDATE_INSTALLED, Event.GAME_UPDATE_APPLIED),
)

# An ongoing incident is reported once. These events are reported again if they still occur after this time.
AGAIN_AFTER = {Event.JOB_FAILED: timedelta(hours=1), Event.DATABASE_DAMAGED: timedelta(hours=12)}


def choosable(*, by_admin: bool) -> tuple[Event, ...]:
    """The events that the user may choose."""
    return CHOOSABLE if by_admin else FOR_ALL
