"""What SourceMod's error log says that plugins lack: natives, extensions and other plugins, and what failed.

Only the last session of the newest file is read: what an earlier start lacked may be there now. The log is untrusted,
since plugins write into it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from left4me.core.files import walk
from overlays.plugins.finder import SOURCEMOD

LOGS: Final = (*SOURCEMOD, "logs")
MOST: Final = 100
_TAIL: Final = 512 * 1024
_LONGEST: Final = 300
_NAME: Final = re.compile(r"errors_\d{8}\.log")
_LINE: Final = re.compile(r"^L (\d\d/\d\d/\d{4} - \d\d:\d\d:\d\d): (?:\[SM\] )?(.*)$")
_SESSION: Final = "SourceMod error session started"
_LOAD: Final = re.compile(r'^(?:Unable|Failed) to load (plugin|extension) "([^"]{1,200})": (.+)$')
_EXCEPTION: Final = re.compile(r"^Exception reported: (.+)$")
_BLAMED: Final = re.compile(r"^Blaming: (\S{1,200})$")


class Kind(StrEnum):
    NATIVE = "native"
    EXTENSION = "extension"
    PLUGIN = "plugin"
    FAILED = "failed"  # for any other reason
    EXCEPTION = "exception"


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


def read(upper: Path) -> list[dict[str, Any]]:
    """The problems of the last session as pages show them, the latest first. `upper` is the writable layer."""
    names = sorted(name for name in walk.list_files(upper, LOGS) if _NAME.fullmatch(name))
    if not names:
        return []
    found = parse(_tail(upper, names[-1]))
    return [
        {"name": each.name, "kind": each.kind, "detail": each.detail, "count": seen.count, "at": seen.at}
        for each, seen in reversed(found.items())
    ][:MOST]


def parse(text: str) -> dict[Problem, Seen]:
    """The problems of the last session in a log, each with how often and when it was logged last."""
    _head, mark, last = text.rpartition(_SESSION)
    found: dict[Problem, Seen] = {}
    exception = ""
    for line in (last if mark else text).splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        at, said = match[1], _plain(match[2])
        problem = None
        if loading := _LOAD.match(said):
            problem = _of_reason(loading[1], loading[2], loading[3])
        elif thrown := _EXCEPTION.match(said):
            exception = thrown[1]
        elif exception and (blamed := _BLAMED.match(said)):
            problem, exception = Problem(blamed[1], Kind.EXCEPTION, exception), ""
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


def _tail(upper: Path, name: str) -> str:
    try:
        with walk.open_below(upper, (*LOGS, name)) as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - _TAIL))
            return stream.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
