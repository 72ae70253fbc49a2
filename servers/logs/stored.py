"""The stored logs of a server, on its host: its console, and the log files that the game writes.

Pages call this through `servers.hosts.rpc`. File names, links and content are written by the game and are untrusted.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Final

from left4me.core.files import walk
from left4me.core.lines import Masker
from servers.gamehost.port import ServerRuntime

CONSOLE: Final = ""
CONSOLE_LINES: Final = 50_000
MOST_FOUND: Final = 500
MOST_FILES: Final = 200
PIECE: Final = 1024**2

_SEARCHED_BYTES: Final = 32 * 1024**2
_LONGEST_LINE: Final = 2_000
_GAME = PurePosixPath("left4dead2")
# The directories in which the engine and SourceMod write logs, with the pattern of their names.
LOG_FOLDERS: Final = (
    (_GAME, "console*.log"),
    (_GAME / "logs", "*.log"),
    (_GAME / "addons/sourcemod/logs", "*.log"),
)


class NoSuchLog(LookupError):
    """The server has no such log file."""


@dataclass(frozen=True, kw_only=True)
class LogFile:
    name: str  # the path in the game's tree
    size: int
    changed_at: datetime


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a file, as a download of it is read."""

    data: bytes
    size: int  # of the whole file at this moment
    changed: int  # when the file was changed last, in nanoseconds

    def facts(self) -> dict[str, Any]:
        return {"size": self.size, "changed": self.changed}


class StoredLogs:
    """The stored logs of one server, whose writable layer is `upper`, without the secrets that `mask` masks."""

    def __init__(self, server_id: int, *, runtime: ServerRuntime, upper: Path, mask: Masker) -> None:
        self._server_id = server_id
        self._runtime = runtime
        self._upper = upper
        self._mask = mask

    def files(self) -> list[LogFile]:
        """The log files that the game wrote, the newest first."""
        files = [
            LogFile(
                name=str(place / name), size=status.st_size, changed_at=datetime.fromtimestamp(status.st_mtime, UTC)
            )
            for place, pattern in LOG_FOLDERS
            for name, status in walk.list_files(self._upper, place.parts).items()
            if fnmatchcase(name, pattern) and name.isprintable()
        ]
        return sorted(files, key=lambda file: file.changed_at, reverse=True)[:MOST_FILES]

    def console(self) -> Iterator[str]:
        """The lines of the console with their times, the oldest first."""
        for line in self._runtime.tail(self._server_id, lines=CONSOLE_LINES):
            at = line.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S ") if line.at else ""
            yield f"{at}{self._mask(line.text)}"

    def read(self, name: str, *, offset: int) -> Piece:
        """A part of a file that `files` lists. Raises NoSuchLog."""
        place = PurePosixPath(name)
        if not any(place.parent == folder and fnmatchcase(place.name, pattern) for folder, pattern in LOG_FOLDERS):
            raise NoSuchLog(name)
        try:
            with walk.open_below(self._upper, place.parts) as file:
                found = os.fstat(file.fileno())
                # With what surrounds it: a secret may begin before the piece or end after it.
                before = min(offset, self._mask.longest)
                file.seek(offset - before)
                data = self._mask.in_place(file.read(before + PIECE + self._mask.longest))
                return Piece(data=data[before : before + PIECE], size=found.st_size, changed=found.st_mtime_ns)
        except OSError:
            raise NoSuchLog(name) from None

    def find(self, text: str, *, name: str = CONSOLE) -> list[str]:
        """The newest lines that contain `text`, ignoring case; the oldest of them first. Raises NoSuchLog.

        Masked lines are searched: otherwise a search would tell how a secret goes on.
        """
        searched = text.casefold()
        lines = self.console() if name == CONSOLE else self._lines(name)
        return list(deque((line[:_LONGEST_LINE] for line in lines if searched in line.casefold()), maxlen=MOST_FOUND))

    def _lines(self, name: str) -> Iterator[str]:
        offset = max(0, self.read(name, offset=0).size - _SEARCHED_BYTES)
        return _split(self._pieces(name, offset))

    def _pieces(self, name: str, offset: int) -> Iterator[bytes]:
        while data := self.read(name, offset=offset).data:
            offset += len(data)
            yield data


def _split(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *complete, rest = (rest + piece).split(b"\n")
        for raw in complete:
            yield raw.decode("utf-8", "replace").rstrip("\r")
    if rest:
        yield rest.decode("utf-8", "replace")
