"""Which files of a source are those of the game itself.

Where the game is installed on this host, a file counts as the game's when a version of it has the same bytes at the
same path. Without an installed game, names decide, and folders that people seldom fill are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from left4me.core.files import walk
from left4me.core.files.tree import Parts
from overlays import game_files
from servers.blueprints import maps

# Larger files are compared by their size and by three parts: nobody changes a map without changing its size.
_WHOLE: Final = 16 * 1024 * 1024
_PART: Final = 1024 * 1024
# Texts of the game that operators edit. Of all other files of the game a different copy is one of another version.
_EDITED: Final = re.compile(r"left4dead2/(?:cfg/.+|addons/.+|[^/]+\.txt)", re.IGNORECASE)
_ONLY_GAME: Final = re.compile(r"left4dead2/(?:pak\d+_(?:dir|\d+)\.vpk|gameinfo\.txt|steam\.inf)", re.IGNORECASE)
_STOCK_CFG: Final = re.compile(
    r"cfg/(?:valve\.rc|config_default\.cfg|mapedit\.cfg|360controller.*\.cfg|undo360controller\.cfg|joystick\.cfg|"
    r"perftest\.cfg|moddefaults\.txt|pure_server.*\.txt|trusted_keys.*\.txt|listenserver\.cfg|skill_manifest\.cfg|"
    r"chapter\d+\.cfg|mtp\.cfg|vidcfg\.bin|.*_mode(?:rn)?\.cfg|cpu_level_.*|gpu_.*|mem_level_.*)",
    re.IGNORECASE,
)
_STOCK_NAMES: Final = frozenset(
    ["gameinfo.txt", "steam.inf", "motd_default.txt", "maplist.txt", "thirdpartylegalnotices.doc", "readme.txt"]
)
# What operators put into the game's folder. Everything else there is the game's, as far as names tell.
_OWN_FOLDERS: Final = frozenset(["addons", "cfg", "ems", "maps", "missions", "stripper", "custom"])
_OWN_FILES: Final = frozenset(["host.txt", "motd.txt", "mapcycle.txt", "whitelist.cfg"])

Open = Callable[[], BinaryIO]


class Stock:
    """Compares with these installed versions of the game, the newest first."""

    def __init__(self, versions: Sequence[Path]) -> None:
        self._versions = versions

    def judge(self, where: Parts, size: int, read: Open) -> str:
        """Why the file at `where` below the game's top is left out; empty for one that is the operator's.

        Raises OSError if the file cannot be read.
        """
        if not self._versions:
            return "" if is_probably_own(where) else "probably_game"
        is_there = False
        for version in self._versions:
            try:
                with walk.open_below(version, where) as theirs:
                    is_there = True
                    if walk_size(theirs) == size and digest(theirs, size) == _digest_of(read, size):
                        return "game"
            except OSError:
                if is_there:
                    raise
        if not is_there:
            # An older version may have had more parts than the one that is installed.
            return "game_other" if _ONLY_GAME.fullmatch("/".join(where)) else ""
        return "" if _EDITED.fullmatch("/".join(where)) else "game_other"


def is_probably_own(where: Parts) -> bool:
    """Whether the name of a file, below the game's top, is none of the game's."""
    if where[:1] != (game_files.GAME,):
        return False
    below = "/".join(where[1:]).lower()
    folder, _slash, name = below.partition("/")
    if not name:
        return below in _OWN_FILES
    if folder not in _OWN_FOLDERS or _STOCK_CFG.fullmatch(below):
        return False
    if folder == "maps":
        return name.partition(".")[0] not in _stock_maps()
    if folder == "missions":
        return not re.fullmatch(
            r"(?:campaign\d+|credits|holdoutchallenge|holdouttraining|parishdash|shootzones)\.txt", name
        )
    return not (folder == "addons" and name in _STOCK_NAMES)


def walk_size(stream: BinaryIO) -> int:
    size = stream.seek(0, 2)
    stream.seek(0)
    return size


def digest(stream: BinaryIO, size: int) -> bytes:
    """A hash of the whole of a small file, and of the beginning, the middle and the end of a large one."""
    found = hashlib.sha256()
    if size <= _WHOLE:
        while piece := stream.read(_PART):
            found.update(piece)
        return found.digest()
    for at in (0, size // 2, size - _PART):
        stream.seek(at)
        found.update(stream.read(_PART))
    return found.digest()


def _digest_of(read: Open, size: int) -> bytes:
    with read() as ours:
        return digest(ours, size)


def _stock_maps() -> frozenset[str]:
    return frozenset([*maps.stock(), "tutorial_standards", "tutorial_standards_vs", "credits", "outtro_stats"])
