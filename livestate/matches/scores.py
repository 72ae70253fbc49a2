"""The score of each map, from the files that the statistics plugin of a pack writes after both teams have played it.

The game itself tells no score, neither on the console nor in its log. A file has sections; those that count here are
the first one (the map and the mode), `[Players:A]` (who played in which team) and `[Scoring:]`. Files are written by
plugins, so they are read up to a limit.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypedDict

from left4me.core import steam_ids
from left4me.core.files import walk

FOLDER: Final = ("left4dead2", "addons", "sourcemod", "logs")
_NAME: Final = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d_(\d{4,6})_[\w.-]{1,64}\.txt")
_LARGEST: Final = 256 * 1024
_MOST: Final = 50
_SECTION: Final = re.compile(r"^\[(\w+):?(\w*):?\]:?\s*$")
_SCORE: Final = re.compile(r"A;(-?\d{1,6});(-?\d{1,6});B;(-?\d{1,6});(-?\d{1,6});?")
_LONGEST: Final = 100


class Round(TypedDict):
    """One map. `a` and `b` are the points on this map, the totals those of the match so far."""

    file: str
    map: str
    config: str
    a: int
    b: int
    total_a: int
    total_b: int
    team_a: list[str]
    team_b: list[str]


def find(upper: Path, *, since: datetime) -> list[Round]:
    """The maps that were played to their end since then, the oldest first."""
    files = walk.list_files(upper, FOLDER)
    names = sorted(name for name, status in files.items() if _is_new(name, status.st_mtime, since))
    found = []
    for name in names[-_MOST:]:
        try:
            with walk.open_below(upper, (*FOLDER, name)) as stream:
                text = stream.read(_LARGEST).decode("utf-8", "replace")
        except OSError:
            continue
        if played := parse(text, file=name):
            found.append(played)
    return found


def parse(text: str, *, file: str = "") -> Round | None:
    """The map that a file describes; None while only one team has played it."""
    sections = _sections(text)
    head = next((line.split(";") for line in sections.get("Gameround", []) if line.count(";") >= 5), None)
    score = next((match for line in sections.get("Scoring", []) if (match := _SCORE.fullmatch(line))), None)
    if head is None or score is None:
        return None
    a, total_a, b, total_b = (int(number) for number in score.groups())
    # A mode's name may hold a semicolon; the map is the last but one, as the line ends with a semicolon.
    fields = head[:-1] if not head[-1] else head
    return Round(
        file=file,
        map=fields[-1].strip()[:_LONGEST],
        config=";".join(fields[4:-1]).strip()[:_LONGEST],
        a=a,
        b=b,
        total_a=total_a,
        total_b=total_b,
        team_a=_accounts(sections.get("Players:A", [])),
        team_b=_accounts(sections.get("Players:B", [])),
    )


def _is_new(name: str, changed: float, since: datetime) -> bool:
    return _NAME.fullmatch(name) is not None and changed >= since.timestamp()


def _sections(text: str) -> dict[str, list[str]]:
    """The lines of each section. That of the first team and that of the second have different names."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if match := _SECTION.match(line.strip()):
            name = f"{match[1]}:{match[2]}" if match[1] == "Players" else match[1]
            lines = found.setdefault(name, [])
        elif line.strip():
            lines.append(line.strip())
    return found


def _accounts(lines: list[str]) -> list[str]:
    """The Steam IDs in lines `number;index;STEAM_1:0:1;…`; bots have none."""
    found: list[str] = []
    for line in lines:
        fields: list[Any] = line.split(";")
        account = steam_ids.parse(fields[2]) if len(fields) > 2 else None
        if account is not None and str(account) not in found:
            found.append(str(account))
    return found[:_MOST]
