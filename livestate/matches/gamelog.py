"""What players do before and during a match, read from the log of the game: chat about being ready, and sides.

Lines are written by players in part. One that could be read in two ways is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from left4me.core import steam_ids
from left4me.core.files import walk

FOLDER: Final = ("left4dead2", "logs")
_MOST_READ: Final = 512 * 1024
_LONGEST_LINE: Final = 1000

_STAMP: Final = re.compile(r"^L \d\d/\d\d/\d{4} - \d\d:\d\d:\d\d: ")
_STEAM: Final = r"STEAM_[0-5]:[01]:\d{1,10}|\[U:1:\d{1,10}\]"
_TAG: Final = re.compile(rf"<\d+><(?:{_STEAM}|BOT|Console)>")
# In the log of Left 4 Dead 2 more follows the team: the character, health, position.
_LINE: Final = re.compile(
    rf'^"(?P<name>.*)<\d+><(?P<steam>{_STEAM})><(?P<team>[^>"]*)>(?:<[^"]*)?" '
    r'(?:say(?:_team)? "(?P<said>[^"]*)"|joined team "(?P<joined>\w+)"|(?P<left>disconnected)\b.*)$'
)
_READY: Final = frozenset({"ready", "r"})
_NOT_READY: Final = frozenset({"unready", "nr"})
SIDES: Final = ("Survivor", "Infected")


class Kind(StrEnum):
    READY = "ready"
    NOT_READY = "not ready"
    SIDE = "side"
    LEFT = "left"


@dataclass(frozen=True, kw_only=True)
class Event:
    kind: Kind
    steam_id_64: int
    side: str = ""


def read(lines: Iterable[str]) -> Iterator[Event]:
    """The events of these lines, in their order."""
    for line in lines:
        yield from _events(line)


def _events(line: str) -> Iterator[Event]:
    text = _STAMP.sub("", line.strip())
    # A name or a message that looks like the beginning of a line would pass for another player.
    if len(text) > _LONGEST_LINE or len(_TAG.findall(text)) != 1:
        return
    match = _LINE.match(text)
    steam_id = steam_ids.parse(match["steam"]) if match else None
    if match is None or steam_id is None:
        return
    if match["left"]:
        yield Event(kind=Kind.LEFT, steam_id_64=steam_id)
        return
    side = match["joined"] or match["team"]
    if side:
        yield Event(kind=Kind.SIDE, steam_id_64=steam_id, side=side if side in SIDES else "")
    word = (match["said"] or "").strip()
    if word[:1] in ("!", "/"):
        said = word[1:].lower().removeprefix("sm_")
        if said in _READY:
            yield Event(kind=Kind.READY, steam_id_64=steam_id)
        elif said in _NOT_READY:
            yield Event(kind=Kind.NOT_READY, steam_id_64=steam_id)


def new_lines(upper: Path, position: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The whole lines that were added to the newest log file since `position`, and the position after them.

    Without a `file` in the position, reading begins at the end of the file. Further keys of the position are kept.
    """
    files = walk.list_files(upper, FOLDER)
    logs = [(status.st_mtime_ns, name) for name, status in files.items() if name.endswith(".log")]
    if not logs:
        return [], {"offset": 0, "file": "", **position}
    name = max(logs)[1]
    if "file" not in position:
        return [], {**position, "file": name, "offset": files[name].st_size}
    offset = position.get("offset", 0) if position.get("file") == name else 0
    try:
        with walk.open_below(upper, (*FOLDER, name)) as stream:
            # Of a long stretch the end counts.
            stream.seek(max(offset, files[name].st_size - _MOST_READ))
            data = stream.read(_MOST_READ)
            end = stream.tell()
    except OSError:
        return [], position
    whole, _newline, rest = data.rpartition(b"\n")
    return whole.decode("utf-8", "replace").splitlines(), {**position, "file": name, "offset": end - len(rest)}
