"""The demos of a server on its host: found, read in pieces, and removed. Their names and content are untrusted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core import moments
from left4me.core.files import walk
from livestate.demos import header
from livestate.demos.header import Header
from livestate.demos.models import LONGEST_PATH
from servers.gamehost import removals
from servers.hosts import this_host
from servers.logs.stored import PIECE, Piece

SUFFIX: Final = ".dem"
# A server has far fewer, unless somebody wants it to have more rows than a database likes.
MOST: Final = 2_000

_GAME = PurePosixPath("left4dead2")
# Where `tv_autorecord` and `tv_record` write, Auto Recorder's usual folder, and that of SM AutoDemo.
FOLDERS: Final = (_GAME, _GAME / "demos", _GAME / "addons/sourcemod/data/demos")
_STAMP: Final = re.compile(r"auto-(\d{8}-\d{4})-")
_LONGEST_MAP: Final = timedelta(hours=24)


class NoSuchDemo(LookupError):
    """The server has no such demo."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A demo as it is on the disk."""

    path: str  # in the game's tree
    size: int
    changed: int  # when the game wrote to it last, in nanoseconds

    @property
    def changed_at(self) -> datetime:
        return datetime.fromtimestamp(self.changed / 1e9, UTC)


def find(upper: Path) -> dict[str, File]:
    """The newest demos below the writable layer of a server, by path."""
    found = [
        File(path=str(folder / name), size=status.st_size, changed=status.st_mtime_ns)
        for folder in FOLDERS
        for name, status in walk.list_files(upper, folder.parts).items()
        if is_path(str(folder / name))
    ]
    return {file.path: file for file in sorted(found, key=lambda file: file.changed, reverse=True)[:MOST]}


def is_path(text: str) -> bool:
    """Whether this can be the path of a demo."""
    path = PurePosixPath(text)
    is_name = path.name.endswith(SUFFIX) and text.isprintable() and len(text) <= LONGEST_PATH
    return is_name and str(path) == text and path.parent in FOLDERS


def read_header(upper: Path, path: str) -> Header | None:
    """The header of a demo; None where it cannot be read."""
    try:
        with walk.open_below(upper, PurePosixPath(path).parts) as file:
            return header.read(file)
    except (header.NotADemo, OSError):
        return None


def begun_at(file: File) -> datetime | None:
    """The minute that the name of an automatic recording tells, by the clock of this machine; None without one."""
    stamp = _STAMP.match(PurePosixPath(file.path).name)
    if stamp is None:
        return None
    try:
        at = datetime.strptime(stamp[1], "%Y%m%d-%H%M").replace(tzinfo=moments.machine_zone()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # What somebody has copied or named like this tells nothing.
    return at if timedelta() <= file.changed_at - at <= _LONGEST_MAP else None


def piece(server_id: int, path: str, *, offset: int) -> Piece:
    """A part of a demo. Raises NoSuchDemo."""
    if not is_path(path):
        raise NoSuchDemo(path)
    try:
        with walk.open_below(this_host.storage().of(server_id).upper, PurePosixPath(path).parts) as file:
            found = os.fstat(file.fileno())
            file.seek(offset)
            return Piece(data=file.read(PIECE), size=found.st_size, changed=found.st_mtime_ns)
    except OSError:
        raise NoSuchDemo(path) from None


def remove(server_id: int, files: Mapping[str, int]) -> None:
    """Remove demos, by path and time of change; within seconds where a game of the server runs. Raises OSError."""
    removals.remove(this_host.storage().of(server_id), {path: files[path] for path in files if is_path(path)})


def left(server_id: int, paths: Iterable[str]) -> list[str]:
    """Those of these demos that are still there."""
    return removals.left(this_host.storage().of(server_id), paths)
