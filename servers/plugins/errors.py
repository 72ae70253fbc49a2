"""What SourceMod's error log says that plugins lack: natives, extensions and other plugins, and what failed.

Only what was logged since the present start is read: what an earlier one lacked may be there now. SourceMod begins a
new session in the log at each map and a new file each day, but loads plugins once, so neither says when it started.
The log is untrusted, since plugins write into it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from left4me.core import moments
from left4me.core.files import walk
from overlays.plugins.finder import SOURCEMOD

LOGS: Final = (*SOURCEMOD, "logs")
MOST: Final = 100
# Of the end of the log. A plugin that fails all the time should not hide for a while what was logged at the start.
_MOST_READ: Final = 4 * 1024**2
_LONGEST: Final = 300
_NAME: Final = re.compile(r"errors_(\d{8})\.log")
_LINE: Final = re.compile(r"^L ((\d\d)/(\d\d)/(\d{4}) - (\d\d:\d\d:\d\d)): (?:\[SM\] )?(.*)$")
_LOAD: Final = re.compile(r'^(?:Unable|Failed) to load (plugin|extension) "([^"]{1,200})": (.+)$')
_EXCEPTION: Final = re.compile(r"^Exception reported: (.+)$")
_BLAMED: Final = re.compile(r"^Blaming: (\S.{0,199})$")
_LOGGED: Final = re.compile(r"^\[([^\[\]]{1,200}\.smx)\] (.+)$")


class Kind(StrEnum):
    NATIVE = "native"
    EXTENSION = "extension"
    PLUGIN = "plugin"
    FAILED = "failed"  # for any other reason
    EXCEPTION = "exception"
    LOGGED = "logged"  # by the plugin itself, which knows best what it means


_REASONS: Final = (
    (Kind.NATIVE, re.compile(r'^Native "([^"]{1,200})" was not found')),
    (Kind.EXTENSION, re.compile(r'^Required extension "[^"]*" file\("([^"]{1,200})"\) not running')),
    (Kind.PLUGIN, re.compile(r'^Could not find required plugin "([^"]{1,200})"')),
)


@dataclass(frozen=True)
class Problem:
    """`name` is the file of the plugin or extension, `detail` what it lacks or why it failed."""

    name: str
    kind: Kind
    detail: str


@dataclass
class Seen:
    count: int = 0
    at: str = ""


def read(upper: Path, *, since: datetime | None) -> list[dict[str, Any]]:
    """The problems as pages show them: what was not loaded comes first, then what was logged last.

    `upper` is the writable layer, and `since` the start of the game; without it, there are none.
    """
    if since is None:
        return []
    found = parse(_lines(upper, since), since=since)
    latest = list(reversed(found.items()))
    # Stable, so that the latest of each comes first.
    latest.sort(key=lambda item: item[0].kind in (Kind.EXCEPTION, Kind.LOGGED))
    return [
        {"name": each.name, "kind": each.kind, "detail": each.detail, "count": seen.count, "at": seen.at}
        for each, seen in latest[:MOST]
    ]


def parse(lines: Iterable[str], *, since: datetime) -> dict[Problem, Seen]:
    """The problems that were logged since then, each with how often and when it was logged last."""
    first = f"{since.astimezone(moments.machine_zone()):%Y-%m-%d %H:%M:%S}"
    found: dict[Problem, Seen] = {}
    exception = ""
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        at, month, day, year, time, said = match.groups()
        if f"{year}-{month}-{day} {time}" < first:
            continue
        said = _plain(said)
        problem = None
        if loading := _LOAD.match(said):
            problem = _of_reason(loading[1], loading[2], loading[3])
        elif thrown := _EXCEPTION.match(said):
            exception = thrown[1]
        elif exception and (blamed := _BLAMED.match(said)):
            problem, exception = Problem(blamed[1], Kind.EXCEPTION, exception), ""
        elif logged := _LOGGED.match(said):
            problem = Problem(logged[1], Kind.LOGGED, logged[2])
        if problem and (problem in found or len(found) < MOST * 10):
            seen = found.pop(problem, Seen())
            found[problem] = Seen(seen.count + 1, at)
    return found


def _of_reason(what: str, name: str, reason: str) -> Problem:
    if what == "plugin":
        for kind, pattern in _REASONS:
            if match := pattern.match(reason):
                return Problem(name, kind, match[1])
    return Problem(name, Kind.FAILED, reason)


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:_LONGEST]


def _lines(upper: Path, since: datetime) -> list[str]:
    """The end of what was logged on the days since then, of which each has a file."""
    first = f"{since.astimezone(moments.machine_zone()):%Y%m%d}"
    names = [name for name in walk.list_files(upper, LOGS) if (match := _NAME.fullmatch(name)) and match[1] >= first]
    texts: list[str] = []
    left = _MOST_READ
    for name in sorted(names, reverse=True):
        text = _tail(upper, name, left)
        texts.append(text.decode("utf-8", "replace"))
        left -= len(text)
        if left <= 0:
            break
    return [line for text in reversed(texts) for line in text.splitlines()]


def _tail(upper: Path, name: str, most: int) -> bytes:
    try:
        with walk.open_below(upper, (*LOGS, name)) as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - most))
            return stream.read(most)
    except OSError:
        return b""
