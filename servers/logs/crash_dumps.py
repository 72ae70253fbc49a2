"""The crash dumps of a server, on its host: listed with what they tell, and read in pieces.

A dump holds parts of the game's memory, and so perhaps its RCON password: only who may change the server gets it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from left4me.core.files import walk
from servers.logs import minidumps
from servers.logs.stored import PIECE, Piece

MOST_DUMPS: Final = 20

_GAME = PurePosixPath("left4dead2")
# Where SourceMod's Accelerator and the engine put them.
FOLDERS: Final = (
    _GAME / "addons/sourcemod/data/dumps",
    _GAME,
    _GAME / "dumps",
    PurePosixPath("dumps"),
    PurePosixPath(),
)
ENDS: Final = (".dmp", ".mdmp")


class NoSuchDump(LookupError):
    """The server has no such crash dump."""


@dataclass(frozen=True, kw_only=True)
class Dump:
    name: str  # the path in the game's tree
    size: int
    changed_at: datetime
    crash: minidumps.Crash | None  # None: it cannot be read

    def as_facts(self) -> dict[str, Any]:
        """As JSON takes it, without the modules."""
        return {
            "name": self.name,
            "size": self.size,
            "changed_at": self.changed_at.isoformat(),
            "is_readable": self.crash is not None,
            "reason": self.crash.reason if self.crash else "",
        }


def find(upper: Path) -> list[Dump]:
    """The newest dumps below the writable layer of a server, the newest first."""
    found = [
        (status.st_mtime, place / name, status.st_size)
        for place in FOLDERS
        for name, status in walk.list_files(upper, place.parts).items()
        if name.endswith(ENDS) and name.isprintable()
    ]
    newest = sorted(found, key=lambda each: each[0], reverse=True)[:MOST_DUMPS]
    return [
        Dump(name=str(path), size=size, changed_at=datetime.fromtimestamp(at, UTC), crash=_crash(upper, path))
        for at, path, size in newest
    ]


def piece(upper: Path, name: str, *, offset: int) -> Piece:
    """A part of a dump. Raises NoSuchDump."""
    path = _path(name)
    try:
        with walk.open_below(upper, path.parts) as file:
            found = os.fstat(file.fileno())
            file.seek(offset)
            return Piece(data=file.read(PIECE), size=found.st_size, changed=found.st_mtime_ns)
    except OSError:
        raise NoSuchDump(name) from None


def modules(upper: Path, name: str) -> list[dict[str, Any]]:
    """The modules of a dump, as JSON takes them. Raises NoSuchDump."""
    crash = _crash(upper, _path(name))
    if crash is None:
        raise NoSuchDump(name)
    return [asdict(module) for module in crash.modules]


def _path(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.parent not in FOLDERS or not path.name.endswith(ENDS):
        raise NoSuchDump(name)
    return path


def _crash(upper: Path, path: PurePosixPath) -> minidumps.Crash | None:
    try:
        with walk.open_below(upper, path.parts) as file:
            return minidumps.read(file)
    except (minidumps.NotADump, OSError):
        return None
