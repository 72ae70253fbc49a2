"""Reads the directory of untrusted Valve pak files (VPK, versions 1 and 2).

A VPK is one file, or a directory (`x_dir.vpk`) with content in numbered parts (`x_000.vpk`, `x_001.vpk`, …).

Every length and offset is checked against the file before it is used, entries are yielded one at a time, and
limits on the directory bound time and memory whatever the header claims.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = 0x55AA1234
LARGEST_TREE = 64 * 1024 * 1024
MOST_FILES = 300_000
MOST_PARTS = 200

_LONGEST_NAME = 512
_BUFFER = 64 * 1024
_HEADER = struct.Struct("<III")
_HEADER_2 = struct.Struct("<IIII")
_ENTRY = struct.Struct("<IHHIIH")
_END_OF_ENTRY = 0xFFFF
_IN_THIS_FILE = 0x7FFF
_PART_NAME = re.compile(r"(.+)_([0-9]{3})\.vpk", re.IGNORECASE)
_SIGNATURES = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89png", "a PNG image"),
    (b"gif8", "a GIF image"),
    (b"riff", "a WebP image"),
    (b"pk\x03\x04", "a zip archive"),
    (b"rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"vbsp", "a single map (BSP)"),
)


class NotValid(Exception):
    """The file is not a VPK that the game can open; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    crc: int
    preload_at: int
    preload: int
    archive: int
    data_at: int
    length: int

    @property
    def size(self) -> int:
        return self.preload + self.length

    @property
    def in_this_file(self) -> bool:
        return self.archive == _IN_THIS_FILE

    @property
    def is_in_part(self) -> bool:
        return not self.in_this_file and bool(self.length)


@dataclass(frozen=True)
class Header:
    version: int
    tree_at: int
    tree_size: int

    @property
    def data_at(self) -> int:
        return self.tree_at + self.tree_size


def what_is_it(head: bytes) -> str | None:
    """A description of the file type that begins with `head`; None for a VPK."""
    if head[:4] == MAGIC.to_bytes(4, "little"):
        return None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:16].lower()
    for signature, description in _SIGNATURES:
        if start.startswith(signature):
            return description
    return "an empty file" if not head else "an unknown kind of file"


OpenPart = Callable[[int], BinaryIO | None]


def directory_of(name: str) -> str | None:
    """The name of the VPK (`x_dir.vpk`) that a numbered part (`x_003.vpk`) belongs to; None for other names."""
    match = _PART_NAME.fullmatch(name)
    return f"{match[1]}_dir.vpk" if match else None


def part_name(name: str, number: int) -> str:
    """The name of a numbered part of the VPK `name`."""
    stem = re.sub(r"\.vpk$", "", name, flags=re.IGNORECASE)
    return f"{re.sub('_dir$', '', stem, flags=re.IGNORECASE)}_{number:03}.vpk"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Vpk]:
    """The VPK at `path` with its numbered parts beside it. Raises NotValid and OSError."""

    def open_part(number: int) -> BinaryIO | None:
        try:
            return path.with_name(part_name(path.name, number)).open("rb")
        except OSError:
            return None

    with path.open("rb") as stream, contextlib.closing(Vpk(stream, open_part=open_part)) as pak:
        yield pak


