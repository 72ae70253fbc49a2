"""SourceMod's `admins_simple.ini`: what an overlay brings, and what left4me writes in its place.

SourceMod reads the file line by line, at most 254 bytes at a time: the rest of a longer line would be a line of its
own. Of two lines for the same Steam ID the first one counts. So left4me's lines come first, each short, and the lines
of the overlay's file follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from left4me.core import steam_ids, texts
from left4me.core.files import walk

PATH: Final = "left4dead2/addons/sourcemod/configs/admins_simple.ini"
_SOURCEMOD: Final = "left4dead2/addons/sourcemod"
_RESERVED_SLOTS: Final = "left4dead2/addons/sourcemod/plugins/reservedslots.smx"
_LONGEST_FILE: Final = 256 * 1024
_LONGEST_NAME: Final = 40


class Admin(Protocol):
    @property
    def steam_id(self) -> int | None: ...
    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def flags(self) -> str: ...
    @property
    def immunity(self) -> int: ...


def has_sourcemod(layers: Iterable[Path]) -> bool:
    """Whether one of these directories brings SourceMod."""
    return any((layer / _SOURCEMOD).is_dir() for layer in layers)


def has_reserved_slots(layers: Iterable[Path]) -> bool:
    """Whether SourceMod's plugin for reserved slots is enabled in one of these directories."""
    return any((layer / _RESERVED_SLOTS).is_file() for layer in layers)


def inherited(layers: Iterable[Path]) -> str:
    """The text of the file that the topmost of these layers brings, or an empty one."""
    for layer in layers:
        try:
            # No symbolic link is followed: the content is untrusted.
            with walk.open_below(layer, PATH.split("/")) as stream:
                return texts.decode(stream.read(_LONGEST_FILE)).text
        except OSError:
            continue
    return ""


def render(admins: Sequence[Admin], *, below: str) -> str:
    """The text of the file: these admins, then the lines `below`, which an overlay brings."""
    lines = ["// Written by left4me. Change the admins on the page of the server or of its blueprint."]
    for admin in admins:
        if admin.steam_id is None:
            continue
        rights = f"{admin.immunity}:{admin.flags}" if admin.immunity else admin.flags
        lines += [f"// {_plain(admin.name)} ({admin.source})", f'"{steam_ids.steam_id_2(admin.steam_id)}" "{rights}"']
    if below.strip():
        lines += ["", "// From an overlay:", *below.splitlines()]
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    """A name that cannot end its comment: one short line of letters, without quotes and comment signs."""
    shown = "".join(letter if letter.isprintable() and letter not in '"\\/;' else " " for letter in name)
    return " ".join(shown.split())[:_LONGEST_NAME] or "?"
