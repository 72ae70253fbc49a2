"""Archives of a directory whose content is untrusted, and which may change meanwhile: writing, comparing, restoring.

Everything below the directory is reached by handles, so no link that a game puts there leads out of it. Beside each
archive lies the list of its files, so that a comparison need not read the archive.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from left4me.core.files import atomic, walk

_LARGE: Final = 64 * 1024**2
_DEEPEST: Final = 64

Check = Callable[[], None]
# Called with the number of bytes that were read of the directory's files.
Count = Callable[[int], None]


class TooLarge(Exception):
    """The archive would be larger than it may be."""


@dataclass(frozen=True)
class Entry:
    """What a list of files holds of one: `kind` is dir, file or gone (a file of a lower layer that was deleted)."""

    path: str
    kind: str
    size: int
    modified: int


@dataclass
class Comparison:
    """What a restore would do, by path."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0


@dataclass
class Written:
    size: int = 0
    files: int = 0
    skipped: int = 0


def write(top: Path, archive: Path, *, most: int, check: Check, count: Count) -> Written:
    """Write the files below `top` to `archive` and their list beside it. Raises TooLarge and OSError.

    Files that cannot be read, vanish meanwhile, or are mostly holes are skipped.
    """
    archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part, done, listed = archive.with_suffix(".part"), Written(), []
    try:
        with part.open("wb") as raw, tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as tar:
            os.fchmod(raw.fileno(), 0o600)
            for entry, parent in _walk(top):
                check()
                if not _add(tar, entry, parent, check=check, count=count):
                    done.skipped += 1
                    continue
                listed.append(entry)
                done.files += entry.kind == "file"
                if raw.tell() > most:
                    raise TooLarge
        done.size = part.stat().st_size
        _list_of(archive).write_bytes(gzip.compress(json.dumps([vars(entry) for entry in listed]).encode(), 1))
        atomic.publish(part, archive, durable=True)
    finally:
        part.unlink(missing_ok=True)
    return done


def compare(top: Path, archive: Path) -> Comparison:
    """What restoring `archive` would change below `top`. Raises OSError where the archive is missing."""
    kept = {entry.path: entry for entry in read_list(archive)}
    present = {entry.path: entry for entry, _parent in _walk(top)}
    found = Comparison()
    for path, entry in kept.items():
        if entry.kind == "dir":
            continue
        if path not in present:
            found.added.append(path)
        elif present[path] != entry:
            found.replaced.append(path)
        else:
            found.unchanged += 1
    found.removed = [path for path, entry in present.items() if path not in kept and entry.kind != "dir"]
    return found


def restore(top: Path, archive: Path, *, check: Check, count: Count) -> int:
    """Make the content of `top` that of `archive`; return the number of files written. Can be repeated.

    Raises OSError, and tarfile.TarError for a damaged archive.
    """
    kept = {entry.path for entry in read_list(archive)}
    present = {entry.path: entry for entry, _parent in _walk(top)}
    for path in sorted(present.keys() - kept, reverse=True):
        check()
        parts = PurePosixPath(path).parts
        with walk.folder(top, parts[:-1]) as parent:
            walk.delete(parts[-1], at=parent)
    written = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            check()
            if member.name not in kept:
                continue
            if present.get(member.name) != _entry_of(member):
                written += _extract(tar, member, top, present.get(member.name))
            count(member.size)
    return written


def read_list(archive: Path) -> list[Entry]:
    """The files in an archive. Raises OSError where it is missing."""
    return [Entry(**entry) for entry in json.loads(gzip.decompress(_list_of(archive).read_bytes()))]


def remove(archive: Path) -> None:
    archive.unlink(missing_ok=True)
    _list_of(archive).unlink(missing_ok=True)


def _list_of(archive: Path) -> Path:
    return archive.with_name(archive.name.removesuffix(".tar.gz") + ".json.gz")


def _walk(top: Path) -> Iterator[tuple[Entry, int]]:
    """All entries below `top` that a backup holds, with an open handle on the directory that each is in."""
    if not top.is_dir():
        return
    with walk.folder(top, ()) as handle:
        yield from _walk_below(handle, PurePosixPath(), 0)


