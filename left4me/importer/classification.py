"""What becomes of each file in the game's folder: taken into the overlay, turned into rows, or left for a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Final

from left4me.core.files import tree, walk
from left4me.core.files.tree import BadPath, Parts
from left4me.importer.layout import Game
from left4me.importer.plan import File, Tree
from left4me.importer.source import MOST_FILES, BadSource, Entry, Source
from left4me.importer.stock import Stock
from overlays import game_files
from servers.game_access import admins_file

GAME: Final = (game_files.GAME,)
CFG: Final = (*GAME, "cfg")
BAN_FILES: Final = frozenset(["left4dead2/cfg/banned_user.cfg", "left4dead2/cfg/banned_ip.cfg"])
ADMINS: Final = admins_file.PATH
_CHECKED_EVERY: Final = 200
_DEEPEST_LINKS: Final = 4
# What the game and its plugins write by themselves, by the path below the game's folder.
_WRITTEN: Final = tuple(
    (reason, re.compile(pattern, re.IGNORECASE))
    for reason, pattern in (
        ("log", r"logs/.*|(?:.*/)?addons/sourcemod/logs/.*|.*\.log(?:\.\d+)?|(?:.*/)?condump\d*\.txt"),
        ("dump", r"(?:.*/)?(?:core(?:\.\d+)?|.*\.(?:mdmp|dmp|core))|(?:.*/)?addons/sourcemod/data/dumps/.*"),
        ("demo", r"(?:.*/)?.*\.dem(?:\.\w+)?"),
        ("cache", r"maps/graphs/.*|soundcache/.*|download(?:s|lists)?/.*|.*\.cache|(?:.*/)?thumbs\.db|.*/\.ds_store"),
        ("cache", r"addons/workshop/.*\.jpg|steam_appid\.txt|demoheader\.tmp|modelsounds\.cache|voice_ban\.dt"),
        ("backup", r"(?:.*/)?.*(?:~|\.(?:bak|old|orig|swp|swo|part))|(?:.*/)?\.(?:git|svn)/.*"),
        ("panel", r"(?:.*/)?\.(?:git\w+|pteroignore|pelicanignore|keep|gitkeep)"),
    )
)


class Classifier:
    """Sorts the files of one game's folder into its plan."""

    def __init__(
        self, source: Source, game: Game, *, stock: Stock, own_cfg: frozenset[str], check: Callable[[], None]
    ) -> None:
        self._source, self._game, self._stock, self._check = source, game, stock, check
        # The cfg files that become lines of blueprints, by their folded names below the cfg folder.
        self._own_cfg = own_cfg
        self._seen = 0

    def sort(self, plan: Tree, take: Callable[[File], None]) -> Iterator[int]:
        """Sort every file; yields how many have been seen, to report progress. Raises BadSource and what `check` does.

        `take` gets the files for the overlay, also those that may be items of the workshop.
        """
        taken: set[str] = set()
        for entry, target in self._entries():
            self._seen += 1
            if self._seen > MOST_FILES:
                raise BadSource(f"There are more than {MOST_FILES:,} files.")
            if self._seen % _CHECKED_EVERY == 0:
                self._check()
                yield self._seen
            path = "/".join(target)
            if path.lower() in taken:
                continue
            if reason := self._reason(entry, target):
                plan.leave("/".join(entry.where) or ".", reason, entry.size)
                continue
            taken.add(path.lower())
            take(File("/".join(entry.where), path, entry.size, entry.modified_ns, entry.is_marked))

    def _entries(self) -> Iterator[tuple[Entry, Parts]]:
        for mount in self._game.mounts:
            top = (*GAME, *mount.target)
            if mount.source and (single := self._source.entry(mount.source)) and single.kind == "file":
                yield single, top
                continue
            yield from self._below(mount.source, top, depth=0)

    def _below(self, folder: Parts, target: Parts, *, depth: int) -> Iterator[tuple[Entry, Parts]]:
        for entry in self._source.walk(folder):
            here = (*target, *entry.where[len(folder) :])
            if entry.kind != "link":
                yield entry, here
            else:
                yield from self._linked(entry, here, depth=depth)

    def _linked(self, link: Entry, target: Parts, *, depth: int) -> Iterator[tuple[Entry, Parts]]:
        """What a link inside of the source leads to, under the name of the link; any other link itself."""
        where = _inside(link.where, link.target)
        if where is None or depth >= _DEEPEST_LINKS or link.where[: len(where)] == where:
            yield link, target
        elif self._source.is_folder(where):
            yield from self._below(where, target, depth=depth + 1)
        elif (found := self._source.entry(where)) is not None and found.kind == "file":
            yield found, target
        else:
            yield link, target

    def _reason(self, entry: Entry, target: Parts) -> str:
        """Why the file is left; empty if it is taken."""
        if entry.kind == "link":
            return "link_out" if _inside(entry.where, entry.target) is None else "link"
        if entry.kind != "file":
            return entry.kind
        try:
            tree.parts("/".join(target))
        except BadPath:
            return "bad_name"
        below = "/".join(target[1:])
        for reason, pattern in _WRITTEN:
            if pattern.fullmatch(below):
                return reason
        path = "/".join(target).lower()
        if path in BAN_FILES:
            return "bans"
        if target[:2] == CFG and below.partition("/")[2].lower() in self._own_cfg:
            return "config"
        if game_files.is_program(target):
            return "program"
        try:
            return self._stock.judge(target, entry.size, lambda: self._source.open(entry.where))
        except OSError:
            return "unreadable"


def _inside(where: Parts, target: str) -> Parts | None:
    """Where a link inside of the source leads, without following anything; None if it leads out."""
    if not target or walk.leads_out(where, target):
        return None
    parts: list[str] = list(where[:-1])
    for part in PurePosixPath(target).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return tuple(parts)
