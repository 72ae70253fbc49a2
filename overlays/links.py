"""Creates and removes the links of a workshop overlay to cached files; leaves all other files alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from left4me.core.files import atomic, walk

ADDONS = Path("left4dead2/addons")
_LINK_NAME = re.compile(r"[0-9]{1,20}\.vpk")


@dataclass(frozen=True)
class Counts:
    created: int = 0
    removed: int = 0
    unchanged: int = 0


def reconcile(tree: Path, *, targets: Mapping[str, str], cache: Path) -> Counts:
    """Make a link for each name in `targets` in the addons directory of the tree, and remove outdated links.

    Only links named `<digits>.vpk` whose target is in a directory with the name of `cache` are replaced or removed
    (the path of the cache may have changed). Plain files and other links stay, also at a name in `targets`.
    """
    tree.mkdir(parents=True, exist_ok=True)
    with walk.folder(tree, ADDONS.parts, make=0o777) as folder:
        links, taken = _scan(folder, cache)
        created = unchanged = 0
        for name, target in targets.items():
            if links.get(name) == target:
                unchanged += 1
            elif name not in taken:
                # Replaced in one step: a game that starts now sees either the old link or the new one.
                atomic.link(Path(name), target, durable=False, at=folder)
                created += name not in links
        stale = [name for name in links if name not in targets]
        for name in stale:
            walk.unlink(name, at=folder)
    return Counts(created, len(stale), unchanged)


def _scan(folder: int, cache: Path) -> tuple[dict[str, str], set[str]]:
    """The links made by earlier builds with their targets, and the names of all other entries."""
    links, taken = {}, set()
    for name, target in walk.links(folder):
        if target is not None and _LINK_NAME.fullmatch(name) and Path(target).parent.name == cache.name:
            links[name] = target
        else:
            taken.add(name)
    return links, taken
