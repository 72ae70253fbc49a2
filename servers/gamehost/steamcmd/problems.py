"""The ways in which SteamCMD fails: what happened, whether it passes, and what a person can do about it.

Valve documents none of this. The causes come from many public reports, and are offered as likely where reports differ.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Final

from left4me.core.processes import libraries


class Kind(enum.StrEnum):
    """What a failure is about."""

    LOGIN = "login"
    CONFIRMATION = "confirmation"
    RATE_LIMIT = "rate limit"
    NETWORK = "network"
    STEAM = "steam"  # Steam's own servers are busy or down
    LICENCE = "licence"
    PLATFORM = "platform"  # how Steam refuses anonymous installs of this app since it left the free package
    DISK = "disk"
    FILES = "files"  # of the installation: damaged, missing, not writable
    MACHINE = "machine"  # libraries, processor, memory
    PROGRAM = "program"  # SteamCMD itself
    CRASH = "crash"
    SELF_UPDATE = "self-update"
    UNKNOWN = "unknown"


class Remedy(enum.StrEnum):
    """What to change before the next attempt."""

    FORGET_MANIFEST = "forget manifest"
    FORGET_CACHES = "forget caches"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A failure. `message` and `cure` start in lower case and have no full stop, so that they fit into sentences."""

    kind: Kind
    message: str
    cure: str = ""
    retry: bool = False  # the same attempt may succeed a little later
    remedy: Remedy | None = None
    said: str = ""  # SteamCMD's own words

    @property
    def platform(self) -> bool:
        return self.kind is Kind.PLATFORM

    def __str__(self) -> str:
        """What happened, SteamCMD's words, and what to do next, one a line."""
        lines = [_sentence(self.message)]
        if self.said:
            lines.append(f"SteamCMD: “{self.said}”.")
        if self.cure:
            lines.append(_sentence(self.cure))
        return "\n".join(lines)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


AGAIN: Final = "press Retry; the download so far is kept"
ACCOUNT: Final = "LEFT4ME_STEAM_USERNAME and LEFT4ME_STEAM_PASSWORD"
BY_HAND: Final = (
    "sign in manually once: `HOME=$LEFT4ME_ROOT/steamcmd/home steamcmd +login NAME +quit`, then press Retry"
)
OWNER: Final = f"try again later, or set {ACCOUNT} to a Steam account that owns the game"
WRITE: Final = "check that the disk has free space and is writable, and that left4me's user owns LEFT4ME_ROOT"
LIBRARIES: Final = f"run `{libraries.install_command()}`, then press Retry"

NO_CONNECTION: Final = Problem(
    kind=Kind.NETWORK,
    message="there is no connection to Steam",
    cure="check this machine's internet connection (DNS, firewall, proxy); "
    "`curl -I https://steamcdn-a.akamaihd.net` must succeed. Then press Retry",
    retry=True,
)
TIMED_OUT: Final = Problem(kind=Kind.NETWORK, message="Steam did not respond in time", cure=AGAIN, retry=True)
STEAM_BUSY: Final = Problem(
    kind=Kind.STEAM,
    message="Steam's servers are busy or down",
    cure="check Steam's status at https://steamstat.us and press Retry later",
    retry=True,
)
NOT_CONFIRMED: Final = Problem(
    kind=Kind.CONFIRMATION,
    message="the login was not confirmed in the Steam Mobile app in time",
    cure="have this account's phone ready, press Retry, and confirm in the app",
)
SILENT: Final = Problem(
    kind=Kind.NETWORK,
    message="SteamCMD was stopped because it printed nothing for a long time",
    cure=AGAIN,
    retry=True,
)
INCOMPLETE: Final = Problem(
    kind=Kind.UNKNOWN,
    message="SteamCMD exited without reporting that the game is installed",
    cure=f"{AGAIN}. SteamCMD's output is in this job's log",
    retry=True,
)
SELF_UPDATE: Final = Problem(
    kind=Kind.SELF_UPDATE, message="SteamCMD updated itself and must be restarted", cure=AGAIN, retry=True
)
DAMAGED: Final = Problem(kind=Kind.FILES, message="game files are damaged or missing", cure=AGAIN, retry=True)
NOT_WRITTEN: Final = Problem(
    kind=Kind.FILES, message="files could not be written", cure=f"{WRITE}. Then press Retry", retry=True
)
FULL: Final = Problem(
    kind=Kind.DISK,
    message="the disk is full or a quota is exceeded",
    cure="free some disk space for LEFT4ME_ROOT, then press Retry",
)
NO_LICENCE: Final = Problem(
    kind=Kind.LICENCE,
    message="this Steam login does not own the game",
    cure=f"set {ACCOUNT} to an account that owns the game, restart left4me, then press Retry",
)
CONFIGURATION: Final = Problem(
    kind=Kind.PLATFORM,
    message="Steam did not provide the app's configuration",
    cure=OWNER,
    retry=True,
)
CRASHED: Final = Problem(
    kind=Kind.CRASH,
    message="SteamCMD crashed",
    cure="press Retry. If it crashes every time, delete LEFT4ME_ROOT/steamcmd (it will be downloaded again), "
    "and check that the machine has free memory and can run 32-bit programs",
    retry=True,
    remedy=Remedy.FORGET_CACHES,
)

# Flags of an app's state (StateFlags of its manifest).
_UPDATE_REQUIRED, _INSTALLED, _FILES_MISSING, _FILES_CORRUPT = 0x2, 0x4, 0x20, 0x80
_RUNNING, _PAUSED, _STARTED = 0x100, 0x200, 0x400


def of_state(state: str) -> Problem:
    """The verdict of the state in which an update left the app, for example `0x202`.

    It is a set of flags, so that states which no report has named are read too.
    """
    flags = int(state, 16)
    name = f"state {state}"
    if flags & (_FILES_MISSING | _FILES_CORRUPT):
        which = "damaged" if flags & _FILES_CORRUPT else "missing"
        return replace(DAMAGED, message=f"game files are {which} ({name})")
    if flags & _PAUSED and not flags & _STARTED:
        return Problem(
            kind=Kind.DISK,
            message=f"SteamCMD paused the installation ({name}): probably the disk is full; less often a required app "
            "is missing, permissions are wrong, or the directory contains another game",
            cure=f"{WRITE}. Then press Retry",
            retry=bool(flags & _INSTALLED),
        )
    if flags & _PAUSED and flags & _INSTALLED:
        return Problem(
            kind=Kind.FILES,
            message=f"the update stopped halfway ({name}): probably files could not be written, or the connection "
            "to Steam was lost",
            cure=f"{WRITE}. Then press Retry",
            retry=True,
        )
    if flags & (_STARTED | _PAUSED | _RUNNING):
        return Problem(
            kind=Kind.NETWORK,
            message=f"the download stopped halfway ({name}): probably the connection to Steam was lost",
            cure=AGAIN,
            retry=True,
        )
    if flags & _UPDATE_REQUIRED:
        return Problem(
            kind=Kind.FILES,
            message=f"the update did not start ({name}): probably SteamCMD's manifest of the installation is "
            "outdated, or no Steam content server responds",
            cure=AGAIN,
            retry=True,
            remedy=Remedy.FORGET_MANIFEST,
        )
    return unknown(f"the installation stopped in an unknown state ({state})")


def unknown(message: str) -> Problem:
    return Problem(
        kind=Kind.UNKNOWN,
        message=message,
        cure="press Retry. If it fails again, see the end of this job's log and "
        "LEFT4ME_ROOT/steamcmd/home/Steam/logs; `manage.py doctor` checks the machine",
        retry=True,
    )
