"""The copies on the disk of the web's machine: for each server a folder of pieces, named by SHA-256, and their list.

The list is the copy: it is put in place when all of its pieces are on the disk, and then those of the copy before that
it does not name are removed. Until that, a transfer that breaks leaves pieces which the next one need not send.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings

from left4me.core.files import atomic, room
from servers.hosts.server_steps import SENT_AT_ONCE, check_of, is_check

FOLDER: Final = "host_copies"


class NotWhole(Exception):
    """Pieces are missing."""


@dataclass(frozen=True)
class Piece:
    digest: str
    size: int


@dataclass(frozen=True)
class Head:
    """What the first line of a list says of the copy. The database may be older, after a restore of this machine."""

    sha256: str
    copied_at: datetime
    size: int


def root() -> Path:
    return Path(settings.LEFT4ME_ROOT) / FOLDER


def ids() -> list[int]:
    """The servers of which something is kept."""
    return sorted(int(path.name) for path in root().glob("*") if path.name.isdigit())


def left() -> int:
    """How many bytes fit on the disk, less what has to stay free."""
    return room.left(root())


def as_list(pieces: Iterable[Piece]) -> bytes:
    """The text of a list of pieces, in the order of the stream."""
    return "".join(f"{piece.digest} {piece.size}\n" for piece in pieces).encode()


def parse(text: bytes) -> list[Piece]:
    """The pieces of a list. Raises ValueError."""
    pieces = []
    for line in text.decode("ascii").splitlines():
        digest, _, size = line.partition(" ")
        if not is_check(digest) or not 0 < int(size) <= SENT_AT_ONCE:
            raise ValueError("the list of pieces is not valid")
        pieces.append(Piece(digest, int(size)))
    return pieces


class Store:
    """What is kept of one server."""

    def __init__(self, server_id: int) -> None:
        self._folder = root() / str(server_id)
        self._pieces = self._folder / "pieces"
        self._list = self._folder / "list"

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of these pieces that were not sent yet."""
        return [digest for digest in digests if not self._place(digest).exists()]

    def add(self, piece: bytes) -> int:
        """Store a piece; returns by how many bytes what is kept has grown. Raises OSError."""
        place = self._place(check_of(piece))
        if place.exists():
            return 0
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write(place, piece, mode=0o600, durable=False)
        return len(piece)

    def take(self, digest: str) -> bytes:
        """The content of a piece. Raises OSError."""
        return self._place(digest).read_bytes()

    def publish(self, pieces: Collection[Piece], *, sha256: str, copied_at: datetime) -> int:
        """Make these pieces the copy, without the others; returns their bytes on the disk.

        Raises NotWhole and OSError.
        """
        self._check(pieces)
        atomic.sync_file_system(self._folder)
        size = sum(piece.size for piece in pieces)
        head = {"sha256": sha256, "copied_at": copied_at.isoformat(), "size": size}
        atomic.write(self._list, json.dumps(head).encode() + b"\n" + as_list(pieces), mode=0o600, durable=True)
        return self.prune(pieces)

    def prune(self, pieces: Collection[Piece]) -> int:
        """Remove all pieces but these; returns how many bytes are kept."""
        kept, size = {piece.digest for piece in pieces}, 0
        for path in self._pieces.glob("*/*"):
            if path.name in kept:
                size += path.stat().st_size
            else:
                path.unlink(missing_ok=True)
        return size

    def pieces(self) -> list[Piece]:
        """Those of the copy. Raises NotWhole where there is none, or some of it is gone."""
        try:
            pieces = parse(self._list.read_bytes().partition(b"\n")[2])
        except (OSError, ValueError) as fault:
            raise NotWhole from fault
        self._check(pieces)
        return pieces

    def head(self) -> Head | None:
        """What the list says of the copy; None without one."""
        try:
            with self._list.open("rb") as file:
                told = json.loads(file.readline())
            return Head(str(told["sha256"]), datetime.fromisoformat(told["copied_at"]), int(told["size"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def read(self, at: int) -> Iterator[bytes]:
        """The stream of the copy from a place on. Raises NotWhole, OSError."""
        end = 0
        for piece in self.pieces():
            end += piece.size
            if end > at:
                content = self.take(piece.digest)
                yield content[max(0, len(content) - (end - at)) :]

    def drop_unlisted(self) -> int:
        """Remove what no whole copy needs; returns how many bytes are kept."""
        try:
            return self.prune(self.pieces())
        except NotWhole:
            self.drop()
            return 0

    def drop(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _place(self, digest: str) -> Path:
        return self._pieces / digest[:2] / digest

    def _check(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            try:
                size = self._place(piece.digest).stat().st_size
            except OSError as fault:
                raise NotWhole from fault
            if size != piece.size:
                raise NotWhole
