"""Operations on the game of a host: install, update, roll back, and remove unused versions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from left4me.core.processes import commands
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from servers.gamehost.game import NoVersion, Version, Versions
from servers.gamehost.port import Watch
from servers.gamehost.steamcmd import install as steam
from servers.gamehost.steamcmd.bootstrap import BootstrapFailed
from servers.hosts import own_copies, this_host
from servers.models import GameCheck, Host
from servers.state import game_updates, news, start_retries


class GameSource(Protocol):
    """Brings the host's game to its newest build. `settings.GAME_SOURCES` names one for each value of LEFT4ME_GAME."""

    def __call__(self, *, versions: Versions, watch: Watch, repair: bool) -> Version:
        """Return the version that is current afterwards; it is reinstalled only for `repair` when it is the newest."""


def install(run: JobContext) -> None:
    """Install or update game; servers take the new version when they start next.

    `repair` in the params verifies every file, even when the newest build is installed already.
    """
    before = this_host.game_version()
    with _readable_faults():
        install_from_source: GameSource = import_string(settings.GAME_SOURCES[settings.LEFT4ME_GAME])
        version = install_from_source(versions=this_host.games(), watch=run, repair=bool(run.params.get("repair")))
    run.log(f"Current version: {version.id}.")
    clean(run)
    if version.id != before:
        _note_install(version, is_update=bool(before))
        own_copies.note_all()
    if not before and (count := start_retries.game_arrived(this_host.row(), now=timezone.now())):
        run.log(f"Servers that waited for the game and start now: {count}.")
    if before and before != version.id:
        news.game_updated(this_host.row(), version.id, now=timezone.now())


def roll_back(run: JobContext) -> None:
    """Make the previous version the one that new starts use.

    `from` in the params is the version that the request meant to leave, so that a job that runs again after its
    worker died does not go back twice.
    """
    with _readable_faults():
        versions = this_host.games()
        if run.params.get("from", versions.current().id) != versions.current().id:
            run.log(f"Version {versions.current().id} is already current.")
            return
        left = versions.current()
        if versions.previous().kind == "steam":
            version = steam.roll_back(versions=versions, steamcmd=this_host.steamcmd(run), watch=run)
        else:
            version = versions.roll_back()
    _store_current()
    GameCheck.objects.update_or_create(host=this_host.row(), defaults={"left_build": left.build})
    own_copies.note_all()
    run.log(f"Rolled back to version {version.id}. Running servers keep their version until they restart.")


def clean(run: JobContext) -> None:
    """Remove versions that are neither current, nor the previous one, nor used by a running server."""
    with _readable_faults():
        for version_id in this_host.games().remove_unused(in_use=this_host.storage().layers_in_use()):
            run.log(f"Removed unused version {version_id}.")
    _store_current()


def from_steam(*, versions: Versions, watch: Watch, repair: bool) -> Version:
    """Install the game from Steam; the game source that LEFT4ME_GAME=steam selects."""
    try:
        login = this_host.steam_login()
    except ValueError as fault:
        raise Failed(
            f"LEFT4ME_STEAM_USERNAME and LEFT4ME_STEAM_PASSWORD are not valid: {fault}. "
            "Correct them and restart left4me."
        ) from fault
    return steam.install(
        versions=versions,
        steamcmd=this_host.steamcmd(watch),
        watch=watch,
        now=timezone.now,
        login=login,
        repair=repair,
    )


@contextlib.contextmanager
def _readable_faults() -> Iterator[None]:
    """Turn errors of the runtime into those of the job engine, with a message for the operator."""
    try:
        yield
    except (NoVersion, BootstrapFailed, steam.InstallFailed) as fault:
        message = str(fault)
        raise Failed(f"{message[:1].upper()}{message[1:]}{'' if message.endswith('.') else '.'}") from fault
    except (commands.CommandError, OSError) as fault:
        raise Failed(f"The game's files could not be changed: {fault}") from fault


@transaction.atomic
def _note_install(version: Version, *, is_update: bool) -> None:
    """Store that this build is there and may be installed again, and report an update to the alerts."""
    host, now = this_host.row(), timezone.now()
    check, _created = GameCheck.objects.select_for_update().get_or_create(host=host)
    if check.newest_build != version.build:
        # Only Steam's newest build is ever installed.
        check.newest_build, check.noticed_at = version.build, now
    check.left_build = ""
    check.save(update_fields=["newest_build", "noticed_at", "left_build"])
    if is_update:
        game_updates.was_installed(host, build=version.build, now=now)


def _store_current() -> None:
    # The next `servers.refresh` would store it as well, but clients that wait for the job read the row right after it.
    host = this_host.row()
    Host.objects.filter(pk=host.pk).update(
        game_version=this_host.game_version(), facts={**host.facts, **this_host.facts(host.facts)}
    )
