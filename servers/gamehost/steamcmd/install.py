"""Installs and updates the real game beside the current version, and publishes it when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from left4me.core import concurrency
from left4me.core.files import atomic, room
from left4me.core.processes import commands
from servers.gamehost.game import NoVersion, Version, Versions
from servers.gamehost.port import Watch
from servers.gamehost.steamcmd.output import installed_build
from servers.gamehost.steamcmd.problems import AGAIN, Kind, Problem
from servers.gamehost.steamcmd.session import Login, SteamCmd

# The Windows files are downloaded first, the Linux ones replace a part of them, and both pass a download area.
FIRST_INSTALL_BYTES: Final = 25 * 1024**3
# An update works on a copy of the present version.
UPDATE_BYTES: Final = 13 * 1024**3

PAUSES: Final = (5.0, 10.0, 20.0, 40.0)

_REQUIRED: Final = ("srcds_run", "srcds_linux", "left4dead2/cfg/valve.rc")
_CLIENT: Final = "steamclient.so"
_CLIENT_LINK: Final = Path(".steam/sdk32") / _CLIENT


class InstallFailed(Exception):
    """The game was not installed, and the current version is unchanged. The message is for the operator."""


def install(
    *,
    versions: Versions,
    steamcmd: SteamCmd,
    watch: Watch,
    now: Callable[[], datetime],
    login: Login | None = None,
    repair: bool = False,
    pauses: Sequence[float] = PAUSES,
    free_bytes: Callable[[Path], int] = room.free,
) -> Version:
    """Update the host's game to Steam's newest build. Returns the version that is current afterwards.

    Nothing changes if it is the newest already, unless `repair`. The login is anonymous; where Steam refuses that, it
    is `login`. An interrupted installation is resumed. Raises InstallFailed and Cancelled.
    """
    base = _installed(versions)
    _require_space(versions, base, free_bytes)
    try:
        if base and not repair and steamcmd.newest_build(watch=watch) == base.build:
            watch.log(f"Build {base.build} is already the newest.")
            return base
        tree = versions.stage(watch=watch, base=base)
        _Installation(
            tree=tree, steamcmd=steamcmd, watch=watch, pauses=pauses, free_bytes=free_bytes
        ).bring_up_to_date(login)
        build = installed_build(tree) or ""
        _link_client(tree, steamcmd, watch)
    except commands.CommandError as error:
        raise InstallFailed(str(error)) from error
    except OSError as error:
        raise InstallFailed(f"the installation could not be written: {error}") from error
    if base and build == base.build and not repair:
        versions.discard_staging()
        return base
    version = versions.publish(kind="steam", build=build, now=now())
    watch.log(f"Build {build} installed. Servers use it after their next restart.")
    return version


def roll_back(*, versions: Versions, steamcmd: SteamCmd, watch: Watch) -> Version:
    """Return to the previous version, with the present steamclient.so: with an old one the login to Steam hangs.

    Raises NoVersion.
    """
    version = versions.previous()
    _link_client(version.path, steamcmd, watch)
    return versions.roll_back()


def _installed(versions: Versions) -> Version | None:
    try:
        current = versions.current()
    except NoVersion:
        return None
    return current if current.kind == "steam" else None


def _require_space(versions: Versions, base: Version | None, free_bytes: Callable[[Path], int]) -> None:
    game = versions.staging.parent
    game.mkdir(parents=True, exist_ok=True)
    needed = UPDATE_BYTES if base or versions.staging.exists() else FIRST_INSTALL_BYTES
    free = free_bytes(game)
    if free < needed:
        raise InstallFailed(f"{needed / 1024**3:.0f} GB must be free at {game}, but only {free / 1024**3:.1f} GB are")


@dataclass(frozen=True, kw_only=True)
class _Installation:
    """The values that all attempts of one installation share."""

    tree: Path
    steamcmd: SteamCmd
    watch: Watch
    pauses: Sequence[float]
    free_bytes: Callable[[Path], int]

    def bring_up_to_date(self, login: Login | None) -> None:
        """Install anonymously, and with the account where Steam wants an owner of the game. Raises InstallFailed."""
        problem = self._try_often(None)
        if problem and login and problem.kind in (Kind.PLATFORM, Kind.LICENCE):
            self.watch.log(
                "Steam does not offer the game to anonymous logins at the moment; logging in with the account."
            )
            problem = self._try_often(login)
        if problem:
            raise InstallFailed(str(problem))

    def _try_often(self, login: Login | None) -> Problem | None:
        """Try until it works, the problem is permanent, or the pauses are used up."""
        problem: Problem | None = None
        for attempt, pause in enumerate((*self.pauses, None)):
            problem = self.steamcmd.update(
                self.tree, login=login, watch=self.watch, attempt=attempt, after=problem
            ) or _incomplete(self.tree)
            if problem is None:
                return None
            problem = self._with_room(problem, is_first=attempt == 0)
            if pause is None or not problem.retry:
                return problem
            words = f"{problem.message[:1].upper()}{problem.message[1:]}"
            self.watch.log(f"{words}; retrying in {pause:g} s, in another order.")
            concurrency.pause(pause, self.watch.cancelled)
        return problem

    def _with_room(self, problem: Problem, *, is_first: bool) -> Problem:
        """A problem of the disk with what the disk says: with room on it, another attempt is worth its while."""
        if problem.kind is not Kind.DISK:
            return problem
        free = self.free_bytes(self.tree)
        room_left = f"{free / 1024**3:.1f} GB are free at {self.tree}"
        if free < UPDATE_BYTES:
            return replace(problem, message=f"the disk is full: only {room_left}", retry=False)
        return replace(problem, cure=f"{room_left}, so check quotas and permissions: {problem.cure}", retry=is_first)


def _incomplete(tree: Path) -> Problem | None:
    """The problem of an installation that SteamCMD calls complete and that is not."""
    if installed_build(tree) is None:
        what = "its manifest does not report the game as complete"
    elif missing := [name for name in _REQUIRED if not (tree / name).is_file()]:
        what = f"{', '.join(missing)} is missing"
    else:
        return None
    return Problem(kind=Kind.FILES, message=f"SteamCMD reported success, but {what}", cure=AGAIN, retry=True)


def _link_client(tree: Path, steamcmd: SteamCmd, watch: Watch) -> None:
    """Copy steamclient.so to where the game looks for it: its HOME is its own tree."""
    places = (
        steamcmd.program.parent / "linux32",
        steamcmd.home / ".local/share/Steam/steamcmd/linux32",
        steamcmd.home / ".steam/steamcmd/linux32",
        steamcmd.home / "Steam/linux32",
    )
    source = next((place / _CLIENT for place in places if (place / _CLIENT).is_file()), None)
    if source is None:
        watch.log(f"{_CLIENT} was not found beside SteamCMD; the game falls back to its own.")
        return
    target = tree / _CLIENT_LINK
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(target, source.read_bytes(), mode=0o755, durable=False)