def _walk_below(handle: int, where: PurePosixPath, depth: int) -> Iterator[tuple[Entry, int]]:
    if depth > _DEEPEST:
        return
    for name in sorted(os.listdir(handle)):
        status = walk.status(name, at=handle)
        if status is None or name.startswith(atomic.TEMPORARY):
            continue
        entry = _entry(str(where / name), status)
        if entry is None:
            continue
        yield entry, handle
        if entry.kind == "dir":
            try:
                inner = walk.open_folder(name, at=handle)
            except OSError:
                continue  # replaced by something else meanwhile, or closed by the game
            try:
                yield from _walk_below(inner, where / name, depth + 1)
            finally:
                os.close(inner)


def _entry(path: str, status: os.stat_result) -> Entry | None:
    """None for what a backup does not hold: links, sockets and the like."""
    modified = int(status.st_mtime)
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, "dir", 0, 0)
    if stat.S_ISREG(status.st_mode):
        return Entry(path, "file", status.st_size, modified)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return Entry(path, "gone", 0, 0)
    return None


def _entry_of(member: tarfile.TarInfo) -> Entry:
    if member.isdir():
        return Entry(member.name, "dir", 0, 0)
    if member.isreg():
        return Entry(member.name, "file", member.size, int(member.mtime))
    return Entry(member.name, "gone", 0, 0)


def _add(tar: tarfile.TarFile, entry: Entry, parent: int, *, check: Check, count: Count) -> bool:
    """Add one entry; returns whether it is in the archive."""
    name = PurePosixPath(entry.path).name
    info = tarfile.TarInfo(entry.path)
    status = walk.status(name, at=parent)
    if status is None:
        return False
    info.uid, info.gid, info.mtime, info.mode = status.st_uid, status.st_gid, entry.modified, status.st_mode & 0o777
    if entry.kind != "file":
        info.type = tarfile.DIRTYPE if entry.kind == "dir" else tarfile.CHRTYPE
        tar.addfile(info)
        return True
    # A hole takes no room and is read byte by byte: a hostile game can leave terabytes at no cost.
    if status.st_size > _LARGE and status.st_blocks * 1024 < status.st_size:
        return False
    try:
        file = walk.open_file(name, at=parent)
    except OSError:
        return False
    with file:
        info.size = entry.size
        tar.addfile(info, _Exactly(file, entry.size, check, count))  # type: ignore[arg-type]
    return True


class _Exactly:
    """A file read as if it had `size` bytes, whatever a game does to it meanwhile: an archive needs as many."""

    def __init__(self, file: BinaryIO, size: int, check: Check, count: Count) -> None:
        self._file, self._left, self._check, self._count = file, size, check, count

    def read(self, size: int) -> bytes:
        self._check()
        wanted = min(size, self._left)
        data = self._file.read(wanted)
        self._left -= wanted
        self._count(wanted)
        return data + bytes(wanted - len(data))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, top: Path, present: Entry | None) -> bool:
    """Write one member below `top`; return whether it is a file."""
    parts = PurePosixPath(member.name).parts
    with walk.folder(top, parts[:-1], make=0o755) as parent:
        if present is not None and present.kind != _entry_of(member).kind:
            walk.delete(parts[-1], at=parent)
        if member.isdir():
            with walk.folder(parent, parts[-1:], make=0o755) as made:
                # Where root runs left4me, games have a user of their own.
                if os.geteuid() == 0:
                    os.fchown(made, member.uid, member.gid)
        elif member.isreg():
            _write(tar, member, parts[-1], parent)
        else:
            walk.mark_deleted(parts[-1], at=parent)
    return member.isreg()


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, parent: int) -> None:
    source = tar.extractfile(member)
    assert source is not None  # noqa: S101 -- regular files have content
    mode = member.mode & 0o755 | 0o600
    owner = (member.uid, member.gid) if os.geteuid() == 0 else None
    with source, atomic.replacing(Path(name), mode=mode, durable=False, owner=owner, at=parent) as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.utime(target.fileno(), (member.mtime, member.mtime))
