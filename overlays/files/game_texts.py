"""Tells which files of an overlay the game reads as UTF-8 text, and which are programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from left4me.core import texts
from left4me.core.files.tree import BadPath, Parts, Tree

# Larger files are no texts that a person wrote.
LARGEST: Final = 1024 * 1024
_TITLES: Final = {"utf_8_sig": "UTF-8 with a byte order mark", "utf_16_le": "UTF-16", "utf_16_be": "UTF-16"}
_ELF: Final = b"\x7fELF"
_SCRIPT: Final = b"#!"
# Texts in the game's folder itself, such as mapcycle.txt. Those below `resource` are UTF-16 and must stay so.
_GAME: Final = "left4dead2"
_TEXT_FOLDERS: Final = frozenset(["missions", "addons", "cfg", "stripper", "scripts"])


def needs_converting(where: Parts, content: bytes) -> bool:
    """Whether this is a text that the game reads as UTF-8, but with a byte order mark or in UTF-16."""
    return is_read_as_utf8(where) and texts.is_unexecutable(content)


def is_read_as_utf8(where: Parts) -> bool:
    name = where[-1].lower()
    if name.endswith(".cfg"):
        return True
    if where[0] != _GAME or not name.endswith((".txt", ".ini", ".vdf", ".nut")):
        return False
    return len(where) == 2 or where[1].lower() in _TEXT_FOLDERS


def convert_all(tree: Tree, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Convert the texts among `paths` that the game could not read; yields each path with what it was in."""
    for path in paths:
        where = tuple(path.split("/"))
        if not is_read_as_utf8(where):
            continue
        try:
            with tree.open(where) as stream:
                raw = stream.read(LARGEST + 1)
        except BadPath:
            continue
        if len(raw) <= LARGEST and texts.is_unexecutable(raw):
            decoded = texts.decode(raw)
            with tree.writing(where) as target:
                target.write(decoded.text.encode())
            yield path, title(decoded.encoding)


def title(encoding: str) -> str:
    """What the log of a job says instead of Python's name of an encoding."""
    return _TITLES.get(encoding, encoding)


def is_program(where: Parts, head: bytes, *, is_marked: bool = False) -> bool:
    """Whether a file must be executable: an ELF program, a script that names its interpreter, or one marked as such.

    A mark counts only for a name without a suffix: some programs mark every file that they pack.
    """
    if head.startswith((_ELF, _SCRIPT)):
        return True
    return is_marked and "." not in where[-1]
