"""A crash dump as Breakpad writes it: the signal, the registers, and the loaded modules."""

from __future__ import annotations

import struct

_HEADER_BYTES = 32
_ENTRY_BYTES = 12
_EXCEPTION_BYTES = 168
_MODULE_BYTES = 108
_CONTEXT_BYTES = 716
_EIP_AT = 184

MODULES = (
    ("/game/srcds_linux", 0x08048000, 0x10000),
    ("/game/bin/engine_srv.so", 0xF0000000, 0x600000),
    ("/game/left4dead2/bin/server_srv.so", 0xE0000000, 0x1200000),
)


def build(number: int, *, pointer: int = 0xE0001234, seconds: int = 1_800_000_000) -> bytes:
    """A dump of a game that `number` ended, with code of the module around `pointer`."""
    names = b"".join(_string(name) for name, _base, _size in MODULES)
    starts = [sum(len(_string(name)) for name, *_ in MODULES[:index]) for index in range(len(MODULES))]
    at = _HEADER_BYTES + 3 * _ENTRY_BYTES
    system = struct.pack("<H", 0) + bytes(54)
    context_at = at + len(system) + _EXCEPTION_BYTES
    crash = struct.pack("<IIIIQQ", 7, 0, number, 0, 0, 0).ljust(160, b"\0") + struct.pack(
        "<II", _CONTEXT_BYTES, context_at
    )
    context = bytearray(_CONTEXT_BYTES)
    struct.pack_into("<I", context, _EIP_AT, pointer)
    list_at = context_at + len(context)
    names_at = list_at + 4 + len(MODULES) * _MODULE_BYTES
    modules = struct.pack("<I", len(MODULES)) + b"".join(
        struct.pack("<QIIII", base, size, 0, 0, names_at + start).ljust(_MODULE_BYTES, b"\0")
        for (_name, base, size), start in zip(MODULES, starts, strict=True)
    )
    entries = [(7, len(system), at), (6, len(crash), at + len(system)), (4, len(modules), list_at)]
    header = struct.pack("<4sIIIIIQ", b"MDMP", 0xA793, len(entries), _HEADER_BYTES, 0, seconds, 0)
    directory = b"".join(struct.pack("<III", *entry) for entry in entries)
    return header + directory + system + crash + bytes(context) + modules + names


def _string(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data + b"\0\0"
