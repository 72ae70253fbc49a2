"""Finds the SourceMod plugins in layers, as the game would see them: the topmost layer with a file wins.

The content is untrusted: everything is reached by handles, and a tree with any number of plugins, or with ones that
unpack to a great deal, costs no more than the bounds below. What a file says is remembered by its size and time.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from left4me.core.files import walk
from left4me.core.natural_order import natural_key
from overlays.plugins import smx
from overlays.plugins.smx import Info

SOURCEMOD: Final = ("left4dead2", "addons", "sourcemod")
FOLDER: Final = (*SOURCEMOD, "plugins")
EXTENSIONS: Final = (*SOURCEMOD, "extensions")
SUFFIX: Final = ".smx"
DISABLED: Final = "disabled"
OPTIONAL: Final = "optional"
# SourceMod loads nothing from folders of these names.
_SKIPPED: Final = frozenset([DISABLED, OPTIONAL])
MOST: Final = 2000
_DEEPEST: Final = 8
_MOST_FOLDERS: Final = 500
_MOST_BYTES: Final = 256 * 1024**2

IsOpaque = Callable[[int], bool]


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One file. `layer` is the index of the layer that it comes from; `problem` says why it cannot be read."""

    path: str  # below the folder of plugins, as SourceMod names it
    layer: int
    size: int
    info: Info
    problem: str = ""

    @property
    def file(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_enabled(self) -> bool:
        """Whether SourceMod loads it at its start."""
        return is_enabled(self.path)

    @property
    def is_optional(self) -> bool:
        return is_optional(self.path)

    @property
    def title(self) -> str:
        return self.info.name or self.file.removesuffix(SUFFIX)

    def facts(self) -> dict[str, Any]:
        """What pages and the API show."""
        return {
            "path": self.path,
            "is_enabled": self.is_enabled,
            "is_optional": self.is_optional,
            "title": self.title,
            "version": self.info.version,
            "author": self.info.author,
            "description": self.info.description,
            "url": self.info.url if self.info.url.startswith(("https://", "http://")) else "",
            "size": self.size,
            "needs": [file for file in (*self.info.plugins, *self.info.extensions) if file != self.file],
            "problem": self.problem,
        }


def is_enabled(path: str) -> bool:
    """Whether SourceMod loads a plugin at this path at its start."""
    return not _SKIPPED.intersection(path.split("/")[:-1])


def is_optional(path: str) -> bool:
    """Whether a plugin at this path is there for others to load, such as a match mode of a pack."""
    folders = path.split("/")[:-1]
    return OPTIONAL in folders and DISABLED not in folders


def order(path: str) -> str:
    """A key by which plugins are listed."""
    return natural_key(path)


def has_plugins(layers: Sequence[Path]) -> bool:
    return any(layer.joinpath(*FOLDER).is_dir() for layer in layers)


def find(layers: Sequence[Path], *, is_opaque: IsOpaque = lambda _handle: False) -> list[Plugin]:
    """The plugins of `layers` (the topmost first), by path. `is_opaque` tells of a folder that hides those below.

    At most MOST, and no more bytes are read than the bounds allow: the rest is listed with a problem.
    """
    seen = _Merger(layers, is_opaque).run()
    found, budget = [], _MOST_BYTES
    for parts, (layer, status) in sorted(seen.items(), key=lambda each: order("/".join(each[0]))):
        info, problem = Info(), "is beyond the limit of what is read"
        if status.st_size <= budget:
            budget -= status.st_size
            info, problem = _read(str(layers[layer]), parts, status.st_size, status.st_mtime_ns)
        found.append(Plugin(path="/".join(parts), layer=layer, size=status.st_size, info=info, problem=problem))
    return found


def extensions(layers: Sequence[Path]) -> set[str]:
    """The extensions that are there, by names as plugins give them, such as “dhooks.ext”."""
    names: set[str] = set()
    for layer in layers:
        for name in walk.list_files(layer, EXTENSIONS):
            if ".ext" in name and name.endswith(".so"):
                names.add(name[: name.index(".ext") + 4].lower())
    return names


@lru_cache(maxsize=4096)
def _read(root: str, parts: tuple[str, ...], _size: int, _changed: int) -> tuple[Info, str]:
    try:
        with walk.open_below(Path(root), (*FOLDER, *parts)) as stream:
            return smx.read(stream), ""
    except smx.NotAPlugin as reason:
        return Info(), str(reason)
    except OSError as fault:
        return Info(), f"cannot be read: {fault.strerror}"


class _Merger:
    """One walk through the folders of plugins of all layers together."""

    def __init__(self, layers: Sequence[Path], is_opaque: IsOpaque) -> None:
        self._layers, self._is_opaque = layers, is_opaque
        self._found: dict[tuple[str, ...], tuple[int, os.stat_result]] = {}

    def run(self) -> dict[tuple[str, ...], tuple[int, os.stat_result]]:
        waiting: list[tuple[tuple[str, ...], tuple[int, ...]]] = [((), tuple(range(len(self._layers))))]
        folders = 0
        while waiting and folders < _MOST_FOLDERS:
            folders += 1
            parts, layers = waiting.pop()
            waiting.extend(self._look(parts, layers))
        return self._found

    def _look(
        self, parts: tuple[str, ...], layers: Sequence[int]
    ) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
        """Take the plugins of one folder. Yields each folder in it, with the layers that show it."""
        hidden: set[str] = set()
        folders: dict[str, list[int]] = {}
        for layer in layers:
            with contextlib.suppress(OSError), walk.folder(self._layers[layer], (*FOLDER, *parts)) as handle:
                here = dict(walk.scan(handle))
                for name, status in here.items():
                    if name in hidden or not name.isprintable():
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        folders.setdefault(name, []).append(layer)
                    elif name not in folders:
                        self._take((*parts, name), layer, status)
                # What is no folder hides everything of its name below.
                hidden.update(name for name, status in here.items() if not stat.S_ISDIR(status.st_mode))
                if self._is_opaque(handle):
                    break
        if len(parts) < _DEEPEST:
            yield from (((*parts, name), tuple(of)) for name, of in folders.items())

    def _take(self, where: tuple[str, ...], layer: int, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode) and where[-1].endswith(SUFFIX) and len(self._found) < MOST:
            self._found[where] = layer, status
