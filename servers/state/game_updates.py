"""What becomes of updates of the game, for alerts: available, installed, applied, stopped."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils.translation import gettext as _

from left4me.alerts import incidents
from left4me.alerts.events import Event
from left4me.alerts.incidents import ProblemReport
from servers.models import GameCheck, Host

# The task with which a host checks its game, when that is due.
CHECK_TASK: Final = "servers.check_game"


def is_available(host: Host, check: GameCheck, *, now: datetime) -> None:
    """Report that Steam has a newer build than the host. Call it in the transaction that stores the check."""
    title = _("A game update is available for host “%(name)s”") % {"name": host.name}
    text = _("Players with the current game cannot join servers until it is installed and they restart.")
    _report(host, Event.GAME_UPDATE_AVAILABLE, build=check.newest_build, title=title, text=text, now=now)


def was_installed(host: Host, *, build: str, now: datetime) -> None:
    title = _("A game update was installed on host “%(name)s”") % {"name": host.name}
    text = _("Build %(build)s is installed. Running servers use it after a restart.") % {"build": build}
    _report(host, Event.GAME_UPDATE_INSTALLED, build=build, title=title, text=text, now=now)


def was_applied(host: Host, *, build: str, path: str, now: datetime) -> None:
    title = _("The game update runs on host “%(name)s”") % {"name": host.name}
    text = _("Every running server was restarted with build %(build)s.") % {"build": build}
    _report(host, Event.GAME_UPDATE_APPLIED, build=build, title=title, text=text, path=path, now=now)
    incidents.close([_key(host, build)], now=now)


def was_stopped(host: Host, *, build: str, why: str, path: str, now: datetime) -> None:
    title = _("The game update on host “%(name)s” was stopped") % {"name": host.name}
    _report(host, Event.GAME_UPDATE_STOPPED, build=build, title=title, text=why, path=path, now=now)


def _report(host: Host, event: Event, *, build: str, title: str, text: str, now: datetime, path: str = "") -> None:
    path = path or host.get_absolute_url()
    key = _key(host, build)
    incidents.report(
        ProblemReport(event=event, key=key, subject=f"host:{host.pk}", title=title, text=text, path=path), now=now
    )


def _key(host: Host, build: str) -> str:
    return f"host:{host.pk}:game:{build}"


def build_of(version: str) -> str:
    """The build in the id of an installed version."""
    return version.rpartition("-")[2]
