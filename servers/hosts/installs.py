"""The game of a host: installing and updating it, going back, and removing versions that nobody runs any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.conf import settings
from django.utils import timezone

from left4me.core.processes import commands
from left4me.jobs import registry
from servers.gamehost.game import NoVersion, Version, install_simulated
from servers.gamehost.steamcmd import install as steam
from servers.gamehost.steamcmd.bootstrap import BootstrapFailed
from servers.hosts import this_host
from servers.models import Host
from servers.simulated import install as simulated


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
        versions = this_host.games()
        if run.params.get("from", versions.current().id) != versions.current().id:
            run.log(f"The current version is {versions.current().id} already.")
            return
        if versions.previous().kind == "steam":
            version = steam.roll_back(versions=versions, steamcmd=this_host.steamcmd(run), watch=run)
        else:
            version = versions.roll_back()
    _note_current()
    run.log(f"The current version is {version.id} again; running servers go on with theirs until they restart.")


def clean(run: registry.Run) -> None:
    """Remove the versions that are neither current, nor the one to go back to, nor run by a server."""
    with _faults_in_words():
        for version_id in this_host.games().remove_unused(in_use=this_host.storage().layers_in_use()):
            run.log(f"Removed version {version_id}: no server runs it.")
    _note_current()


def _simulated(run: registry.Run) -> Version:
    versions, build = this_host.games(), simulated.build()
    with contextlib.suppress(NoVersion):
        current = versions.current()
        if (current.kind, current.build) == ("simulated", build) and not run.params.get("repair"):
            run.log("The simulated game is the newest already.")
            return current
    return install_simulated(versions, fill=simulated.install, build=build, watch=run, now=timezone.now())


def _steam(run: registry.Run) -> Version:
    try:
        login = this_host.steam_login()
    except ValueError as fault:
        raise registry.Failed(f"LEFT4ME_STEAM_USERNAME and LEFT4ME_STEAM_PASSWORD cannot be used: {fault}.") from fault
    return steam.install(
        versions=this_host.games(),
        steamcmd=this_host.steamcmd(run),
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
    except (NoVersion, BootstrapFailed, steam.InstallFailed) as fault:
        words = str(fault)
        raise registry.Failed(f"{words[:1].upper()}{words[1:]}.") from fault
    except (commands.CommandError, OSError) as fault:
        raise registry.Failed(f"The game's files could not be changed: {fault}") from fault


def _note_current() -> None:
    # The next look at the host would say it as well, but whoever waits for the job reads the row right after.
    host = this_host.row()
    Host.objects.filter(pk=host.pk).update(
        game_version=this_host.game_version(), facts={**host.facts, **this_host.facts()}
    )
