"""Files, links and directories that appear whole or not at all: written under a temporary name, then renamed.

Readers see the old content or the new one, also when the writing process is killed. With `durable` this holds for a
power cut too, and what was written is on the disk before the function returns; without it, a file that was written
in the seconds before a power cut may be empty or old afterwards.

Standard library only. Names are paths; with `at`, the handle of an open directory, they are names in that directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

# What begins like this is unfinished. The name does not grow with that of the file, which may be as long as allowed.
TEMPORARY: Final = ".left4me-"

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_EXCHANGE: Final = 2
_AT_FDCWD: Final = -100


def write(path: Path, content: str | bytes, *, mode: int, durable: bool, owner: tuple[int, int] | None = None) -> None:
    """Put a file with this content, mode and owner (user and group id) at `path`. Raises OSError."""
    with replacing(path, mode=mode, durable=durable, owner=owner) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(
    path: Path, *, mode: int, durable: bool, owner: tuple[int, int] | None = None, at: int | None = None
) -> Iterator[BinaryIO]:
    """A stream whose content takes the place of `path` when the block ends; after an exception `path` is as before.

    Until then only the present user can read it: content may be secret, and `mode` and `owner` are set at the end.
    """
    fresh = _temporary(path)
    fd = os.open(fresh, _NEW_FILE, 0o600, dir_fd=at)
    try:
        with os.fdopen(fd, "wb") as stream:
            yield stream
            stream.flush()
            if owner is not None:
                os.fchown(stream.fileno(), *owner)
            os.fchmod(stream.fileno(), mode)
            if durable:
                os.fsync(stream.fileno())
        os.replace(fresh, path, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=at)
        raise
    if durable:
        _sync_folder(path, at)


def link(path: Path, target: str | Path, *, durable: bool, at: int | None = None) -> None:
    """Make `path` a symbolic link to `target`, in place of what is there unless that is a directory."""
    fresh = _temporary(path)
    os.symlink(target, fresh, dir_fd=at)
    try:
        os.replace(fresh, path, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:
        os.unlink(fresh, dir_fd=at)
        raise
    if durable:
        _sync_folder(path, at)


def publish(fresh: Path, path: Path, *, durable: bool, at: int | None = None) -> None:
    """Give a finished file or directory its name, which may be in the directory `at`; same file system only.

    With `durable`, its content must be on the disk already (`sync`, `sync_file_system`).
    """
    os.replace(fresh, path, dst_dir_fd=at)
    if durable:
        _sync_folder(path, at)


def swap(fresh: Path, path: Path, *, previous: Path) -> None:
    """Put the directory `fresh` at `path` in one step; what was there moves to `previous`, which is replaced."""
    shutil.rmtree(previous, ignore_errors=True)
    if not path.exists():
        fresh.rename(path)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(fresh), _AT_FDCWD, os.fsencode(path), _EXCHANGE) != 0:
        raise _last_error(path)
    fresh.rename(previous)


def sync(path: Path) -> None:
    """Have the kernel write a file, or the names in a directory, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(path: Path) -> None:
    """Write all of the file system that holds `path` to the disk: one call for a tree of many files."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
            raise _last_error(path)
    finally:
        os.close(handle)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{secrets.token_hex()}")


def _sync_folder(path: Path, at: int | None) -> None:
    if at is None:
        sync(path.parent)
    else:
        os.fsync(at)


def _last_error(path: Path) -> OSError:
    error = ctypes.get_errno()
    return OSError(error, os.strerror(error), str(path))
