"""The game of a host: installing and updating it, going back, and removing versions that nobody runs any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.conf import settings
from django.utils import timezone

from left4me.jobs import registry
from left4me.lib import commands
from servers import local
from servers.models import Host
from servers.runtime.game import NoVersion, Version, install_simulated
from servers.runtime.simulated import install as simulated
from servers.runtime.steamcmd import install as steam
from servers.runtime.steamcmd.bootstrap import BootstrapFailed
from servers.runtime.watch import Cancelled


def install(run: registry.Run) -> None:
    """Install or update the game; servers take the new version when they start next.

    With `repair` in the params everything is verified, also when the newest build is installed already.
    """
    with _faults_in_words():
        version = _simulated(run) if settings.LEFT4ME_GAME == "simulated" else _steam(run)
    run.log(f"The current version is {version.id}.")
    clean(run)


def roll_back(run: registry.Run) -> None:
    """Make the version before the current one the one that starts take.

    `from` in the params is the version that the request meant to leave: run again after its worker died, it does not
    go back twice.
    """
    with _faults_in_words():
        versions = local.games()
        if run.params.get("from", versions.current().id) != versions.current().id:
            run.log(f"The current version is {versions.current().id} already.")
            return
        if versions.previous().kind == "steam":
            version = steam.roll_back(versions=versions, steamcmd=local.steamcmd(run), watch=run)
        else:
            version = versions.roll_back()
    _note_current()
    run.log(f"The current version is {version.id} again; running servers go on with theirs until they restart.")


def clean(run: registry.Run) -> None:
    """Remove the versions that are neither current, nor the one to go back to, nor run by a server."""
    with _faults_in_words():
        for version_id in local.games().remove_unused(in_use=local.storage().layers_in_use()):
            run.log(f"Removed version {version_id}: no server runs it.")
    _note_current()


def _simulated(run: registry.Run) -> Version:
    versions, build = local.games(), simulated.build()
    with contextlib.suppress(NoVersion):
        current = versions.current()
        if (current.kind, current.build) == ("simulated", build) and not run.params.get("repair"):
            run.log("The simulated game is the newest already.")
            return current
    return install_simulated(versions, fill=simulated.install, build=build, watch=run, now=timezone.now())


def _steam(run: registry.Run) -> Version:
    try:
        login = local.steam_login()
    except ValueError as fault:
        raise registry.Failed(f"LEFT4ME_STEAM_USERNAME and LEFT4ME_STEAM_PASSWORD cannot be used: {fault}.") from fault
    return steam.install(
        versions=local.games(),
        steamcmd=local.steamcmd(run),
        watch=run,
        now=timezone.now,
        login=login,
        repair=bool(run.params.get("repair")),
    )


@contextlib.contextmanager
def _faults_in_words() -> Iterator[None]:
    """From what the runtime raises to what the job engine knows."""
    try:
        yield
    except Cancelled:
        raise registry.Cancelled from None
    except (NoVersion, BootstrapFailed, steam.InstallFailed) as fault:
        words = str(fault)
        raise registry.Failed(f"{words[:1].upper()}{words[1:]}.") from fault
    except (commands.CommandError, OSError) as fault:
        raise registry.Failed(f"The game's files could not be changed: {fault}") from fault


def _note_current() -> None:
    # The next look at the host would say it as well, but whoever waits for the job reads the row right after.
    host = local.row()
    Host.objects.filter(pk=host.pk).update(game_version=local.game_version(), facts={**host.facts, **local.facts()})
