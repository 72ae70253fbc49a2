"""Reads what a compiled SourceMod plugin (.smx) says of itself: its name, author and version, and what it needs.

The format is a header, a list of sections, their names, and the sections, which are usually compressed together. The
content is untrusted: every position is checked, and a file that unpacks to more than `LARGEST_IMAGE` is refused.
Standard library only: the simulated game reads plugins with this as well.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

LARGEST_FILE: Final = 8 * 1024**2
LARGEST_IMAGE: Final = 32 * 1024**2
MAGIC: Final = 0x53504646
HEADER: Final = struct.Struct("<IHBIIBII")
SECTION: Final = struct.Struct("<III")
PAIR: Final = struct.Struct("<II")
UNCOMPRESSED: Final = 0
COMPRESSED: Final = 1
# The upper byte of the version.
_PRODUCTS: Final = (0x01, 0x02)
_LONGEST_TEXT: Final = 400
_MOST_VARIABLES: Final = 4096
# Plugins and extensions that a plugin can need.
_MOST_NEEDS: Final = 100


class NotAPlugin(Exception):
    """The file is no plugin that SourceMod could load. The message says why, for users."""


@dataclass(frozen=True, kw_only=True)
class Info:
    """What the author wrote into `myinfo`, and the files without which SourceMod does not load the plugin."""

    name: str = ""
    description: str = ""
    author: str = ""
    version: str = ""
    url: str = ""
    # Files of other plugins, such as “left4dhooks.smx”, and of extensions without suffix, such as “dhooks.ext”.
    plugins: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()


def read(stream: BinaryIO) -> Info:
    """Read a plugin. Raises NotAPlugin."""
    raw = stream.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise NotAPlugin(f"is larger than {LARGEST_FILE // 1024**2} MiB")
    image = _image(raw)
    sections = _sections(image)
    for needed in (".data", ".names", ".pubvars"):
        if needed not in sections:
            raise NotAPlugin(f"has no section “{needed}”")
    return _Reader(_data(sections[".data"]), sections[".names"], sections[".pubvars"]).read()


def _image(raw: bytes) -> memoryview:
    """The file with its compressed part unpacked in place."""
    if len(raw) < HEADER.size:
        raise NotAPlugin("is too short")
    magic, version, compression, disk_size, image_size, _count, _names, data_start = HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise NotAPlugin("is no compiled plugin")
    if version >> 8 not in _PRODUCTS:
        raise NotAPlugin(f"has an unknown format ({version:#06x})")
    if image_size < HEADER.size:
        raise NotAPlugin("is damaged: it is smaller than its header")
    if image_size > LARGEST_IMAGE:
        raise NotAPlugin(f"unpacks to more than {LARGEST_IMAGE // 1024**2} MiB")
    if compression == UNCOMPRESSED:
        return memoryview(raw)[:image_size]
    if compression != COMPRESSED:
        raise NotAPlugin("is compressed in an unknown way")
    if not HEADER.size <= data_start <= min(disk_size, len(raw), image_size):
        raise NotAPlugin("is damaged: its header leads out of the file")
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(raw[data_start:disk_size], image_size - data_start or 1)
    except zlib.error:
        raise NotAPlugin("is damaged: it cannot be unpacked") from None
    return memoryview(raw[:data_start] + unpacked)


def _sections(image: memoryview) -> dict[str, memoryview]:
    _magic, _version, _compression, _disk, _size, count, names, _start = HEADER.unpack_from(image)
    if HEADER.size + count * SECTION.size > len(image):
        raise NotAPlugin("is damaged: it ends within its list of sections")
    found: dict[str, memoryview] = {}
    for number in range(count):
        name, start, size = SECTION.unpack_from(image, HEADER.size + number * SECTION.size)
        if start + size > len(image):
            raise NotAPlugin("is damaged: a section leads out of the file")
        found.setdefault(_text(image, names + name, 32), image[start : start + size])
    return found


def _data(section: memoryview) -> memoryview:
    """The memory that the plugin starts with."""
    if len(section) < 12:
        raise NotAPlugin("is damaged: its data are incomplete")
    size, _memory, start = struct.unpack_from("<III", section)
    return section[start : start + size]


def _text(memory: memoryview, at: int, longest: int = _LONGEST_TEXT) -> str:
    """The text up to the next NUL, printable and within the limit; empty for a place outside."""
    piece = bytes(memory[at : at + longest * 4])
    text = piece.partition(b"\0")[0].decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:longest]


class _Reader:
    """Looks up public variables by name, and what they point to."""

    def __init__(self, data: memoryview, names: memoryview, variables: memoryview) -> None:
        self._data, self._names, self._variables = data, names, variables

    def read(self) -> Info:
        values: dict[str, str] = {}
        plugins: list[str] = []
        extensions: list[str] = []
        for name, at in self._named():
            if name == "myinfo":
                values = dict(
                    zip(("name", "description", "author", "version", "url"), self._texts(at, 5), strict=False)
                )
            elif name.startswith("__pl_") and self._cell(at + 8):
                plugins.append(_text(self._data, self._cell(at + 4), 255))
            elif name.startswith("__ext_") and self._cell(at + 12):
                extensions.append(_text(self._data, self._cell(at + 4), 255))
        return Info(**values, plugins=_needs(plugins), extensions=_needs(extensions))

    def _named(self) -> Iterator[tuple[str, int]]:
        for number in range(min(len(self._variables) // PAIR.size, _MOST_VARIABLES)):
            at, name = PAIR.unpack_from(self._variables, number * PAIR.size)
            yield _text(self._names, name, 100), at

    def _texts(self, at: int, count: int) -> Iterator[str]:
        for number in range(count):
            yield _text(self._data, self._cell(at + 4 * number))

    def _cell(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 4], "little") if at + 4 <= len(self._data) else 0


def _needs(files: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(file for file in files if file))[:_MOST_NEEDS]
