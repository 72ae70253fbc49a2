"""Access to an overlay's directory, whose content is untrusted, by paths that users type.

Every access goes through `walk`: paths are opened component by component and symbolic links are never followed, so
nothing outside of the directory is read, written or deleted. Faults are `BadPath`, with a message for the user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.utils.translation import gettext as _

from left4me.core.files import atomic, walk
from left4me.core.files.atomic import TEMPORARY
from left4me.core.natural_order import natural_key

DEEPEST = 32
_LONGEST_NAME = 240
_LONGEST_PATH = 1000

Parts = tuple[str, ...]


class BadPath(Exception):
    """The path cannot be used. The message can be shown to the user who typed it."""


@dataclass(frozen=True)
class Node:
    """One entry of a folder."""

    name: str
    is_folder: bool
    is_link: bool
    size: int
    modified: float


def parts(path: str) -> Parts:
    """Split a relative path into its components. Raises BadPath for anything that could lead out of the tree."""
    found = tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))
    if len(found) > DEEPEST or len(path) > _LONGEST_PATH:
        raise BadPath(_("This path is too long or has too many folders. Shorten it."))
    for part in found:
        if part == ".." or not part.isprintable() or part.startswith(TEMPORARY):
            raise BadPath(_("“%(name)s” is not a valid file name. Choose another name.") % {"name": part[:80]})
        # What cannot be encoded is not printable either.
        if len(part.encode()) > _LONGEST_NAME:
            raise BadPath(_("The name “%(name)s…” is too long. Shorten it.") % {"name": part[:80]})
    if path[:1] in ("/", "\\") or (found and len(found[0]) == 2 and found[0][1] == ":"):
        raise BadPath(
            _("The path must be inside the overlay. Use a path without a leading slash, such as cfg/server.cfg.")
        )
    return found


class Tree:
    """The directory of an overlay, which is created when missing. Use as a context manager."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = walk.open_folder(root)

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    @contextlib.contextmanager
    def folder(self, where: Parts, *, make: bool = False) -> Iterator[int]:
        """A handle on a folder. Raises BadPath when a component is missing, a file or a link."""
        with contextlib.ExitStack() as opened:
            try:
                handle = opened.enter_context(walk.folder(self._root, where, make=0o755 if make else None))
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                raise BadPath(_("The folder “%(name)s” does not exist.") % {"name": "/".join(where)}) from None
            yield handle

    def list(self, where: Parts) -> list[Node]:
        """A folder's entries: folders first, then by name."""
        with self.folder(where) as handle, os.scandir(handle) as entries:
            nodes = [_node(entry) for entry in entries if not entry.name.startswith(TEMPORARY)]
        return sorted(nodes, key=lambda node: (not node.is_folder, natural_key(node.name)))

    def open(self, where: Parts) -> BinaryIO:
        """A regular file, for reading. Raises BadPath for anything else."""
        with self.folder(where[:-1]) as handle:
            try:
                return walk.open_file(where[-1], at=handle)
            except walk.NotRegular:
                raise BadPath(_("“%(name)s” is not a regular file.") % {"name": "/".join(where)}) from None
            except (OSError, IndexError):
                raise BadPath(_("The file “%(name)s” does not exist.") % {"name": "/".join(where)}) from None

    def link_target(self, where: Parts) -> str:
        """What a symbolic link says, without following it; empty if there is no link."""
        with self.folder(where[:-1]) as handle:
            try:
                return os.readlink(where[-1], dir_fd=handle)
            except OSError:
                return ""

    @contextlib.contextmanager
    def writing(self, where: Parts, *, mode: int = 0o644) -> Iterator[BinaryIO]:
        """A new file that takes its name, in place of an older one, only once it is complete and on the disk."""
        if not where:
            raise BadPath(_("Enter a file name."))
        with self.folder(where[:-1], make=True) as handle:
            _refuse_folder(handle, where[-1])
            # Not `durable`, which would sync the folder for each of many files; their content is on the disk first.
            with atomic.replacing(Path(where[-1]), mode=mode, durable=False, at=handle) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())

    def take(self, source: Path, where: Parts, *, mode: int = 0o644) -> None:
        """Move a finished file of ours, on the same file system, to its place in the tree."""
        with self.folder(where[:-1], make=True) as handle:
            _refuse_folder(handle, where[-1])
            source.chmod(mode)
            atomic.publish(source, Path(where[-1]), durable=False, at=handle)

    def share(self, source: Path, where: Parts, *, mode: int) -> None:
        """Add a file with the content of `source`: the same file under a second name where that is possible."""
        with self.folder(where[:-1], make=True) as handle:
            if source.stat().st_mode & 0o777 == mode:
                with contextlib.suppress(OSError):
                    os.link(source, where[-1], dst_dir_fd=handle, follow_symlinks=False)
                    return
            # Another mode is wanted, or the file has as many names as the file system allows.
            with source.open("rb") as stream, walk.create_file(where[-1], mode, at=handle) as target:
                shutil.copyfileobj(stream, target)
                os.fchmod(target.fileno(), mode)

    def add_link(self, where: Parts, target: str) -> None:
        """Add a symbolic link, which nothing here ever follows. Raises FileExistsError when the name is taken."""
        with self.folder(where[:-1], make=True) as handle:
            os.symlink(target, where[-1], dir_fd=handle)

    def make_folder(self, where: Parts) -> None:
        with self.folder(where, make=True):
            return

    def rename(self, old: Parts, new: Parts, *, into: Tree | None = None) -> None:
        """Rename or move an entry, also into another tree of the same file system; a link is moved, never followed.

        Raises BadPath when the new path is taken or lies inside the old one.
        """
        if not old or not new or (into is None and new[: len(old)] == old):
            raise BadPath(_("A folder can't be moved into itself. Choose another destination."))
        with self.folder(old[:-1]) as source, (into or self).folder(new[:-1], make=True) as target:
            if walk.status(new[-1], at=target) is not None:
                raise BadPath(_("“%(name)s” already exists. Choose another name.") % {"name": "/".join(new)})
            try:
                os.rename(old[-1], new[-1], src_dir_fd=source, dst_dir_fd=target)
            except FileNotFoundError:
                raise BadPath(_("“%(name)s” no longer exists. Reload the page.") % {"name": "/".join(old)}) from None

    def node(self, where: Parts) -> Node:
        """One entry. Raises BadPath when there is none."""
        with self.folder(where[:-1]) as handle, os.scandir(handle) as entries:
            for entry in entries:
                if where[-1:] == (entry.name,):
                    return _node(entry)
        raise BadPath(_("“%(name)s” no longer exists. Reload the page.") % {"name": "/".join(where)})

    def delete(self, where: Parts) -> None:
        """Remove a file, a link or a whole folder; links inside are removed, never followed."""
        if not where:
            raise BadPath(_("The overlay's top folder can't be removed."))
        with self.folder(where[:-1]) as handle:
            try:
                walk.delete(where[-1], at=handle, depth=len(where))
            except walk.TooDeep:
                raise BadPath(
                    _("This folder has too many levels to be removed at once. Remove its subfolders first.")
                ) from None

    def measure(self, where: Parts = ()) -> tuple[int, int]:
        """The number of files in the tree, or below a folder of it, and their size in bytes."""
        count = size = 0
        for _where, node in self.walk(where):
            count += 1
            size += node.size
        return count, size

    def walk(self, where: Parts = ()) -> Iterator[tuple[Parts, Node]]:
        """Yield every file and link below a folder with its path."""
        for node in self.list(where):
            if node.is_folder and len(where) < DEEPEST:
                yield from self.walk((*where, node.name))
            elif not node.is_folder:
                yield (*where, node.name), node


def _node(entry: os.DirEntry[str]) -> Node:
    found = entry.stat(follow_symlinks=False)
    is_folder = stat.S_ISDIR(found.st_mode)
    is_link = stat.S_ISLNK(found.st_mode)
    return Node(entry.name, is_folder, is_link, 0 if is_folder else found.st_size, found.st_mtime)


def _refuse_folder(handle: int, name: str) -> None:
    status = walk.status(name, at=handle)
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise BadPath(_("“%(name)s” is a folder.") % {"name": name})
