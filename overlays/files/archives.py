"""Extracts untrusted archives: only plain files, only below the tree, with limits on number and size.

The metadata of an archive is not trusted: bytes are counted as they are extracted, names are validated like any
user-supplied path, and links, devices and sparse files are skipped.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from django.utils.translation import gettext as _

from left4me.core import texts
from left4me.core.files.tree import BadPath, Parts, Tree
from overlays import game_files
from overlays.files import archive_layout, archive_names
from overlays.files.archive_layout import Plan

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".7z", ".rar", ".tar.xz", ".txz")
_CONVERTIBLE = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00")
_CHUNK = 1024 * 1024
_LARGEST_DIRECTORY = 32 * 1024 * 1024
_LARGEST_HEADER = 1024 * 1024
_SMALL = 10 * 1024 * 1024
_LONGEST_NAME = 4096


class BadArchive(Exception):
    """The archive was not extracted, or not completely; the message gives the reason."""


@dataclass(frozen=True)
class ArchiveLimits:
    """ArchiveLimits on the total size and number of extracted files, and on the ratio of compression."""

    size: int
    files: int = 50_000
    # Maps compress to about a third. An archive that expands 200-fold was made to fill the disk.
    ratio: int = 200


@dataclass(frozen=True)
class Index:
    """The entries of an archive, in order and by its own account. Folders are not among them."""

    # Bytes where the archive does not say in which code page its names are.
    names: list[str | bytes]
    sizes: list[int]
    # The numbers of links, devices and sparse files.
    special: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Choices:
    """What a user decided about an archive. The defaults leave the decision to what the archive shows."""

    root: Parts | None = None
    code_page: str = ""
    # Only an admin may take in the game's own programs.
    with_programs: bool = False


@dataclass
class Unpacked:
    plan: Plan
    code_page: str = ""
    files: int = 0
    size: int = 0
    left_out: list[str] = field(default_factory=list)
    # Texts that the game could not have executed: the path, and what they were converted from.
    converted: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Member:
    name: str | bytes
    size: int
    is_plain: bool
    # Marked as a program by the archive. Windows programs mark nothing, and others mark everything.
    is_marked: bool
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def names_convertible(name: str) -> bool:
    """Whether an archive of this name is of a kind that an external program reads."""
    return name.lower().endswith((".7z", ".rar", ".xz", ".txz"))


def is_convertible(archive: Path) -> bool:
    """Whether the content is of a kind that an external program reads, whatever its name."""
    with archive.open("rb") as stream:
        return stream.read(8).startswith(_CONVERTIBLE)


def budget(archive: Path, limits: ArchiveLimits) -> int:
    """The number of bytes that may be extracted from this archive."""
    return most_of(archive.stat().st_size, limits)


def most_of(packed_size: int, limits: ArchiveLimits) -> int:
    """The number of bytes that may be extracted from an archive of this size."""
    return min(limits.size, packed_size * limits.ratio + _SMALL)


def read_index(archive: Path, *, limits: ArchiveLimits, check: Callable[[], None]) -> Index:
    """List the entries of a zip or tar archive. Names are cut to what a path may have. Raises BadArchive."""
    names: list[str | bytes] = []
    sizes: list[int] = []
    special: set[int] = set()
    with archive.open("rb") as stream:
        with _reading():
            members = _members(stream, limits, budget(archive, limits))
        while member := _next(members):
            check()
            if not member.is_plain:
                special.add(len(names))
            names.append(member.name[:_LONGEST_NAME])
            sizes.append(member.size)
    return Index(names, sizes, frozenset(special))


def plan(index: Index, *, base: Parts, choices: Choices) -> tuple[Plan, str]:
    """The plan for an archive that is unpacked below `base`, and the code page in which its names were read.

    At the top of the overlay each file goes where the game expects it; below a folder that the user chose, files keep
    their paths.
    """
    decoded = archive_names.decode(index.names, code_page=choices.code_page)
    if base:
        made = archive_layout.keep_paths(
            decoded.names, base=base, with_programs=choices.with_programs, special=index.special
        )
    else:
        made = archive_layout.make_plan(
            decoded.names, root=choices.root, with_programs=choices.with_programs, special=index.special
        )
    return made, decoded.code_page


def unpack(
    archive: Path,
    *,
    into: Tree,
    base: Parts,
    limits: ArchiveLimits,
    check: Callable[[], None],
    choices: Choices | None = None,
) -> Unpacked:
    """Extract a zip or tar archive below `base`. `check` may raise to cancel. Raises BadArchive.

    The archive is read twice: where one file belongs depends on the names of all.
    """
    most = budget(archive, limits)
    index = read_index(archive, limits=limits, check=check)
    made, code_page = plan(index, base=base, choices=choices or Choices())
    done = Unpacked(plan=made, code_page=code_page)
    done.left_out += [f"{left.name[:200]!r}: {left.reason}" for left in made.left_out]
    placements = {placement.entry: placement for placement in made.placements}
    with archive.open("rb") as stream:
        with _reading():
            members = _members(stream, limits, most)
        # The second reading may differ from the first only in an archive that is being damaged meanwhile.
        for number in range(len(index.names)):
            member = _next(members)
            if member is None:
                break
            check()
            if placement := placements.get(number):
                try:
                    _unpack_one(member, placement.target, into, done, limits, budget=most, check=check)
                except BadPath as reason:
                    done.left_out.append(f"{placement.name[:200]!r}: {reason}")
    return done


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turns the exceptions that the libraries raise for a damaged archive into BadArchive; errors of writing pass."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error, OSError) as error:
        raise BadArchive(_("The archive is damaged: %(reason)s") % {"reason": error}) from error
    except (RuntimeError, ArithmeticError, ValueError, LookupError, TypeError) as error:
        raise BadArchive(_("The archive cannot be read: %(reason)s") % {"reason": error}) from error


def _next(members: Iterator[_Member]) -> _Member | None:
    with _reading():
        return next(members, None)


def _unpack_one(
    member: _Member,
    where: Parts,
    into: Tree,
    done: Unpacked,
    limits: ArchiveLimits,
    *,
    budget: int,
    check: Callable[[], None],
) -> None:
    done.files += 1
    if done.files > limits.files:
        raise BadArchive(_("The archive contains more than %(most)d files.") % {"most": limits.files})
    with _reading():
        source = member.open()
    with source:
        chunk = _read(source)
        mode = 0o755 if game_files.is_executable(where, chunk, is_marked=member.is_marked) else 0o644
        with into.writing(where, mode=mode) as target:
            while chunk:
                done.size += len(chunk)
                if done.size > budget:
                    raise BadArchive(_("The archive is too large when extracted."))
                following = _read(source)
                if target.tell() == 0 and not following and game_files.needs_converting(where, chunk):
                    decoded = texts.decode(chunk)
                    chunk = decoded.text.encode()
                    done.converted.append(("/".join(where), decoded.encoding))
                target.write(chunk)
                chunk = following
                check()


def _read(source: IO[bytes]) -> bytes:
    with _reading():
        return source.read(_CHUNK)


def _members(stream: BinaryIO, limits: ArchiveLimits, budget: int) -> Iterator[_Member]:
    head = stream.read(6)
    stream.seek(0)
    if head.startswith(b"PK"):
        return _zip_members(stream, limits)
    if head.startswith(b"\x1f\x8b"):
        return _tar_members(gzip.GzipFile(fileobj=stream), limits, budget)
    if head.startswith(b"BZh"):
        return _tar_members(bz2.BZ2File(stream), limits, budget)
    return _tar_members(stream, limits, budget)


def _zip_members(stream: BinaryIO, limits: ArchiveLimits) -> Iterator[_Member]:
    if _zip_directory_size(stream) > _LARGEST_DIRECTORY:
        raise BadArchive(_("The archive's directory is too large."))
    with zipfile.ZipFile(stream) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > limits.files:
            raise BadArchive(_("The archive contains more than %(most)d files.") % {"most": limits.files})
        for info in infos:
            if info.flag_bits & 1:
                raise BadArchive(_("The archive is protected by a password. Pack it without one and upload it again."))
            kind = stat.S_IFMT(info.external_attr >> 16)
            # zipfile reads names without the mark for UTF-8 as cp437, which keeps every byte.
            name = info.filename if info.flag_bits & 0x800 else info.filename.encode("cp437", "replace")
            mode = info.external_attr >> 16
            is_plain = kind in (0, stat.S_IFREG)
            yield _Member(name, info.file_size, is_plain, bool(mode & 0o100), partial(archive.open, info))


def _zip_directory_size(stream: BinaryIO) -> int:
    """The size of the zip directory according to the archive: `zipfile` reads all of it into memory."""
    size = stream.seek(0, io.SEEK_END)
    tail_at = max(0, size - 66_000)
    stream.seek(tail_at)
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise BadArchive(_("The archive is damaged: %(reason)s") % {"reason": _("it has no file list")})
    # In a zip64 archive this field is all ones and the size is in another record; the file's size is an upper bound.
    (claimed,) = struct.unpack_from("<I", tail, at + 12)
    start_of_64 = tail.rfind(b"PK\x06\x06", 0, at)
    if start_of_64 >= 0 and len(tail) >= start_of_64 + 48:
        (claimed,) = struct.unpack_from("<Q", tail, start_of_64 + 40)
    return min(int(claimed), size)


def _tar_members(
    stream: BinaryIO | gzip.GzipFile | bz2.BZ2File, limits: ArchiveLimits, budget: int
) -> Iterator[_Member]:
    bounded = _Bounded(stream, budget + _SMALL)
    with tarfile.open(fileobj=bounded, mode="r:", errors="surrogateescape") as archive:  # type: ignore[call-overload]
        for count, info in enumerate(archive):
            if count > 2 * limits.files:
                raise BadArchive(_("The archive contains more than %(most)d files.") % {"most": limits.files})
            if not info.isdir():
                name = info.name.encode("utf-8", "surrogateescape")
                is_plain = info.isreg() and not info.issparse()
                yield _Member(name, info.size, is_plain, bool(info.mode & 0o100), partial(_opened, archive, info))


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(info)
    if content is None:
        raise BadArchive(_("The archive is damaged: %(reason)s") % {"reason": info.name[:100]})
    return content


class _Bounded:
    """A stream for `tarfile` that refuses huge headers, and refuses to decompress more than allowed while skipping."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile | bz2.BZ2File, most: int) -> None:
        self._stream = stream
        self._most = most

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > max(_LARGEST_HEADER, _CHUNK):
            raise BadArchive(_("The archive's directory is too large."))
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise BadArchive(_("The archive cannot be read: %(reason)s") % {"reason": "seek"})
        self._check(offset)
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._most:
            raise BadArchive(_("The archive is too large when extracted."))
