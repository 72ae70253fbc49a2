"""Asks for the newest build of the game, on the host itself, and stores the answer.

A check that fails is stored as such and tried again later; what an earlier one found stays. Nothing here installs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from left4me.core.processes import commands
from left4me.jobs.models import Job
from servers.gamehost.port import RuntimeFault
from servers.gamehost.steamcmd.bootstrap import BootstrapFailed
from servers.gamehost.steamcmd.session import LookupFailed
from servers.hosts import this_host
from servers.models import GameCheck, Host, Server
from servers.state import game_updates

logger = logging.getLogger(__name__)

# The pauses after failures in a row: 5, 10, 20 minutes and so on.
_FIRST_RETRY: Final = timedelta(minutes=5)
_LONGEST_RETRY: Final = timedelta(hours=6)
_MOST_DOUBLINGS: Final = 7

# What the game prints once Steam has told it that a newer version is required. A line of chat begins with a name.
_OUT_OF_DATE: Final = (
    "MasterRequestRestart",
    "Your server needs to be restarted in order to receive the latest update",
)
_LINES_SEARCHED: Final = 400

_checking = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class _Silent:
    """The watch of a check: nobody follows it."""

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None:
        pass

    def log(self, line: str) -> None:
        logger.info("Check for game updates: %s", line)

    def cancelled(self) -> bool:
        return False


def check_when_due(now: Callable[[], datetime]) -> bool:
    """Check this host's game if its time has come; returns whether it was checked.

    A host without the game has nothing to compare, and while a job works on the game, SteamCMD is in use.
    """
    host = this_host.row()
    version = this_host.game_version()
    known = host.last_check
    if not version or (known is not None and known.next_at is not None and known.next_at > now()):
        return False
    if Job.objects.live().on_host(host.name).filter(resource="game").exists() or not _checking.acquire(blocking=False):
        return False
    try:
        _check(host, version, now)
    finally:
        _checking.release()
    return True


def from_steam() -> str:
    """The newest build that Steam offers; the check that LEFT4ME_GAME=steam selects."""
    steamcmd = this_host.steamcmd(_Silent())
    # A home of its own, so that it shares no cache with an installation that begins meanwhile.
    home = steamcmd.home.with_name("check-home")
    return replace(steamcmd, home=home).look_up_build(watch=_Silent(), afresh=True)


def _check(host: Host, version: str, now: Callable[[], datetime]) -> None:
    ask: Callable[[], str] = import_string(settings.GAME_CHECKS[settings.LEFT4ME_GAME])
    build, error = "", ""
    try:
        build = ask()
    except (LookupFailed, BootstrapFailed, commands.CommandError, OSError) as fault:
        error = str(fault)
        logger.warning("The newest build of the game could not be looked up: %s", fault)
    # A check takes a while.
    _store(host, version, build=build, error=error, outdated=_some_server_is_outdated(host, version), now=now())


@transaction.atomic
def _store(host: Host, version: str, *, build: str, error: str, outdated: bool, now: datetime) -> None:
    check, _created = GameCheck.objects.select_for_update().get_or_create(host=host)
    was_available = check.is_newer_than(version)
    check.tried_at, check.error = now, error
    if outdated:
        check.outdated_version = version
    if build:
        check.failures, check.checked_at = 0, now
        check.source = settings.LEFT4ME_GAME
        if build != check.newest_build:
            check.newest_build, check.noticed_at = build, now
        check.next_at = now + timedelta(seconds=settings.LEFT4ME_GAME_CHECK_SECONDS)
    else:
        check.next_at = now + min(_FIRST_RETRY * 2 ** min(check.failures, _MOST_DOUBLINGS), _LONGEST_RETRY)
        check.failures += 1
    if check.is_newer_than(version):
        if not check.has_other_build_than(version):
            check.source = GameCheck.Source.SERVER
        if not was_available:
            check.noticed_at = now
            game_updates.is_available(host, check, now=now)
    check.save()


def _some_server_is_outdated(host: Host, version: str) -> bool:
    """Whether a running server with the installed version printed that Steam wants a newer one."""
    return any(_says_so(server) for server in Server.objects.running().filter(host=host, game_version=version))


def _says_so(server: Server) -> bool:
    try:
        lines = this_host.runtime().tail(server.pk, lines=_LINES_SEARCHED)
    except RuntimeFault:
        return False
    since = server.started_at
    return any(
        line.text.strip().startswith(_OUT_OF_DATE) and (since is None or line.at is None or line.at >= since)
        for line in lines
    )
