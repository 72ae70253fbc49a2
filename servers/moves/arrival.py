"""Files of a server that arrive on this host: checked as a whole, and only then put in their places."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from left4me.core.files import atomic, room
from left4me.jobs.context import JobContext
from servers.gamehost import parcels
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.sandbox import identity
from servers.hosts import belongings, this_host
from servers.moves import leftovers

# A folder with what is known about the files, such as which own copies are wanted.
_NOTES: Final = "notes"
_MB: Final = 1_000_000


class NotReceived(Exception):
    """The files cannot be taken; what was there before is still there."""


@dataclass(frozen=True)
class Parcel:
    """What arrives: its size and SHA-256 as the sender told them, and its bytes."""

    size: int
    sha256: str
    pieces: Iterator[bytes]


@contextlib.contextmanager
def notes(directory: ServerDirectory) -> Iterator[dict[str, Path]]:
    """The first tree that is sent, with what is known about the files of the others."""
    folder = directory.path / _NOTES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        if directory.kept_file.is_file():
            shutil.copy2(directory.kept_file, folder)
        yield {_NOTES: folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def receive(run: JobContext, directory: ServerDirectory, parcel: Parcel, *, fresh: Path) -> None:
    """Take the files of the server of this job, by way of the folder `fresh`.

    They are marked as those of a server that moves. Raises NotReceived, OSError and parcels.Malformed.
    """
    free = room.left(this_host.root())
    if parcel.size > free:
        raise NotReceived(
            f"The disk of this host is too full: {parcel.size / _MB:,.1f} MB are needed, "
            f"{free / _MB:,.1f} MB are free."
        )
    if directory.is_held():
        raise NotReceived("A game of this server still runs on this host.")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _unpack(run, parcel, fresh)
        _put_in_place(run.resource_id, fresh, directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _unpack(run: JobContext, parcel: Parcel, fresh: Path) -> None:
    """Make the files below `fresh`, as they will be in their places."""
    prepared = ServerDirectory(fresh / "server")
    prepared.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    prepared.prepare()
    trees = {_NOTES: fresh / _NOTES, **belongings.trees(prepared, run.resource_id)}
    trees |= {name: fresh / name for name in belongings.names()}
    for place in trees.values():
        place.mkdir(exist_ok=True, mode=0o700)
    game = identity.of(run.resource_id)
    prepared.hand_over(game)
    digest = hashlib.sha256()
    done = 0

    def counted() -> Iterator[bytes]:
        nonlocal done
        for piece in parcel.pieces:
            digest.update(piece)
            done += len(piece)
            run.progress(phase="receiving", done=done, total=max(parcel.size, done), unit="bytes")
            yield piece

    pieces = counted()
    unpacked = parcels.unpack(pieces, trees, owners={"upper": game, "aside": game}, check=run.check)
    if next(pieces, b"") or done != parcel.size or digest.hexdigest() != parcel.sha256:
        raise NotReceived("The files that arrived are not those that were sent.")
    atomic.sync_file_system(fresh)
    run.log(
        f"Received {unpacked.files} files, {done / _MB:,.1f} MB; their SHA-256 is the same as on the host that "
        "sent them."
    )


def _put_in_place(server_id: int, fresh: Path, directory: ServerDirectory) -> None:
    """Give the files their names. What a failed move, or an earlier stay of the server, left there goes."""
    prepared = ServerDirectory(fresh / "server")
    leftovers.mark(prepared)
    kept = fresh / _NOTES / prepared.kept_file.name
    if kept.is_file():
        atomic.publish(kept, prepared.kept_file, durable=False)
    if directory.path.exists():
        leftovers.remove(directory)
    directory.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic.publish(prepared.path, directory.path, durable=True)
    for name in belongings.names():
        place = belongings.folder(name, server_id)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in os.scandir(fresh / name):
            atomic.publish(Path(entry.path), place / entry.name, durable=False)
