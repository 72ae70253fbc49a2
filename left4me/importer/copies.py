"""Copies the files of a plan into the directory of their overlay. What was copied before is not copied again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from left4me.core import texts
from left4me.core.files import walk
from left4me.core.files.tree import BadPath, Parts, Tree
from left4me.importer.plan import File
from left4me.importer.source import Source
from left4me.jobs.context import JobContext
from overlays import game_files

_PIECE: Final = 1024 * 1024
# A file that another program writes on must not fill the disk.
_MOST_GROWTH: Final = 16 * 1024 * 1024


class Grown(OSError):
    """The file has become much larger than it was."""


@dataclass
class Copied:
    files: int = 0
    there: int = 0
    problems: list[str] = field(default_factory=list)


def copy(
    source: Source, files: Sequence[File], *, into: Tree, run: JobContext, count: Callable[[int], None]
) -> Copied:
    """Copy the files; `count` gets the bytes of each piece. Raises Cancelled, and OSError when the disk is full."""
    done = Copied()
    for file in files:
        run.check()
        where = tuple(file.target.split("/"))
        if file.text is None and _is_there(into, where, file):
            done.there += 1
            count(file.size)
            continue
        try:
            if file.text is not None:
                with into.writing(where) as target:
                    target.write(file.text.encode())
                count(file.size)
            else:
                with source.open(tuple(file.source.split("/"))) as stream:
                    _copy(stream, file, where, into, run, count, done)
        except (BadPath, Grown, walk.NotRegular, FileNotFoundError, PermissionError, NotADirectoryError) as fault:
            done.problems.append(f"{file.source}: {fault}")
            continue
        done.files += 1
    return done


def _copy(
    stream: BinaryIO,
    file: File,
    where: Parts,
    into: Tree,
    run: JobContext,
    count: Callable[[int], None],
    done: Copied,
) -> None:
    piece = stream.read(_PIECE)
    mode = 0o755 if game_files.is_executable(where, piece, is_marked=file.is_marked) else 0o644
    size = 0
    with into.writing(where, mode=mode) as target:
        while piece:
            run.check()
            following = stream.read(_PIECE)
            size += len(piece)
            if size > file.size + _MOST_GROWTH:
                raise Grown("it grows while it is copied; it was left out.")
            count(len(piece))
            if size <= _PIECE and not following and game_files.needs_converting(where, piece):
                piece = texts.decode(piece).text.encode()
            target.write(piece)
            piece = following
        target.flush()
        # By its size and time, another attempt finds that the file is there.
        os.utime(target.fileno(), ns=(file.modified_ns, file.modified_ns))
    if size != file.size:
        done.problems.append(f"{file.source}: it changed since it was read; it was copied as it is now.")


def _is_there(into: Tree, where: Parts, file: File) -> bool:
    try:
        with into.folder(where[:-1]) as handle:
            found = walk.status(where[-1], at=handle)
    except BadPath:
        return False
    return found is not None and (found.st_size, found.st_mtime_ns) == (file.size, file.modified_ns)
