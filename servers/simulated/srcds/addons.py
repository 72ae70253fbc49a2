"""Addons: the VPK files the engine mounts as it starts, and the maps in them."""

from __future__ import annotations

import os
import re
import struct

_MAGIC = 0x55AA1234
_FOLDERS = ("left4dead2/addons", "left4dead2/addons/workshop")
_PART = re.compile(r"(.+)_([0-9]{3})\.vpk", re.IGNORECASE)
_IN_THIS_FILE = 0x7FFF
_ENTRY_BYTES = 18
# A tree larger than this is trusted after its header: reading names out of it is only for the list of maps.
_LARGEST_TREE_READ = 8_000_000


class InvalidArchive(Exception):
    """The engine cannot mount an archive, which ends the process."""


def scan() -> list[str]:
    """The addons' maps. Raises InvalidArchive for the first invalid archive."""
    maps: set[str] = set()
    for folder in _FOLDERS:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if name.lower().endswith(".vpk") and not _is_part(folder, name, names):
                maps.update(_maps_of(f"{folder}/{name}"))
    return sorted(maps)


def _is_part(folder: str, name: str, names: list[str]) -> bool:
    """Whether a file has no directory of its own: `x_000.vpk` holds content of `x_dir.vpk` beside it."""
    match = _PART.fullmatch(name)
    if match is None or f"{match[1]}_dir.vpk" not in names:
        return False
    with open(f"{folder}/{name}", "rb") as file:
        return file.read(4) != struct.pack("<I", _MAGIC)


def _maps_of(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            size = os.fstat(file.fileno()).st_size
            if len(head) < 12:
                raise InvalidArchive(path)
            magic, version, tree_size = struct.unpack("<III", head)
            start = 12 if version == 1 else 28
            if magic != _MAGIC or version not in (1, 2) or start + tree_size > size:
                raise InvalidArchive(path)
            file.seek(start)
            tree = file.read(tree_size) if tree_size <= _LARGEST_TREE_READ else b""
    except OSError as error:
        raise InvalidArchive(path) from error
    try:
        return list(_maps_in(tree, path)) if tree else []
    except (ValueError, struct.error) as error:
        raise InvalidArchive(path) from error


def _maps_in(tree: bytes, path: str) -> list[str]:
    """Names of `maps/*.bsp`. The tree nests lists of NUL-ended strings: suffixes, directories, names with entries.

    Raises InvalidArchive when content lies in a numbered part that is missing.
    """
    maps: list[str] = []
    position = 0
    while True:
        suffix, position = _string(tree, position)
        if not suffix:
            return maps
        while True:
            directory, position = _string(tree, position)
            if not directory:
                break
            while True:
                name, position = _string(tree, position)
                if not name:
                    break
                preload, part, _offset, length = struct.unpack_from("<HHII", tree, position + 4)
                if part != _IN_THIS_FILE and length and not os.path.isfile(_part_of(path, part)):
                    raise InvalidArchive(path)
                position += _ENTRY_BYTES + preload
                if suffix == "bsp" and directory == "maps":
                    maps.append(name)


def _part_of(path: str, number: int) -> str:
    stem = path[: -len(".vpk")]
    return f"{stem[: -len('_dir')] if stem.lower().endswith('_dir') else stem}_{number:03}.vpk"


def _string(tree: bytes, position: int) -> tuple[str, int]:
    end = tree.index(b"\0", position)
    return tree[position:end].decode("utf-8", "replace").lower(), end + 1
