"""Which files of a server its copy holds, where all of them are more than it may have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from servers.gamehost.storage import used

# What a server cannot do without. Of the others, such as logs and backups, the newest files are taken.
_NEEDED: Final = ("notes", "upper", "aside")
_NAMED: Final = 5


class TooLarge(Exception):
    """What the server cannot do without takes `size` bytes, which are too many."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"{size} bytes")


@dataclass
class Selection:
    """The paths in each tree that are left out, how many they are, and the names of some."""

    besides: dict[str, set[str]] = field(default_factory=dict)
    count: int = 0
    names: list[str] = field(default_factory=list)


def choose(trees: Mapping[str, Path], *, most: int) -> Selection:
    """Leave out the oldest files of what is not needed, so that all together have at most `most` bytes.

    Raises TooLarge.
    """
    left = most - sum(used(trees[name]).size for name in _NEEDED if name in trees)
    if left < 0:
        raise TooLarge(most - left)
    chosen = Selection()
    for name, top in trees.items():
        if name in _NEEDED:
            continue
        for path, size in _newest_first(top):
            if size <= left:
                left -= size
                continue
            chosen.besides.setdefault(name, set()).add(path)
            chosen.count += 1
            if len(chosen.names) < _NAMED:
                chosen.names.append(f"{name}/{path}")
    return chosen


def _newest_first(top: Path) -> Iterator[tuple[str, int]]:
    """The files below a directory that left4me itself fills, with their sizes."""
    found = []
    for where, _folders, names in os.walk(top):
        for name in names:
            place = Path(where, name)
            status = place.lstat()
            found.append((-status.st_mtime_ns, str(place.relative_to(top)), status.st_size))
    for _time, path, size in sorted(found):
        yield path, size