class Vpk:
    """An open VPK. Iterating yields its entries. Every method raises NotValid for invalid content.

    Content in numbered parts is checked and read with `open_part`, which returns None for a part that is missing.
    """

    def __init__(self, stream: BinaryIO, *, open_part: OpenPart | None = None) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)
        self._open_part = open_part
        self._parts: dict[int, tuple[BinaryIO, int]] = {}
        self.header = _read_header(stream, self._size)

    def close(self) -> None:
        """Close the numbered parts; the stream belongs to the caller."""
        for stream, _size in self._parts.values():
            stream.close()
        self._parts.clear()

    @property
    def parts(self) -> tuple[int, ...]:
        """The numbered parts that were opened so far."""
        return tuple(self._parts)

    def __iter__(self) -> Iterator[Entry]:
        tree = _Tree(self._stream, self.header)
        count = 0
        while extension := tree.name():
            while folder := tree.name():
                while name := tree.name():
                    count += 1
                    if count > MOST_FILES:
                        raise NotValid(f"lists more than {MOST_FILES} files")
                    yield self._checked(tree.entry(_path(folder, name, extension)))

    def read(self, entry: Entry, *, limit: int) -> bytes:
        """The first `limit` bytes of a file in the VPK.

        For a file in a part that cannot be opened, only the bytes preloaded in the directory.
        """
        self._stream.seek(entry.preload_at)
        content = self._stream.read(min(entry.preload, limit))
        stream = self._content(entry)
        if stream is not None and len(content) < limit:
            stream.seek(entry.data_at)
            content += stream.read(min(entry.length, limit - len(content)))
        return content

    def read_at(self, entry: Entry, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` of a file that has no preloaded bytes."""
        stream = self._content(entry)
        if stream is None or entry.preload or not 0 <= offset <= entry.length:
            return b""
        stream.seek(entry.data_at + offset)
        return stream.read(max(0, min(length, entry.length - offset)))

    def _content(self, entry: Entry) -> BinaryIO | None:
        if entry.in_this_file:
            return self._stream
        part = self._parts.get(entry.archive)
        return part[0] if part else None

    def _checked(self, entry: Entry) -> Entry:
        size = self._size
        if not entry.in_this_file:
            if not entry.is_in_part or self._open_part is None:
                return entry
            size = self._part_size(entry.archive)
        if entry.data_at + entry.length > size:
            raise NotValid(f"“{entry.path[:120]}” extends beyond the end of the file")
        return entry

    def _part_size(self, number: int) -> int:
        if number not in self._parts:
            stream = None
            if self._open_part is not None and len(self._parts) < MOST_PARTS:
                stream = self._open_part(number)
            if stream is None:
                raise NotValid(missing_part(number))
            self._parts[number] = (stream, stream.seek(0, io.SEEK_END))
        return self._parts[number][1]


def missing_part(number: int) -> str:
    """Why a VPK is not valid whose content lies in a part that cannot be opened."""
    return f"its content is in a missing part (_{number:03}.vpk)"


def check(path: Path, *, parts: bool = False) -> None:
    """Read the whole directory of the VPK at `path`. Raises NotValid.

    A VPK with content in numbered archives (`…_000.vpk`) is valid only with `parts`.
    """
    with path.open("rb") as stream:
        is_empty = True
        for entry in Vpk(stream):
            is_empty = False
            if not parts and entry.is_in_part:
                raise NotValid(missing_part(entry.archive))
        if is_empty:
            raise NotValid("contains no files")


def is_intact(path: Path) -> bool:
    """Whether every file in the VPK matches its checksum; False also for an invalid VPK."""
    try:
        with path.open("rb") as stream:
            # Overlapping entries could make a small file cost hours; a valid VPK contains each byte once.
            budget = path.stat().st_size
            for entry in Vpk(stream):
                budget -= entry.size
                if budget < 0 or not _matches_checksum(stream, entry):
                    return False
    except NotValid:
        return False
    return True


def _matches_checksum(stream: BinaryIO, entry: Entry) -> bool:
    # Some tools write 0 instead of a checksum.
    if not entry.in_this_file or not entry.crc:
        return True
    crc = 0
    for at, length in ((entry.preload_at, entry.preload), (entry.data_at, entry.length)):
        stream.seek(at)
        while chunk := stream.read(min(length, 1024 * 1024)):
            crc = zlib.crc32(chunk, crc)
            length -= len(chunk)
    return crc == entry.crc


def _read_header(stream: BinaryIO, size: int) -> Header:
    stream.seek(0)
    head = stream.read(64)
    if description := what_is_it(head):
        raise NotValid(f"is {description}, not a VPK")
    if len(head) < _HEADER.size:
        raise NotValid("ends within its header")
    _, version, tree_size = _HEADER.unpack_from(head)
    if version not in (1, 2):
        raise NotValid(f"has the unknown version {version}")
    tree_at = _HEADER.size
    if version == 2:
        rest = head[_HEADER.size : _HEADER.size + _HEADER_2.size]
        if len(rest) < _HEADER_2.size:
            raise NotValid("ends within its header")
        tree_at += _HEADER_2.size
        if tree_at + tree_size + sum(_HEADER_2.unpack(rest)) > size:
            raise NotValid("is shorter than its header says")
    if tree_at + tree_size > size:
        raise NotValid("is shorter than its directory")
    if tree_size > LARGEST_TREE:
        raise NotValid(f"has a directory of {tree_size // 1024 // 1024} MB, which is too large")
    return Header(version, tree_at, tree_size)


class _Tree:
    """Reads names and entries from the directory through a small buffer, never past its end."""

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self._stream = stream
        self._next = header.tree_at
        self._end = header.data_at
        self._buffer = b""
        self._at = 0

    def name(self) -> str:
        end = self._buffer.find(0, self._at)
        if end < 0:
            self._fill()
            end = self._buffer.find(0, self._at)
        if end < 0 or end - self._at > _LONGEST_NAME:
            raise NotValid("has a damaged directory: an unterminated name")
        raw = self._buffer[self._at : end]
        self._at = end + 1
        return raw.decode("utf-8", "replace")

    def entry(self, path: str) -> Entry:
        if len(self._buffer) - self._at < _ENTRY.size:
            self._fill()
        if len(self._buffer) - self._at < _ENTRY.size:
            raise NotValid("has a truncated directory")
        crc, preload, archive, offset, length, end = _ENTRY.unpack_from(self._buffer, self._at)
        if end != _END_OF_ENTRY:
            raise NotValid(f"has a damaged directory at “{path[:120]}”")
        self._at += _ENTRY.size
        preload_at = self._next - len(self._buffer) + self._at
        if preload_at + preload > self._end:
            raise NotValid("has a truncated directory")
        self._skip(preload)
        start = self._end if archive == _IN_THIS_FILE else 0
        return Entry(path, crc, preload_at, preload, archive, start + offset, length)

    def _skip(self, count: int) -> None:
        held = len(self._buffer) - self._at
        if count <= held:
            self._at += count
        else:
            self._next += count - held
            self._buffer, self._at = b"", 0

    def _fill(self) -> None:
        # The caller may have read elsewhere in the file between two entries, so seek every time.
        self._stream.seek(self._next)
        chunk = self._stream.read(min(_BUFFER, self._end - self._next))
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        self._next += len(chunk)


def _path(folder: str, name: str, extension: str) -> str:
    # A single space means "none" in this format.
    where = "" if folder == " " else folder.strip("/") + "/"
    ending = "" if extension == " " else "." + extension
    return (where + name + ending).replace("\\", "/").lower()
