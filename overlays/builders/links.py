"""Makes the links in a workshop overlay equal to a wish, and touches nothing that it did not make itself."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    with _addons(tree) as folder:
        links, taken = _look(folder, cache)
        created = unchanged = 0
        for name, target in targets.items():
            if links.get(name) == target:
                unchanged += 1
            elif name not in taken:
                _link(folder, name, target)
                created += name not in links
        stale = [name for name in links if name not in targets]
        for name in stale:
            os.unlink(name, dir_fd=folder)
    return Counts(created, len(stale), unchanged)


@contextlib.contextmanager
def _addons(tree: Path) -> Iterator[int]:
    """A handle on the addons directory, made when missing; no part of the way there may be a link."""
    tree.mkdir(parents=True, exist_ok=True)
    handle = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in ADDONS.parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=handle)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _look(folder: int, cache: Path) -> tuple[dict[str, str], set[str]]:
    """Our links with their targets, and the names that somebody else's files take."""
    links, taken = {}, set()
    with os.scandir(folder) as entries:
        for entry in entries:
            target = os.readlink(entry.name, dir_fd=folder) if entry.is_symlink() else ""
            if _OURS.fullmatch(entry.name) and Path(target).parent.name == cache.name:
                links[entry.name] = target
            else:
                taken.add(entry.name)
    return links, taken


def _link(folder: int, name: str, target: str) -> None:
    # By way of a second name, so that a game that starts now sees the old link or the new one, never none.
    fresh = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=folder)
    os.symlink(target, fresh, dir_fd=folder)
    os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
