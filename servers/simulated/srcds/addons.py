"""Addons: the VPK files the engine mounts as it starts, and the maps in them."""

from __future__ import annotations

import os
import struct

_MAGIC = 0x55AA1234
_DIRECTORY = "left4dead2/addons"
_ENTRY_BYTES = 18
# A tree larger than this is trusted after its header: reading names out of it is only for the list of maps.
_LARGEST_TREE_READ = 8_000_000


class InvalidArchive(Exception):
    """The engine cannot mount an archive, which ends the process."""


def scan() -> list[str]:
    """The addons' maps. Raises InvalidArchive for the first invalid archive."""
    try:
        names = sorted(os.listdir(_DIRECTORY))
    except OSError:
        return []
    maps: set[str] = set()
    for name in names:
        if name.lower().endswith(".vpk"):
            maps.update(_maps_of(f"{_DIRECTORY}/{name}"))
    return sorted(maps)


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
        return list(_maps_in(tree)) if tree else []
    except (ValueError, struct.error) as error:
        raise InvalidArchive(path) from error


def _maps_in(tree: bytes) -> list[str]:
    """Names of `maps/*.bsp`. The tree nests lists of NUL-ended strings: suffixes, directories, names with entries."""
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
                (preload,) = struct.unpack_from("<H", tree, position + 4)
                position += _ENTRY_BYTES + preload
                if suffix == "bsp" and directory == "maps":
                    maps.append(name)


def _string(tree: bytes, position: int) -> tuple[str, int]:
    end = tree.index(b"\0", position)
    return tree[position:end].decode("utf-8", "replace").lower(), end + 1
