"""The directories of all servers of a host: find them, measure them, archive, delete and restore them."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import tarfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final

from left4me.core.files import atomic, room
from servers.gamehost.directory import UPPER, ServerDirectory

logger = logging.getLogger(__name__)

KEPT: Final = timedelta(days=7)

# The most bytes that are kept of one server.
MOST_KEPT: Final = 5 * 1024**3

_LARGE: Final = 64 * 1024**2
_STAMP: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Used:
    """What files take: bytes, and how many they are."""

    size: int
    files: int

    def since(self, before: Used | None) -> Used:
        return self if before is None else Used(self.size - before.size, self.files - before.files)


class Storage:
    """The directories of servers below `$LEFT4ME_ROOT`."""

    def __init__(self, root: Path) -> None:
        self._servers = root / "servers"
        self._deleted = root / "deleted"

    def ids(self) -> list[int]:
        """The servers that have a directory, whatever the database says."""
        return sorted(int(path.name) for path in self._servers.glob("*") if path.name.isdigit())

    def used(self, server_id: int) -> Used:
        """What the server has written."""
        return used(self.upper_of(server_id))

    def upper_of(self, server_id: int) -> Path:
        """The writable layer, without the twenty other paths of a directory, which whoever asks for many would pay."""
        return self._servers / str(server_id) / UPPER

    def of(self, server_id: int) -> ServerDirectory:
        return ServerDirectory(self._servers / str(server_id))

    def layers_in_use(self) -> set[Path]:
        """The layers of every server that runs now. They must be neither moved nor changed."""
        used: set[Path] = set()
        for path in self._servers.glob("*/spec.json"):
            directory = ServerDirectory(path.parent)
            if directory.is_held():
                # Not from the spec, which may already be that of the next start.
                used |= {Path(layer) for layer in directory.read_layers()}
        return used

    def delete(self, server_id: int, *, now: datetime) -> bool:
        """Archive the writable layer, then remove the directory. Returns False if there was none. Raises OSError.

        The caller makes sure that nothing runs. A call that was interrupted can be repeated.
        """
        directory = self.of(server_id)
        if not directory.path.exists():
            return False
        if directory.upper.is_dir():
            open_up(directory.upper)
            try:
                self._archive(server_id, directory.upper, now=now)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                # Whoever deletes a server on a full disk wants the room.
                logger.warning("the files of server %s are not kept: the disk is full", server_id)
        if directory.work.is_dir():
            open_up(directory.work)
        shutil.rmtree(directory.path)
        return True

    def _archive(self, server_id: int, upper: Path, *, now: datetime) -> None:
        self._deleted.mkdir(parents=True, exist_ok=True, mode=0o700)
        final = self._deleted / f"{server_id}-{now.strftime(_STAMP)}.tar.gz"
        part = final.with_suffix(".part")
        selection = _Selection(upper, most=min(MOST_KEPT, room.left(self._deleted)))
        try:
            with tarfile.open(part, "w:gz", compresslevel=1) as tar:
                tar.add(upper, arcname="upper", filter=selection)
            part.chmod(0o600)
            atomic.publish(part, final, durable=False)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        if selection.left_out:
            logger.warning("%s files of server %s are not kept: too large", selection.left_out, server_id)

    def restore(self, server_id: int) -> int | None:
        """Unpack the newest archive of a deleted server. Returns the number of its files, or None without an archive.

        A call that was interrupted can be repeated. Raises OSError, and tarfile.TarError for a damaged archive.
        """
        archives = sorted(self._deleted.glob(f"{server_id}-*.tar.gz"))
        if not archives:
            return None
        directory = self.of(server_id)
        directory.prepare()
        with tarfile.open(archives[-1], "r:gz") as tar:
            return sum(_unpack(tar, member, directory.upper) for member in tar)

    def purge_deleted(self, *, now: datetime) -> list[str]:
        """Remove archives that are older than `KEPT`, and those of interrupted deletes. Returns their names."""
        removed = []
        for path in self._deleted.glob("*-*.*"):
            # The time is in the name: after a restored backup of the disk all files have new times.
            stamp = path.name.partition("-")[2].partition(".")[0]
            with contextlib.suppress(ValueError):
                if now.replace(tzinfo=None) - datetime.strptime(stamp, _STAMP) > KEPT:
                    path.unlink()
                    removed.append(path.name)
        return removed


class _Selection:
    """Which files an archive of a deleted server holds: a hostile game can leave terabytes at no cost."""

    def __init__(self, top: Path, *, most: int) -> None:
        self._top = top
        self._left = most
        self.left_out = 0

    def __call__(self, info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not info.isreg():
            return info
        used = (self._top.parent / info.name).lstat().st_blocks * 512
        # A hole takes no room and is read byte by byte.
        is_mostly_holes = info.size > _LARGE and used * 2 < info.size
        if is_mostly_holes or info.size > self._left:
            self.left_out += 1
            return None
        self._left -= info.size
        return info


def used(path: Path) -> Used:
    """The bytes on the disk and the number of all files below `path`. Links are counted and never followed."""
    size = files = 0
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError:
            continue  # removed, or made unreadable, by the game
    return Used(size=size, files=files)


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, upper: Path) -> bool:
    """Write one member below `upper`; return whether it is a file.

    The game wrote what the archive holds. Links are left out, so no member can lead out of the directory.
    """
    top, *parts = PurePosixPath(member.name).parts
    if top != "upper" or ".." in parts or not (member.isdir() or member.isreg() or _is_whiteout(member)):
        return False
    path = upper.joinpath(*parts)
    if member.isdir():
        path.mkdir(exist_ok=True, mode=0o700)
    elif member.isreg():
        source = tar.extractfile(member)
        assert source is not None  # noqa: S101 -- regular files have content
        with source, path.open("wb") as file:
            shutil.copyfileobj(source, file)
        os.utime(path, (member.mtime, member.mtime))
    else:
        path.unlink(missing_ok=True)
        os.mknod(path, stat.S_IFCHR, 0)
    if parts and os.geteuid() == 0:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
    return member.isreg()


def _is_whiteout(member: tarfile.TarInfo) -> bool:
    """Whether it marks a deleted file of a lower layer, as overlayfs does."""
    return member.ischr() and (member.devmajor, member.devminor) == (0, 0)


def open_up(path: Path) -> None:
    """Make all files readable for the owner: the game may have changed modes, and overlayfs hides its own files."""
    for top, names, files in os.walk(path, topdown=True, followlinks=False):
        for name in (".", *names, *files):
            one = Path(top, name)
            mode = one.lstat().st_mode
            needed = 0o700 if stat.S_ISDIR(mode) else 0o400 if stat.S_ISREG(mode) else 0
            if mode & needed != needed:
                one.chmod(stat.S_IMODE(mode) | needed)
