"""Parses the output of SteamCMD: progress, success, and problems with a message for the operator.

Its exit status alone means little (8 for anything about an app, 0 also after some failures), so an installation
counts only when status, `Success!` line and the app's manifest agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

APP: Final = "222860"

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_UPDATE = re.compile(r"Update state \(0x[0-9a-fA-F]+\) ([\w ]+), progress: [\d.]+ \((\d+) / (\d+)\)")
_SELF_UPDATE = re.compile(r"^\[ *(\d+|-+)%?\] ?(.*)")
_SUCCESS = re.compile(rf"Success! App '{APP}' (?:fully installed|already up to date)")
_APP_STATE = re.compile(rf"Error! App '{APP}' state is (0x[0-9a-fA-F]+) after update job", re.IGNORECASE)
_APP_FAILED = re.compile(rf"ERROR! Failed to install app '{APP}' \(([^)]*)\)", re.IGNORECASE)
_LOGIN_FAILED = re.compile(r"(?:FAILED login with result code|Login Failure:|FAILED \()\s*([\w\- ]+)", re.IGNORECASE)
_PUBLIC_BUILD = re.compile(r'"public"\s*\{\s*"buildid"\s*"(\d+)"')


@dataclass(frozen=True, kw_only=True)
class Progress:
    phase: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    message: str
    retry: bool = False  # the same attempt may succeed a little later
    platform: bool = False  # how Steam refuses anonymous installs of this app since it left the free package


_APP_STATES: Final = {
    "0x202": Problem(message="the disk is full: not enough space for the game"),
    "0x212": Problem(message="the disk is full: not enough space for the game"),
    "0x402": Problem(message="the connection to Steam broke off while downloading", retry=True),
    "0x602": Problem(message="the connection to Steam broke off while downloading", retry=True),
    "0x606": Problem(message="files could not be written: check the disk and its permissions"),
    "0x626": Problem(message="files of the installation are missing", retry=True),
    "0x6a6": Problem(message="files of the installation are damaged", retry=True),
    "0x6": Problem(message="no Steam content server answers", retry=True),
}
_APP_REASONS: Final = {
    "missing configuration": Problem(
        message="Steam did not hand out the app's configuration", retry=True, platform=True
    ),
    "invalid platform": Problem(
        message="Steam does not offer the app for Linux to this login", retry=True, platform=True
    ),
    "no subscription": Problem(message="this Steam login does not own the game"),
    "disk write failure": Problem(message="files could not be written: check the disk and its permissions"),
    "timeout": Problem(message="Steam did not answer in time", retry=True),
    "no connection": Problem(message="there is no connection to Steam", retry=True),
}
_LOGIN_REASONS: Final = {
    "invalid password": "the Steam account's name or password is wrong",
    "rate limit exceeded": "Steam refuses further logins for now (too many); try again in half an hour",
    "two-factor code mismatch": "the Steam Guard code is wrong or too old",
    "account logon denied": "Steam Guard asks for the code it sent by mail",
    "account login denied need two-factor code": "the account needs a Steam Guard code",
    "no connection": "there is no connection to Steam",
}
_LINES: Final = (
    ("Timed out waiting for AppInfo update", Problem(message="Steam did not answer in time", retry=True)),
    ("not online or not logged in", Problem(message="there is no connection to Steam", retry=True)),
    ("Steam needs to be online to update", Problem(message="there is no connection to Steam", retry=True)),
    ("Please use force_install_dir before logon", Problem(message="the install script is out of order")),
    (
        "linux32/steamcmd: No such file or directory",
        Problem(message="32-bit libraries are missing: install lib32gcc-s1 and lib32stdc++6"),
    ),
    ("error while loading shared libraries", Problem(message="32-bit libraries are missing: install lib32gcc-s1")),
)


class Reading:
    """The result of a session's lines so far."""

    def __init__(self) -> None:
        self.successes = 0
        self.problem: Problem | None = None

    def take(self, line: str) -> Progress | None:
        """Parse one line. Returns progress if the line contains it."""
        if progress := _progress(line):
            return progress
        if _SUCCESS.search(line):
            self.successes += 1
            self.problem = None
        else:
            self.problem = _problem(line) or self.problem
        return None


def clean(line: str) -> str:
    return _COLOURS.sub("", line).strip()


def public_build(output: str) -> str | None:
    """The newest public build, from the output of `app_info_print`."""
    match = _PUBLIC_BUILD.search(output)
    return match.group(1) if match else None


def installed_build(tree: Path) -> str | None:
    """The build of a complete installation in `tree`; None if there is none, or it is incomplete."""
    try:
        manifest = (tree / f"steamapps/appmanifest_{APP}.acf").read_text("utf-8", "replace")
    except OSError:
        return None
    facts = dict(re.findall(r'"(StateFlags|buildid)"\s*"(\d+)"', manifest))
    return facts.get("buildid", "0") if facts.get("StateFlags") == "4" else None


def _progress(line: str) -> Progress | None:
    if match := _UPDATE.search(line):
        phase, done, total = match.groups()
        # "0 / 0" occurs before the size is known.
        return Progress(phase=phase, done=int(done), total=int(total) or None, unit="bytes")
    if match := _SELF_UPDATE.match(line):
        percent = match.group(1)
        done = int(percent) if percent.isdigit() else 0
        return Progress(phase="updating SteamCMD", done=done, total=100, unit="%")
    return None


def _problem(line: str) -> Problem | None:
    if match := _APP_STATE.search(line):
        state = match.group(1).lower()
        unknown = Problem(message=f"the installation stopped in a state without a name ({state})", retry=True)
        return _APP_STATES.get(state, unknown)
    if match := _APP_FAILED.search(line):
        reason = match.group(1)
        return _APP_REASONS.get(reason.lower(), Problem(message=f"Steam refused the installation: {reason}"))
    if match := _LOGIN_FAILED.search(line):
        reason = match.group(1).strip()
        message = _LOGIN_REASONS.get(reason.lower(), f"Steam refused the login: {reason}")
        return Problem(message=message, retry=reason.lower() == "no connection")
    return next((problem for text, problem in _LINES if text in line), None)
