"""Reads crash dumps (minidumps of Breakpad, as SourceMod's Accelerator writes them): why, where, and what was loaded.

A dump is written by the game, so it is untrusted: offsets and counts in it are bounds-checked, and only a few small
parts of the file are ever read. The library `minidump` reads whole memory and trusts the counts.
"""

from __future__ import annotations

import signal
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import BinaryIO, Final

_MAGIC: Final = b"MDMP"
_HEADER: Final = struct.Struct("<4sIIIII")
_DIRECTORY: Final = struct.Struct("<III")
_MODULE: Final = struct.Struct("<QIIII")
_MODULE_BYTES: Final = 108
_EXCEPTION: Final = struct.Struct("<IIIIQQ")
# Within the exception stream: the size and place of the registers. Within these, for x86: the instruction pointer.
_CONTEXT_AT: Final = 160
_CONTEXT: Final = struct.Struct("<II")
_X86: Final = 0
_EIP_AT: Final = 184
_NAME: Final = struct.Struct("<I")

_MODULES, _CRASH, _SYSTEM = 4, 6, 7

_MOST_STREAMS: Final = 64
_MOST_MODULES: Final = 1000
_LONGEST_NAME: Final = 512


class NotADump(ValueError):
    """The file is no minidump, or is cut off before its directory ends."""


@dataclass(frozen=True, kw_only=True)
class Module:
    name: str
    base: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Crash:
    """What a dump tells. Parts that it lacks, or that are damaged, are empty."""

    at: datetime | None = None
    signal: int = 0
    module: str = ""  # the library or program whose code ran
    modules: tuple[Module, ...] = ()

    @property
    def reason(self) -> str:
        """Such as “segmentation fault in server_srv.so”; empty if the dump does not tell."""
        try:
            name = signal.strsignal(self.signal) if 0 < self.signal < signal.NSIG else None
        except ValueError:
            name = None
        where = f" in {self.module}" if self.module else ""
        return f"{(name or f'signal {self.signal}').lower()}{where}" if self.signal else ""


def read(file: BinaryIO) -> Crash:
    """Read a dump. Raises NotADump and OSError; a dump that is damaged in its parts gives what can be read."""
    magic, _version, count, place, _checksum, seconds = _unpack(file, _HEADER, 0) or (b"", 0, 0, 0, 0, 0)
    if magic != _MAGIC:
        raise NotADump("it does not begin as a crash dump does")
    streams: dict[int, tuple[int, int]] = {}
    for number in range(min(count, _MOST_STREAMS)):
        entry = _unpack(file, _DIRECTORY, place + number * _DIRECTORY.size)
        if entry is None:
            raise NotADump("it is incomplete")
        kind, size, offset = entry
        streams.setdefault(kind, (size, offset))
    modules = _modules(file, streams.get(_MODULES))
    number, pointer = _crash(file, streams)
    return Crash(
        at=datetime.fromtimestamp(seconds, UTC) if seconds else None,
        signal=number,
        module=next((m.name for m in modules if pointer and m.base <= pointer < m.base + m.size), ""),
        modules=modules,
    )


def _modules(file: BinaryIO, stream: tuple[int, int] | None) -> tuple[Module, ...]:
    if stream is None:
        return ()
    size, place = stream
    (count,) = _unpack(file, _NAME, place) or (0,)
    # Breakpad aligns the list to 8 bytes where its size says so.
    first = place + (8 if size == 8 + count * _MODULE_BYTES else 4)
    found = []
    for number in range(min(count, _MOST_MODULES)):
        entry = _unpack(file, _MODULE, first + number * _MODULE_BYTES)
        if entry is None:
            break
        base, length, _checksum, _at, name_at = entry
        found.append(Module(name=_text(file, name_at), base=base, size=length))
    return tuple(found)


def _crash(file: BinaryIO, streams: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The signal and the instruction pointer; 0 where the dump does not tell."""
    if _CRASH not in streams:
        return 0, 0
    place = streams[_CRASH][1]
    _thread, _align, code, _flags, _record, _address = _unpack(file, _EXCEPTION, place) or (0, 0, 0, 0, 0, 0)
    (architecture,) = _unpack(file, struct.Struct("<H"), streams.get(_SYSTEM, (0, 0))[1]) or (None,)
    context = _unpack(file, _CONTEXT, place + _CONTEXT_AT)
    if architecture != _X86 or _SYSTEM not in streams or context is None:
        return code, 0
    (pointer,) = _unpack(file, _NAME, context[1] + _EIP_AT) or (0,)
    return code, pointer


def _text(file: BinaryIO, place: int) -> str:
    """The last part of a path: a string of UTF-16 behind its length in bytes."""
    (length,) = _unpack(file, _NAME, place) or (0,)
    file.seek(place + _NAME.size)
    raw = file.read(min(length, _LONGEST_NAME) & ~1)
    text = raw.decode("utf-16-le", "replace").replace("\0", "")
    name = PurePosixPath(text).name or text
    return "".join(each if each.isprintable() else "?" for each in name)


def _unpack(file: BinaryIO, form: struct.Struct, place: int) -> tuple[int, ...] | None:
    """The values at `place`; None behind the end of the file."""
    file.seek(place)
    data = file.read(form.size)
    return form.unpack(data) if len(data) == form.size else None
