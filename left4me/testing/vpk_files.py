"""Writes small VPK files for tests, benchmarks and the simulated Steam."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path

from workshop.vpk import _END_OF_ENTRY, _ENTRY, _HEADER, _HEADER_2, _IN_THIS_FILE, MAGIC


def write(path: Path, files: dict[str, bytes], *, version: int = 1, part: Path | None = None) -> None:
    """Write a VPK with these contents by path, of one file or with its content in the numbered `part` 0."""
    tree, data = io.BytesIO(), io.BytesIO()
    by_extension: dict[str, dict[str, dict[str, bytes]]] = {}
    for full, content in files.items():
        folder, _, file = full.rpartition("/")
        stem, dot, extension = file.rpartition(".")
        folders = by_extension.setdefault(extension if dot else " ", {})
        folders.setdefault(folder or " ", {})[stem if dot else file] = content
    for extension, folders in by_extension.items():
        tree.write(os.fsencode(extension) + b"\0")
        for folder, names in folders.items():
            tree.write(os.fsencode(folder) + b"\0")
            for name, content in names.items():
                tree.write(os.fsencode(name) + b"\0")
                crc = zlib.crc32(content)
                entry = (crc, 0, _IN_THIS_FILE if part is None else 0, data.tell(), len(content), _END_OF_ENTRY)
                tree.write(_ENTRY.pack(*entry))
                data.write(content)
            tree.write(b"\0")
        tree.write(b"\0")
    tree.write(b"\0")
    head = _HEADER.pack(MAGIC, version, tree.tell())
    if version == 2:
        head += _HEADER_2.pack(data.tell() if part is None else 0, 0, 0, 0)
    path.write_bytes(head + tree.getvalue() + (data.getvalue() if part is None else b""))
    if part is not None:
        part.write_bytes(data.getvalue())
