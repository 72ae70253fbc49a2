"""What both runtimes do with the directories of servers: find them, measure them, delete and keep them."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from left4me.core.files import atomic
from servers.gamehost.directory import ServerDirectory

KEPT: Final = timedelta(days=7)

_STAMP: Final = "%Y%m%dT%H%M%SZ"


class Storage:
    """The directories below `$LEFT4ME_ROOT` that belong to servers."""

    def __init__(self, root: Path) -> None:
        self._servers = root / "servers"
        self._deleted = root / "deleted"

    def of(self, server_id: int) -> ServerDirectory:
        return ServerDirectory(self._servers / str(server_id))

    def layers_in_use(self) -> set[Path]:
        """The layers of every server that runs now; they must stay where they are, as they are."""
        used: set[Path] = set()
        for path in self._servers.glob("*/spec.json"):
            directory = ServerDirectory(path.parent)
            if directory.is_held():
                # A spec written for the next start does not tell what the present one mounted.
                used |= {Path(layer) for layer in directory.read_layers()}
        return used

    def delete(self, server_id: int, *, now: datetime) -> bool:
        """Keep the writable layer as a tar, remove the directory; False if there was none. Raises OSError.

        The caller has made sure that nothing runs. Can be repeated after it was cut off half-way.
        """
        directory = self.of(server_id)
        if not directory.path.exists():
            return False
        self._deleted.mkdir(parents=True, exist_ok=True, mode=0o700)
        if directory.upper.is_dir():
            _open_up(directory.upper)
            final = self._deleted / f"{server_id}-{now.strftime(_STAMP)}.tar.gz"
            part = final.with_suffix(".part")
            with tarfile.open(part, "w:gz", compresslevel=1) as tar:
                tar.add(directory.upper, arcname="upper")
            part.chmod(0o600)
            atomic.publish(part, final, durable=False)
        if directory.work.is_dir():
            _open_up(directory.work)
        shutil.rmtree(directory.path)
        return True

    def purge_deleted(self, *, now: datetime) -> list[str]:
        """Remove tars that were kept long enough, and what an interrupted delete left; returns their names."""
        gone = []
        for path in self._deleted.glob("*-*.*"):
            # The name says when: a restored backup of the disk has new file times.
            stamp = path.name.partition("-")[2].partition(".")[0]
            with contextlib.suppress(ValueError):
                if now.replace(tzinfo=None) - datetime.strptime(stamp, _STAMP) > KEPT:
                    path.unlink()
                    gone.append(path.name)
        return gone


def disk_bytes(path: Path) -> int:
    """What the files below take on the disk; links are counted, never followed."""
    total = 0
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError:
            continue  # removed or closed by the game meanwhile
    return total


def _open_up(path: Path) -> None:
    """Let the owner read everything: the game may have closed what it wrote, and overlayfs closes its own."""
    for top, names, files in os.walk(path, topdown=True, followlinks=False):
        for name in (".", *names, *files):
            one = Path(top, name)
            mode = one.lstat().st_mode
            wanted = 0o700 if stat.S_ISDIR(mode) else 0o400 if stat.S_ISREG(mode) else 0
            if mode & wanted != wanted:
                one.chmod(stat.S_IMODE(mode) | wanted)
