"""Parses the output of SteamCMD: progress, success, and problems with a message for the operator.

Its exit status alone means little (8 for anything about an app, 0 also after some failures), so an installation
counts only when status, `Success!` line and the app's manifest agree.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from servers.gamehost.steamcmd import problems, verdicts
from servers.gamehost.steamcmd.problems import Kind, Problem

APP: Final = "222860"

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_UPDATE = re.compile(r"Update state \(0x[0-9a-fA-F]+\) ([\w ]+), progress: [\d.]+ \((\d+) / (\d+)\)")
_SELF_UPDATE = re.compile(r"^\[ *(\d+|-+)%?\] ?(.*)")
_SUCCESS = re.compile(rf"Success! App '{APP}' (?:fully installed|already up to date)")
_FATAL: Final = "!!! Fatal Error"
_CONFIRMATION_WANTED = re.compile(
    r"confirm the login in the Steam Mobile|Steam Mobile app.*(confirm|approve)|Waiting for (confirmation|approval)",
    re.I,
)
_CONFIRMED = re.compile(r"Waiting for (confirmation|client config|user info)\s*\.\.\.\s*OK|Logged in OK", re.I)
# Lines of healthy sessions, and the warnings that each of them prints on some machines.
_NOISE = re.compile(
    r"^Redirecting stderr|^Logging directory|^UpdateUI|^Steam Console Client|type 'quit' to exit|^Loading Steam API"
    r"|^Unloading Steam API|\.\.\.\s*OK$|^OK$|^Connecting anonymously|CWorkThreadPool|setlocale|CPU Frequency"
    r"|IPC function call|ILocalize::AddFile|burning pthread_key|dlmopen|^\"@|^quit$|^Retrying|force_install_dir before"
    r"|shutdown cleanly|ulimit: open files|cannot be preloaded"
)
_FAULT = re.compile(
    r"err(or|no)|fail|fatal|denied|cannot|can't|refused|unable|missing|not found|invalid|timed? ?out", re.I
)
_KEPT_WORDS: Final = 12
_SHOWN_WORDS: Final = 2
_LONGEST_WORDS: Final = 400
_KEY_VALUES = re.compile(r'"((?:[^"\\]|\\.)*)"|([{}])')
_BUILD_NUMBER = re.compile(r"\d{1,20}")


@dataclass(frozen=True, kw_only=True)
class Progress:
    phase: str
    done: int
    total: int | None
    unit: str


class Reading:
    """The result of a session's lines so far."""

    def __init__(self) -> None:
        self.successes = 0
        self.problem: Problem | None = None
        self.waits_for_confirmation = False
        self._crash: Problem | None = None
        self._hint = ""
        self._last_words: deque[str] = deque(maxlen=_KEPT_WORDS)

    def take(self, line: str) -> Progress | None:
        """Parse one line. Returns progress if the line contains it."""
        if progress := _progress(line):
            return progress
        if line and not _NOISE.search(line):
            self._last_words.append(line)
        if _CONFIRMATION_WANTED.search(line):
            self.waits_for_confirmation = True
        if verdicts.is_hint(line):
            self._hint = line
        if _SUCCESS.search(line):
            self.successes += 1
            self.problem = None
        elif found := verdicts.of_line(line):
            self._note(found, line)
        elif _CONFIRMED.search(line):
            self.waits_for_confirmation = False
        return None

    def verdict(self, status: int | None, *, wanted: int = 1) -> Problem | None:
        """The problem of a session that ended with `status`, or None for success, which `wanted` installs make.

        A status of None means that it was ended because it printed nothing more.
        """
        if status is None and self.waits_for_confirmation:
            return replace(problems.NOT_CONFIRMED, said=self.last_words)
        if self.problem:
            return verdicts.with_hint(self.problem, self._hint)
        if status is None:
            return replace(problems.SILENT, said=self.last_words)
        if self._crash or verdicts.is_crash(status):
            # It is known to crash while it ends, after its work is done.
            crash = replace(problems.CRASHED, message=f"SteamCMD crashed (status {status})", said=self.last_words)
            return None if self.successes >= wanted else self._crash or crash
        if problem := verdicts.of_exit(status):
            return replace(problem, said=self.last_words)
        if self.successes < wanted:
            return replace(problems.INCOMPLETE, said=self.last_words)
        return None

    @property
    def last_words(self) -> str:
        """The lines that most likely say why it ended: the last ones that report a fault, else the last ones."""
        faults = [line for line in self._last_words if _FAULT.search(line)]
        return " / ".join((faults or list(self._last_words))[-_SHOWN_WORDS:])[-_LONGEST_WORDS:]

    def _note(self, found: Problem, line: str) -> None:
        if self.waits_for_confirmation and found.kind is Kind.NETWORK:
            found = replace(problems.NOT_CONFIRMED, said=line)
        if found.kind is Kind.CRASH:
            self._crash = found
        elif self.problem is None or not verdicts.is_consequence(line):
            self.problem = found


def clean(line: str) -> str:
    return _COLOURS.sub("", line).strip()


def public_build(output: str) -> str | None:
    """The newest public build, from the output of `app_info_print`; None if it holds none.

    SteamCMD prints other lines around the description, prints it more than once, or stops in the middle, and the
    order of its keys changes. The last description that names the build counts.
    """
    build = None
    for start in re.finditer(rf'"{APP}"\s*\{{', output):
        build = _value(output[start.start() :], (APP, "branches", "public", "buildid")) or build
    return build if build and _BUILD_NUMBER.fullmatch(build) else None


def _value(text: str, path: tuple[str, ...]) -> str | None:
    """The value at the end of `path` in the first block of KeyValues; levels that it leaves out are skipped."""
    opened: list[str] = []
    key: str | None = None
    for match in _KEY_VALUES.finditer(text):
        word, brace = match.groups()
        if brace == "{":
            opened.append(key or "")
            key = None
        elif brace == "}":
            opened = opened[:-1]
            if not opened:
                return None
        elif key is None:
            key = word
        else:
            if key == path[-1] and _leads_to(opened, path[:-1]):
                return str(word)
            key = None
    return None


def _leads_to(opened: list[str], path: tuple[str, ...]) -> bool:
    """Whether `opened` begins with the first step and ends with all others."""
    return opened[:1] == [path[0]] and tuple(opened[-len(path) + 1 :]) == path[1:]


def manifest(tree: Path) -> Path:
    """SteamCMD's own description of the installation in `tree`."""
    return tree / f"steamapps/appmanifest_{APP}.acf"


def installed_build(tree: Path) -> str | None:
    """The build of a complete installation in `tree`; None if there is none, or it is incomplete."""
    try:
        text = manifest(tree).read_text("utf-8", "replace")
    except OSError:
        return None
    facts = dict(re.findall(r'"(StateFlags|buildid)"\s*"(\d+)"', text))
    return facts.get("buildid", "0") if facts.get("StateFlags") == "4" else None


def _progress(line: str) -> Progress | None:
    if _FATAL in line:
        return None
    if match := _UPDATE.search(line):
        phase, done, total = match.groups()
        # "0 / 0" occurs before the size is known.
        return Progress(phase=phase, done=int(done), total=int(total) or None, unit="bytes")
    if match := _SELF_UPDATE.match(line):
        percent = match.group(1)
        done = int(percent) if percent.isdigit() else 0
        return Progress(phase="updating SteamCMD", done=done, total=100, unit="%")
    return None
