"""An overlay's directory, used as if its content were out to get us.

Every path is walked part by part from a handle on the root, and no part may be a link: whatever somebody puts into
the tree, and whenever, nothing outside of it is read, written or deleted.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.utils.translation import gettext as _

DEEPEST = 32
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_NAME = 240
_LONGEST_PATH = 1000
TEMPORARY = ".left4me-"

Parts = tuple[str, ...]


class BadPath(Exception):
    """The path cannot be used; the message is fit for the person who gave it."""


@dataclass(frozen=True)
class Node:
    """One entry of a folder."""

    name: str
    is_folder: bool
    is_link: bool
    size: int
    modified: float


def parts(path: str) -> Parts:
    """The parts of a relative path. Raises BadPath for what could mean something else than a place in the tree."""
    found = tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))
    if len(found) > DEEPEST or len(path) > _LONGEST_PATH:
        raise BadPath(_("This path is too long or too deep."))
    for part in found:
        if part == ".." or not part.isprintable() or part.startswith(TEMPORARY):
            raise BadPath(_("“%(name)s” cannot be used as a name.") % {"name": part[:80]})
        try:
            if len(part.encode()) > _LONGEST_NAME:
                raise BadPath(_("The name “%(name)s…” is too long.") % {"name": part[:80]})
        except UnicodeEncodeError:
            raise BadPath(_("A name in this path is not valid text.")) from None
    if path[:1] in ("/", "\\") or (found and len(found[0]) == 2 and found[0][1] == ":"):
        raise BadPath(_("Only paths inside the overlay can be used."))
    return found


class Tree:
    """A handle on the root of an overlay, which is made when missing. Use as a context manager."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = os.open(root, _FOLDER)

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    @contextlib.contextmanager
    def folder(self, where: Parts, *, make: bool = False) -> Iterator[int]:
        """A handle on a folder. Raises BadPath when a part of the way is missing, a file, or a link."""
        handle = os.dup(self._root)
        try:
            for part in where:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=handle)
                try:
                    inner = os.open(part, _FOLDER, dir_fd=handle)
                except OSError:
                    raise BadPath(_("There is no folder “%(name)s”.") % {"name": "/".join(where)}) from None
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def list(self, where: Parts) -> list[Node]:
        """A folder's entries: folders first, then by name."""
        with self.folder(where) as handle, os.scandir(handle) as entries:
            nodes = [_node(entry) for entry in entries if not entry.name.startswith(TEMPORARY)]
        return sorted(nodes, key=lambda node: (not node.is_folder, node.name.casefold()))

    def open(self, where: Parts) -> BinaryIO:
        """A plain file, for reading. Raises BadPath for anything else."""
        with self.folder(where[:-1]) as handle:
            try:
                # Without O_NONBLOCK a FIFO would hold the reader for ever.
                fd = os.open(where[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
            except (OSError, IndexError):
                raise BadPath(_("There is no file “%(name)s”.") % {"name": "/".join(where)}) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise BadPath(_("“%(name)s” is not a plain file.") % {"name": "/".join(where)})
        return os.fdopen(fd, "rb")

    @contextlib.contextmanager
    def writing(self, where: Parts) -> Iterator[BinaryIO]:
        """A new file that takes its name, in place of an older one, only once it is complete and on the disk."""
        if not where:
            raise BadPath(_("A file needs a name."))
        with self.folder(where[:-1], make=True) as handle:
            name = where[-1]
            _refuse_folder(handle, name)
            fresh = f"{TEMPORARY}{secrets.token_hex(8)}"
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=handle)
            try:
                with os.fdopen(fd, "wb") as stream:
                    yield stream
                    stream.flush()
                    os.fchmod(stream.fileno(), 0o644)
                    os.fsync(stream.fileno())
                os.replace(fresh, name, src_dir_fd=handle, dst_dir_fd=handle)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(fresh, dir_fd=handle)
                raise

    def take(self, source: Path, where: Parts) -> None:
        """Move a finished file of ours, on the same file system, to its place in the tree."""
        with self.folder(where[:-1], make=True) as handle:
            _refuse_folder(handle, where[-1])
            source.chmod(0o644)
            os.replace(source, where[-1], dst_dir_fd=handle)

    def make_folder(self, where: Parts) -> None:
        with self.folder(where, make=True):
            return

    def rename(self, old: Parts, new: Parts) -> None:
        """Give an entry a new name or place. Raises BadPath when the new name is taken or lies inside the old."""
        if not old or not new or new[: len(old)] == old:
            raise BadPath(_("It cannot be moved there."))
        with self.folder(old[:-1]) as source, self.folder(new[:-1], make=True) as target:
            if _exists(target, new[-1]):
                raise BadPath(_("“%(name)s” exists already.") % {"name": "/".join(new)})
            try:
                os.rename(old[-1], new[-1], src_dir_fd=source, dst_dir_fd=target)
            except FileNotFoundError:
                raise BadPath(_("“%(name)s” is gone.") % {"name": "/".join(old)}) from None

    def delete(self, where: Parts) -> None:
        """Remove a file, a link or a whole folder; links inside are removed, never followed."""
        if not where:
            raise BadPath(_("The overlay's own folder stays."))
        with self.folder(where[:-1]) as handle:
            _delete(handle, where[-1], depth=len(where))

    def measure(self) -> tuple[int, int]:
        """Number and bytes of all files in the tree."""
        count = size = 0
        for _where, node in self.walk():
            count += 1
            size += node.size
        return count, size

    def walk(self, where: Parts = ()) -> Iterator[tuple[Parts, Node]]:
        """Every file and link below a folder with its path."""
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


def _exists(handle: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _refuse_folder(handle: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
            raise BadPath(_("“%(name)s” is a folder.") % {"name": name})


def _delete(handle: int, name: str, *, depth: int) -> None:
    try:
        os.unlink(name, dir_fd=handle)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if depth > 4 * DEEPEST:
            raise BadPath(_("This folder is too deep to be removed.")) from None
        inner = os.open(name, _FOLDER, dir_fd=handle)
        try:
            with os.scandir(inner) as entries:
                names = [entry.name for entry in entries]
            for one in names:
                _delete(inner, one, depth=depth + 1)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=handle)
