"""Reads the directory of untrusted Valve pak files (VPK, versions 1 and 2).

Every length and offset is checked against the file before it is used, entries are yielded one at a time, and
limits on the directory bound time and memory whatever the header claims.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = 0x55AA1234
LARGEST_TREE = 64 * 1024 * 1024
MOST_FILES = 300_000

_LONGEST_NAME = 512
_BUFFER = 64 * 1024
_HEADER = struct.Struct("<III")
_HEADER_2 = struct.Struct("<IIII")
_ENTRY = struct.Struct("<IHHIIH")
_END_OF_ENTRY = 0xFFFF
_IN_THIS_FILE = 0x7FFF
_SIGNATURES = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89png", "a PNG picture"),
    (b"gif8", "a GIF picture"),
    (b"riff", "a WebP picture"),
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
    return "an empty file" if not head else "something unknown"


class Vpk:
    """An open VPK. Iterating yields its entries. Every method raises NotValid for invalid content."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)
        self.header = _read_header(stream, self._size)

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

        For a file in another numbered archive, only the bytes preloaded in the directory.
        """
        self._stream.seek(entry.preload_at)
        content = self._stream.read(min(entry.preload, limit))
        if entry.in_this_file and len(content) < limit:
            self._stream.seek(entry.data_at)
            content += self._stream.read(min(entry.length, limit - len(content)))
        return content

    def read_at(self, entry: Entry, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` of a file that is in this archive and has no preloaded bytes."""
        if not entry.in_this_file or entry.preload or not 0 <= offset <= entry.length:
            return b""
        self._stream.seek(entry.data_at + offset)
        return self._stream.read(max(0, min(length, entry.length - offset)))

    def _checked(self, entry: Entry) -> Entry:
        if entry.in_this_file and entry.data_at + entry.length > self._size:
            raise NotValid(f"“{entry.path[:120]}” reaches beyond the end of the file")
        return entry


def check(path: Path, *, parts: bool = False) -> None:
    """Read the whole directory of the VPK at `path`. Raises NotValid.

    A VPK with content in numbered archives (`…_000.vpk`) is valid only with `parts`.
    """
    with path.open("rb") as stream:
        files = 0
        for entry in Vpk(stream):
            files += 1
            if not parts and not entry.in_this_file and entry.length:
                raise NotValid(f"its content lies in a part that is missing (_{entry.archive:03}.vpk)")
        if not files:
            raise NotValid("holds no files")


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
        while length > 0 and (chunk := stream.read(min(length, 1024 * 1024))):
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
        raise NotValid(f"has a directory of {tree_size // 1024 // 1024} MB")
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
            raise NotValid("has a directory with a name that does not end")
        raw = self._buffer[self._at : end]
        self._at = end + 1
        return raw.decode("utf-8", "replace")

    def entry(self, path: str) -> Entry:
        if len(self._buffer) - self._at < _ENTRY.size:
            self._fill()
        if len(self._buffer) - self._at < _ENTRY.size:
            raise NotValid("has a directory that ends in the middle")
        crc, preload, archive, offset, length, end = _ENTRY.unpack_from(self._buffer, self._at)
        if end != _END_OF_ENTRY:
            raise NotValid(f"has a damaged directory at “{path[:120]}”")
        self._at += _ENTRY.size
        preload_at = self._next - len(self._buffer) + self._at
        if preload_at + preload > self._end:
            raise NotValid("has a directory that ends in the middle")
        self._skip(preload)
        return Entry(path, crc, preload_at, preload, archive, self._end + offset, length)

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
