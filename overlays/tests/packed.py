"""Archives for tests: tars by Python, 7z and xz of those by bsdtar, RARs byte by byte."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from left4me.core.processes import commands

Member = tuple[str | tarfile.TarInfo, bytes]


def tarred(members: Iterable[Member], *, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for info, content in members:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def symlink(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def converted(members: Iterable[Member], folder: Path, *options: str) -> bytes:
    """The same members as bsdtar packs them, e.g. with `--format 7zip`."""
    source, target = folder / "source.tar", folder / "target"
    source.write_bytes(tarred(members))
    # Names outside of ASCII need a UTF-8 locale.
    commands.run(["bsdtar", "-P", *options, "-cf", target, f"@{source}"], timeout=60, env={"LANG": "C.UTF-8"})
    return target.read_bytes()


def rar(members: Iterable[tuple[str | bytes, bytes]], *, kind: int = stat.S_IFREG) -> bytes:
    """A RAR 4 archive with uncompressed files; there is no free program that creates RARs."""
    blocks = [b"Rar!\x1a\x07\x00", _block(0x73, 0, bytes(6))]
    for name, content in members:
        raw = name.encode() if isinstance(name, str) else name
        crc, mode = zlib.crc32(content), kind | 0o644
        head = struct.pack("<IIBIIBBHI", len(content), len(content), 3, crc, 0x5A210000, 20, 0x30, len(raw), mode)
        blocks += [_block(0x74, 0x8000, head + raw), content]
    return b"".join([*blocks, _block(0x7B, 0x4000, b"")])


def _block(kind: int, flags: int, rest: bytes) -> bytes:
    body = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
    return struct.pack("<H", zlib.crc32(body) & 0xFFFF) + body
