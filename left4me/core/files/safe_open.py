"""Opening files below a directory whose content is untrusted: no link is followed, nothing outside is reached."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a FIFO would hold the reader for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(root: Path, parts: Sequence[str]) -> BinaryIO:
    """A regular file for reading; `root` itself is trusted. Raises OSError for anything else on the way."""
    with ExitStack() as opened:
        handle = _open_folder(root, parts[:-1], opened)
        fd = os.open(_plain(parts[-1]), _FILE, dir_fd=handle)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(f"{'/'.join(parts)} is no file")
    return os.fdopen(fd, "rb")


def list_files(root: Path, parts: Sequence[str]) -> dict[str, os.stat_result]:
    """The regular files of a directory by name; empty when it is not there."""
    with ExitStack() as opened:
        try:
            handle = _open_folder(root, parts, opened)
            with os.scandir(handle) as entries:
                found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        except OSError:
            return {}
    return {name: status for name, status in found.items() if stat.S_ISREG(status.st_mode)}


def _open_folder(root: Path, parts: Sequence[str], opened: ExitStack) -> int:
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, handle)
    for part in parts:
        handle = os.open(_plain(part), _FOLDER, dir_fd=handle)
        opened.callback(os.close, handle)
    return handle


def _plain(part: str) -> str:
    if part in {"", ".", ".."} or "/" in part or "\0" in part:
        raise FileNotFoundError(f"{part!r} is no name of a file")
    return part
