"""Makes the links in a workshop overlay equal to a wish, and touches nothing that it did not make itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from left4me.core.files import atomic, walk

ADDONS = Path("left4dead2/addons")
_OURS = re.compile(r"[0-9]{1,20}\.vpk")


@dataclass(frozen=True)
class Counts:
    created: int = 0
    removed: int = 0
    unchanged: int = 0


def reconcile(tree: Path, *, targets: Mapping[str, str], cache: Path) -> Counts:
    """Link each name in `targets` below the tree's addons directory, and remove other links of ours.

    Ours is a link whose name is `<digits>.vpk` and whose target lies in `cache` by name, wherever that is now; a
    plain file or any other link stays, also where it takes a name that is wanted.
    """
    tree.mkdir(parents=True, exist_ok=True)
    with walk.folder(tree, ADDONS.parts, make=0o777) as folder:
        links, taken = _look(folder, cache)
        created = unchanged = 0
        for name, target in targets.items():
            if links.get(name) == target:
                unchanged += 1
            elif name not in taken:
                # In one step: a game that starts now sees the old link or the new one, never none.
                atomic.link(Path(name), target, durable=False, at=folder)
                created += name not in links
        stale = [name for name in links if name not in targets]
        for name in stale:
            walk.unlink(name, at=folder)
    return Counts(created, len(stale), unchanged)


def _look(folder: int, cache: Path) -> tuple[dict[str, str], set[str]]:
    """Our links with their targets, and the names that somebody else's files take."""
    links, taken = {}, set()
    for name, target in walk.links(folder):
        if target is not None and _OURS.fullmatch(name) and Path(target).parent.name == cache.name:
            links[name] = target
        else:
            taken.add(name)
    return links, taken
