"""What a server has written, as one stream of bytes that another host turns into the same files again.

The stream is neutral of how a host mounts overlays: what a game has deleted, and folders that it made anew, are said
in words, whichever mark stands for them on the disk. It is the same each time for the same files, so that a broken
transfer goes on where it ended. Holes of sparse files are not sent. Owners are not part of it.

A line of JSON describes each entry; the bytes of a file follow in pieces, each after a line with its place. Both sides
are untrusted: games wrote the files, and another machine sends the stream. All is reached by handles.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from left4me.core.files import atomic, walk
from servers.gamehost import shadows
from servers.gamehost.sandbox.identity import Identity

PIECE: Final = 1024 * 1024
MOST_ENTRIES: Final = 500_000
_DEEPEST: Final = 64
_LONGEST_LINE: Final = 256 * 1024
# The marks of fuse-overlayfs where it may make no device files, and of kernels that mark by attributes.
_GONE: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_OPAQUE_ATTRIBUTES: Final = ("user.overlay.opaque", "trusted.overlay.opaque", "user.fuseoverlayfs.opaque")
_GONE_ATTRIBUTES: Final = ("user.overlay.whiteout", "trusted.overlay.whiteout")

Parts = tuple[str, ...]
Opened = TypeVar("Opened", int, BinaryIO)
Check = Callable[[], None]


class TooMany(Exception):
    """There are more files than a server may take along."""


class Malformed(Exception):
    """The stream is not what `pack` makes, or it would harm this host."""


@dataclass
class LeftOut:
    """What is not carried: devices, sockets, links that lead out of the tree, and what is nested too deep."""

    count: int = 0
    paths: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        self.count += 1
        if len(self.paths) < 10:
            self.paths.append(path.encode(errors="backslashreplace").decode())


@dataclass
class Unpacked:
    files: int = 0
    entries: int = 0


def pack(
    trees: Mapping[str, Path],
    *,
    besides: Mapping[str, Collection[str]],
    left_out: LeftOut,
    while_in_use: bool = False,
) -> Iterator[bytes]:
    """The stream of the files below these directories, by their names; one that is missing is left out.

    `besides` are paths in a tree that are not wanted. `while_in_use`: a game may write to the files meanwhile. Then
    what vanishes or cannot be read is left out, no mode is changed, and a file that is cut off ends with zeros.
    Raises TooMany and OSError.
    """
    packer = _Packer(left_out, while_in_use=while_in_use)
    for name, top in trees.items():
        if top.is_dir():
            yield _line({"tree": name})
            with walk.folder(top, ()) as handle:
                yield from packer.tree(handle, besides.get(name, ()))
    yield _line({"end": packer.entries})


class _Packer:
    def __init__(self, left_out: LeftOut, *, while_in_use: bool) -> None:
        self.entries = 0
        self._left_out = left_out
        self._while_in_use = while_in_use
        self._besides: Collection[str] = ()
        # The first name of each file that has several.
        self._known: dict[tuple[int, int], str] = {}

    def tree(self, handle: int, besides: Collection[str]) -> Iterator[bytes]:
        # Names of another tree are of no use to a link.
        self._besides, self._known = besides, {}
        yield from self._below(handle, ())

    def _below(self, handle: int, where: Parts) -> Iterator[bytes]:
        for name, status in sorted(walk.scan(handle)):
            path = "/".join((*where, name))
            if name.startswith(atomic.TEMPORARY) or name == _OPAQUE or path in self._besides:
                continue
            if stat.S_ISDIR(status.st_mode) and len(where) < _DEEPEST:
                yield from self._folder(name, path, status, handle, where)
            elif stat.S_ISREG(status.st_mode) and not _is_gone(name, status, handle):
                yield from self._file(name, path, status, handle)
            elif (told := _other(name, (*where, name), status, handle)) is not None:
                yield self._entry(told)
            else:
                self._left_out.add(path)

    def _entry(self, told: Mapping[str, Any]) -> bytes:
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise TooMany
        return _line(told)

    def _folder(self, name: str, path: str, status: os.stat_result, handle: int, where: Parts) -> Iterator[bytes]:
        inner = self._opened(walk.open_folder, name, path, stat.S_IRWXU, handle)
        if inner is None:
            return
        try:
            mode = stat.S_IMODE(status.st_mode) & 0o777 | 0o700
            yield self._entry({"path": path, "kind": "dir", "mode": mode, "opaque": _is_opaque(inner)})
            yield from self._below(inner, (*where, name))
        finally:
            os.close(inner)

    def _file(self, name: str, path: str, status: os.stat_result, handle: int) -> Iterator[bytes]:
        key = (status.st_dev, status.st_ino)
        if key in self._known:
            yield self._entry({"path": path, "kind": "same", "as": self._known[key]})
            return
        file = self._opened(walk.open_file, name, path, stat.S_IRUSR, handle)
        if file is None:
            return
        if status.st_nlink > 1:
            self._known[key] = path
        with file:
            # Again: it may have grown since.
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode) & 0o777 | 0o600
            told = {"kind": "file", "mode": mode, "size": status.st_size, "time": status.st_mtime_ns}
            yield self._entry({"path": path, **told})
            for start, end in _extents(file.fileno(), status.st_size):
                for at in range(start, end, PIECE):
                    piece = os.pread(file.fileno(), min(PIECE, end - at), at)
                    if len(piece) != min(PIECE, end - at) and not self._while_in_use:
                        raise OSError(errno.EIO, f"{path} became shorter while it was read")
                    if piece:
                        yield _line({"at": at, "bytes": len(piece)})
                        yield piece

    def _opened(self, opened: Callable[..., Opened], name: str, path: str, mode: int, handle: int) -> Opened | None:
        """An open file or folder, whose mode is changed if it must be and may be; None for what is left out."""
        try:
            if not self._while_in_use:
                # The game may have closed it to its owner.
                walk.add_mode(name, mode, at=handle)
            return opened(name, at=handle)
        except FileNotFoundError:
            if not self._while_in_use:
                raise
        except OSError:
            if not self._while_in_use:
                raise
            self._left_out.add(path)
        return None


def _other(name: str, path: Parts, status: os.stat_result, handle: int) -> dict[str, str] | None:
    """A mark of deletion or a link that stays in the tree; None for what is not carried."""
    if _is_gone(name, status, handle):
        shown = name.removeprefix(_GONE) if stat.S_ISREG(status.st_mode) else name
        return {"path": "/".join((*path[:-1], shown)), "kind": "gone"}
    if stat.S_ISLNK(status.st_mode):
        try:
            target = walk.target(name, at=handle)
        except OSError:
            return None
        if not walk.leads_out(path, target):
            return {"path": "/".join(path), "kind": "link", "target": target}
    return None


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are not holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # nothing but a hole is left
            raise
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < end:
            yield start, end


def _is_gone(name: str, status: os.stat_result, handle: int) -> bool:
    """Whether it marks a deleted file, in any of the ways in which hosts mount overlays."""
    if walk.is_deletion_mark(status):
        return True
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        return False
    if name.startswith(_GONE) and name != _GONE:
        return True
    try:
        with walk.open_file(name, at=handle) as file:
            return not {*os.listxattr(file.fileno())}.isdisjoint(_GONE_ATTRIBUTES)
    except OSError:
        return False


def _is_opaque(folder: int) -> bool:
    if walk.status(_OPAQUE, at=folder) is not None:
        return True
    for name in _OPAQUE_ATTRIBUTES:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"y":
                return True
    return False


def unpack(
    pieces: Iterator[bytes], trees: Mapping[str, Path], *, owners: Mapping[str, Identity], check: Check
) -> Unpacked:
    """Make the files of the stream below these directories, which are empty, and give them to their owners.

    `check` is called often and may raise. Raises Malformed, OSError, and what `pieces` raises.
    """
    reader = _Reader(pieces)
    done = Unpacked()
    tree: _Tree | None = None
    try:
        while True:
            check()
            told = reader.line()
            if "end" in told:
                if told["end"] != done.entries:
                    raise Malformed("entries are missing")
                return done
            if "tree" in told:
                if tree is not None:
                    tree.close()
                name = told["tree"]
                tree = _Tree(trees[name], owners.get(name))
                continue
            if tree is None:
                raise Malformed("no tree was named")
            done.entries += 1
            if done.entries > MOST_ENTRIES:
                raise Malformed("there are too many files")
            done.files += tree.add(told, reader, check)
    except (LookupError, TypeError, ValueError, ArithmeticError, RecursionError, AttributeError) as fault:
        raise Malformed(f"an entry is not valid: {fault}") from fault
    finally:
        if tree is not None:
            tree.close()


class _Tree:
    """One directory that is filled."""

    def __init__(self, top: Path, owner: Identity | None) -> None:
        self._top = walk.open_folder(top)
        self._owner = owner if owner is not None and owner.by_root else None

    def close(self) -> None:
        os.close(self._top)

    def add(self, told: Mapping[str, Any], reader: _Reader, check: Check) -> bool:
        """Make one entry; returns whether it is a file."""
        path = tuple(str(told["path"]).split("/"))
        if len(path) > _DEEPEST + 1:
            raise Malformed("a path is too deep")
        *above, name = path
        with walk.folder(self._top, above) as parent:
            match told["kind"]:
                case "dir":
                    self._folder(name, parent, told)
                case "file":
                    self._file(name, parent, told, reader, check)
                case "same":
                    self._same(name, parent, tuple(str(told["as"]).split("/")))
                case "gone":
                    # A layer may say it in two ways.
                    with contextlib.suppress(FileExistsError):
                        walk.mark_deleted(name, at=parent)
                        self._give(name, parent)
                case "link":
                    if walk.leads_out(path, str(told["target"])):
                        raise Malformed("a link leads out")
                    walk.make_link(name, str(told["target"]), at=parent)
                    self._give(name, parent)
                case other:
                    raise Malformed(f"{other} is not known")
        return told["kind"] in {"file", "same"}

    def _folder(self, name: str, parent: int, told: Mapping[str, Any]) -> None:
        if walk.status(name, at=parent) is not None:
            raise Malformed("a folder comes twice")
        with walk.folder(parent, (name,), make=0o700) as made:
            if told["opaque"]:
                shadows.set_opaque(made, opaque=True)
            if self._owner is not None:
                os.fchown(made, self._owner.uid, self._owner.gid)
            os.fchmod(made, int(told["mode"]) & 0o777 | 0o700)

    def _file(self, name: str, parent: int, told: Mapping[str, Any], reader: _Reader, check: Check) -> None:
        size, end = int(told["size"]), 0
        with walk.create_file(name, 0o600, at=parent) as file:
            while (piece := reader.piece()) is not None:
                check()
                at, content = piece
                if at < end or at + len(content) > size:
                    raise Malformed("a piece of a file is out of place")
                file.seek(at)
                file.write(content)
                end = at + len(content)
            file.flush()
            os.ftruncate(file.fileno(), size)
            if self._owner is not None:
                os.fchown(file.fileno(), self._owner.uid, self._owner.gid)
            os.fchmod(file.fileno(), int(told["mode"]) & 0o777 | 0o600)
            os.utime(file.fileno(), ns=(int(told["time"]), int(told["time"])))

    def _same(self, name: str, parent: int, first: Parts) -> None:
        with walk.folder(self._top, first[:-1]) as source:
            walk.make_hard_link(first[-1], at=source, name=name, to=parent)

    def _give(self, name: str, parent: int) -> None:
        if self._owner is not None:
            walk.give(name, (self._owner.uid, self._owner.gid), at=parent)


class _Reader:
    """Lines, and the pieces of files after them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._next: dict[str, Any] | None = None

    def line(self) -> dict[str, Any]:
        """The next line. Raises Malformed where the stream ends."""
        if self._next is not None:
            told, self._next = self._next, None
            return told
        while b"\n" not in self._rest:
            if len(self._rest) > _LONGEST_LINE:
                raise Malformed("a line is too long")
            self._rest += self._more()
        raw, _, self._rest = self._rest.partition(b"\n")
        told = json.loads(raw)
        if not isinstance(told, dict):
            raise Malformed("a line is no object")
        return told

    def piece(self) -> tuple[int, bytes] | None:
        """The place and the bytes of the next piece of the present file; None when there is none."""
        told = self.line()
        if "at" not in told:
            self._next = told
            return None
        at, length = int(told["at"]), int(told["bytes"])
        if at < 0 or not 0 < length <= PIECE:
            raise Malformed("a piece of a file is too large")
        parts = [self._rest]
        have = len(self._rest)
        while have < length:
            parts.append(self._more())
            have += len(parts[-1])
        whole = b"".join(parts)
        self._rest = whole[length:]
        return at, whole[:length]

    def _more(self) -> bytes:
        more = next(self._pieces, b"")
        if not more:
            raise Malformed("the stream ends early")
        return more


def _line(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"
