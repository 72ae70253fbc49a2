"""What a build records about an overlay's files, and the programs of the game among them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from left4me.core.files.tree import BadPath, Node, Parts, Tree
from overlays import match_modes
from overlays.game_files import GAME, is_program
from overlays.models import Overlay, OverlayContents
from overlays.replication.store import is_needed
from workshop import cache, inspection

_BINARIES: Final = "bin"
_MOST_PATHS: Final = 200_000
_READ: Final = 1024 * 1024


@dataclass
class Listing:
    """Collects the entries of a walk through an overlay."""

    paths: list[str] = field(default_factory=list)
    programs: list[Parts] = field(default_factory=list)

    def take(self, where: Parts, node: Node) -> None:
        if node.is_folder or len(self.paths) >= _MOST_PATHS:
            return
        self.paths.append("/".join(where))
        if is_program(where) or (node.is_link and _is_binaries(where)):
            self.programs.append(where)


def record(overlay: Overlay, listing: Listing, *, tree: Tree) -> None:
    """Store what a walk found: pages compare overlays by it."""
    replaced = _game_paths({path.lower() for path in listing.paths})
    OverlayContents.objects.update_or_create(
        overlay=overlay,
        defaults={
            "packed_paths": inspection.pack_paths(listing.paths),
            "packed_game_paths": inspection.pack_paths(replaced),
        },
    )
    match_modes.record(overlay, listing.paths, tree=tree)
    record_programs(overlay, _digests(tree, listing.programs))


def record_programs(overlay: Overlay, programs: dict[str, str]) -> None:
    if overlay.programs != programs:
        overlay.programs = programs
        overlay.save(update_fields=["programs"])


def find_programs(root: Path) -> dict[str, str]:
    """The programs of the game in an overlay's directory, by path, with a hash of each.

    Only the places are read from which the game is started: a start must not wait for a walk through all files.
    """
    found: list[Parts] = []
    with Tree(root) as tree:
        for node in tree.list(()):
            where = (node.name,)
            if not node.is_folder:
                found += [where] if is_program(where) or (node.is_link and _is_binaries(where)) else []
            elif node.name.lower() == _BINARIES:
                found += [path for path, _node in tree.walk(where) if is_program(path)]
            else:
                found += _below_binaries(tree, where)
        return _digests(tree, found)


def refused_programs(overlay: Overlay, *, root: Path) -> list[str]:
    """The programs of the game in a directory of this overlay that no admin has allowed as they are now."""
    programs = find_programs(root)
    # Another host reads the rows of overlays only; its copy has what the web's host recorded.
    if not is_needed():
        record_programs(overlay, programs)
    return sorted(path for path, digest in programs.items() if overlay.allowed_programs.get(path) != digest)


def allow_found(overlay: Overlay, *, root: Path) -> None:
    """Allow the programs that are there now. The caller has checked that an admin wants it."""
    programs = find_programs(root)
    overlay.programs = overlay.allowed_programs = programs
    overlay.save(update_fields=["programs", "allowed_programs"])


def _below_binaries(tree: Tree, folder: Parts) -> list[Parts]:
    """The programs in the `bin` of a folder such as `left4dead2`, or that `bin` itself if it is a link."""
    found: list[Parts] = []
    for node in tree.list(folder):
        if node.name.lower() != _BINARIES or folder == ("addons",):
            continue
        where = (*folder, node.name)
        if node.is_link:
            found.append(where)
        elif node.is_folder:
            found += [path for path, _node in tree.walk(where) if is_program(path)]
    return found


def _is_binaries(where: Parts) -> bool:
    """Whether a link at this path would take the place of a folder with programs."""
    return where[-1].lower() == _BINARIES and len(where) <= 2 and where[0].lower() in (_BINARIES, GAME)


def _digests(tree: Tree, programs: Iterable[Parts]) -> dict[str, str]:
    digests = {}
    for where in sorted(programs):
        try:
            with tree.open(where) as stream:
                digests["/".join(where)] = _digest(stream)
        except BadPath:
            # A link: what it leads to counts.
            target = os.fsencode(tree.link_target(where))
            digests["/".join(where)] = hashlib.sha256(b"link to " + target).hexdigest()
    return digests


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_READ):
        digest.update(chunk)
    return digest.hexdigest()


def _game_paths(folded: set[str]) -> list[str]:
    """The files of the installed game at these paths, but for letter case."""
    game = cache.game_directory()
    found = []
    for folder, _folders, files in os.walk(game):
        below = os.path.relpath(folder, game)
        prefix = "" if below == "." else f"{below}/"
        found += [path for name in files if (path := prefix + name).lower() in folded]
    return sorted(found)
