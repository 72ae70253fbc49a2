"""Access below a directory whose content is untrusted, by handles: no symbolic link is followed on the way.

Every path is opened component by component, each relative to the open directory above it, so that nothing outside
of the tree is reached, whatever is put into it and whenever. A handle is an open directory's file descriptor.
Standard library only: programs without Django use this too. `tree.Tree` is the same for paths that users type.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Without O_NONBLOCK a FIFO would block the reader until somebody writes to it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_DEEPEST_DELETE: Final = 128

Entry = tuple[str, os.stat_result | None, str]


class NotRegular(OSError):
    """There is something of this name, but no regular file."""


class TooDeep(OSError):
    """A tree is nested deeper than anything that left4me makes."""


@contextlib.contextmanager
def folder(root: Path | int, parts: Sequence[str], *, make: int | None = None) -> Iterator[int]:
    """A handle on the directory `parts` below `root`; raises OSError when a component is missing, a file or a link.

    `root` is trusted: a path, or a handle, which stays open. `make` is the mode of directories that are created on
    the way.
    """
    handle = os.dup(root) if isinstance(root, int) else os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            if make is not None:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(_component(part), make, dir_fd=handle)
            inner = open_folder(part, at=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def open_folder(name: str | Path, *, at: int | None = None) -> int:
    """A handle on one directory, which the caller closes; without `at`, `name` is a path that ends in no link."""
    return os.open(name if at is None else _component(str(name)), _FOLDER, dir_fd=at)


def open_file(name: str | Path, *, at: int | None = None) -> BinaryIO:
    """A regular file for reading. Raises OSError for anything else."""
    fd = os.open(name if at is None else _component(str(name)), _FILE, dir_fd=at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotRegular(f"{name} is not a regular file")
    return os.fdopen(fd, "rb")


def open_below(root: Path, parts: Sequence[str]) -> BinaryIO:
    """The regular file at `parts` below `root`, for reading. Raises OSError for anything else on the way."""
    with folder(root, parts[:-1]) as handle:
        return open_file(parts[-1], at=handle)


def create_file(name: str, mode: int, *, at: int) -> BinaryIO:
    """A new file for writing. Raises FileExistsError when the name is taken, by a link too."""
    return os.fdopen(os.open(_component(name), _NEW_FILE, mode, dir_fd=at), "wb")


def scan(handle: int) -> Iterator[tuple[str, os.stat_result]]:
    """All that is in one directory, by name and as the entries themselves are; what vanishes meanwhile is left out."""
    with os.scandir(handle) as listed:
        for entry in listed:
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False)


def list_files(root: Path, parts: Sequence[str]) -> dict[str, os.stat_result]:
    """The regular files of one directory by name; empty when the directory cannot be reached."""
    try:
        with folder(root, parts) as handle:
            return {name: status for name, status in scan(handle) if stat.S_ISREG(status.st_mode)}
    except OSError:
        return {}


def entries(root: Path, *, skip_prefix: str) -> Iterator[Entry]:
    """All that is below `root`, sorted within each directory: path, status and, for a link, its target.

    The status is None for what vanished between listing and looking at it. Names that start with `skip_prefix` are
    left out, with all that is below them.
    """
    for where, folders, files, handle in os.fwalk(root, follow_symlinks=False):
        here = PurePosixPath(where).relative_to(root)
        folders[:] = sorted(name for name in folders if not name.startswith(skip_prefix))
        for name in (*folders, *sorted(name for name in files if not name.startswith(skip_prefix))):
            try:
                status = os.stat(name, dir_fd=handle, follow_symlinks=False)
                target = os.readlink(name, dir_fd=handle) if stat.S_ISLNK(status.st_mode) else ""
            except OSError:
                yield str(here / name), None, ""
            else:
                yield str(here / name), status, target


def links(handle: int) -> Iterator[tuple[str, str | None]]:
    """The names in one directory, each with the target of the link that it is, or None."""
    with os.scandir(handle) as listed:
        for entry in listed:
            yield entry.name, os.readlink(entry.name, dir_fd=handle) if entry.is_symlink() else None


def status(name: str, *, at: int) -> os.stat_result | None:
    """The status of the entry itself, also where it is a link; None when there is none."""
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None


def unlink(name: str, *, at: int) -> None:
    """Remove a file or a link. Raises OSError for a directory, and when there is nothing."""
    os.unlink(_component(name), dir_fd=at)


def delete(name: str, *, at: int, depth: int = 0) -> None:
    """Remove an entry with all that is below it; links are removed, never followed. Raises TooDeep and OSError."""
    try:
        os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if depth > _DEEPEST_DELETE:
            raise TooDeep(name) from None
        with folder(at, (name,)) as inner:
            for below in os.listdir(inner):  # noqa: PTH208 -- a handle has no path
                delete(below, at=inner, depth=depth + 1)
        os.rmdir(name, dir_fd=at)


def move(name: str, *, at: int, to: int, new_name: str | None = None) -> None:
    """Move an entry into another directory of the file system, over a file that is there. Raises OSError."""
    os.rename(_component(name), _component(new_name or name), src_dir_fd=at, dst_dir_fd=to)


def is_deletion_mark(status: os.stat_result) -> bool:
    """Whether it is what `mark_deleted` makes."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def mark_deleted(name: str, *, at: int) -> None:
    """Make the mark by which overlayfs hides a file of a lower layer."""
    os.mknod(_component(name), stat.S_IFCHR, 0, dir_fd=at)


def target(name: str, *, at: int) -> str:
    """Where a symbolic link leads. Raises OSError for anything else."""
    return os.readlink(name, dir_fd=at)


def is_readable(name: str, *, at: int) -> bool:
    """Whether this process may read a file; of a link, its target counts."""
    return os.access(name, os.R_OK, dir_fd=at, effective_ids=True)


def add_mode(name: str, bits: int, *, at: int) -> None:
    """Give a file or directory these bits, where it lacks some. It must be no link."""
    mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
    if mode & bits != bits:
        os.chmod(name, stat.S_IMODE(mode) | bits, dir_fd=at)


def give(name: str, owner: tuple[int, int], *, at: int) -> None:
    """Change the owner of the entry itself, by user and group id."""
    os.chown(_component(name), *owner, dir_fd=at, follow_symlinks=False)


def make_link(name: str, target: str, *, at: int) -> None:
    """Make a symbolic link. Raises FileExistsError when the name is taken."""
    os.symlink(target, _component(name), dir_fd=at)


def make_hard_link(first: str, *, at: int, name: str, to: int) -> None:
    """Give a regular file in `at` another name in `to`. Raises NotRegular, FileExistsError and OSError."""
    found = status(_component(first), at=at)
    if found is None or not stat.S_ISREG(found.st_mode):
        raise NotRegular(f"{first} is not a regular file")
    os.link(first, _component(name), src_dir_fd=at, dst_dir_fd=to, follow_symlinks=False)


def leads_out(where: Sequence[str], target: str) -> bool:
    """Whether a link at `where`, counted from the root of its tree, points anywhere but into the tree."""
    depth = len(where) - 1
    if target.startswith("/"):
        return True
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _component(name: str) -> str:
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise FileNotFoundError(f"{name!r} is not a file name")
    return name
