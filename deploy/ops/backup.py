"""`left4mectl backup`: one file that holds what cannot be made again.

The database is copied first, as of one moment, and the files after it. So whatever a row of the copy names is in
the copy, unless its owner deleted it while the backup ran; files without a row do no harm. The other way round, an
upload that was finished meanwhile would have a row and no files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from deploy.ops import archive, environment, releases
from deploy.ops.database import copies
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from deploy.ops.progress import Progress, in_words
from left4me.core.files import atomic, room

FORMAT: Final = 1
KEEP: Final = 7
DATABASE: Final = "database/copy"
SETTINGS: Final = "settings"
# Directories of LEFT4ME_ROOT, each a part of the archive. The game and SteamCMD come from Steam.
TREES: Final = ("overlays", "servers", "deleted")
WORKSHOP: Final = "workshop_cache"

_NAME: Final = re.compile(r"left4me-\d{8}T\d{6}Z\.tar")
# Above what files hold: one header per file, the manifest, the ends of blocks.
_PER_FILE: Final = 2048


class BackupFault(Exception):
    """No backup was made; the message says why and what to do."""


@dataclass(frozen=True)
class Made:
    path: Path
    size: int
    skipped: archive.Skipped


def make(
    layout: Layout,
    *,
    to: Path | None,
    keep: int,
    with_workshop: bool,
    now: datetime,
    progress: Progress,
) -> Made:
    """Write a backup to `to` (a file or a directory; else the usual place) and keep the last `keep` in that directory.

    Raises BackupFault, DatabaseFault.
    """
    if services.WEB not in services.of_this_machine(layout):
        raise BackupFault(
            "This is a second host: the database is backed up where the web runs. Make the backup there."
        )
    target = _target(layout, to, now)
    trees = [*TREES, *([WORKSHOP] if with_workshop else [])]
    ours = copies.from_environment(environment.read(layout), data=layout.data)
    with _only_one(layout):
        _remove_unfinished(target.parent)
        progress.phase("measuring")
        files, size = _measure([layout.data / tree for tree in trees])
        _refuse_full_disk(target.parent, size + files * _PER_FILE + 2 * ours.size())
        part = target.with_name(f".{target.name}.part")
        try:
            made = _write(layout, ours, part, trees=trees, expected=size, now=now, progress=progress)
            atomic.publish(part, target, durable=True)
        finally:
            part.unlink(missing_ok=True)
        if to is None or to.is_dir():
            _forget_old(target.parent, keep=keep, progress=progress)
    return Made(target, target.stat().st_size, made)


def latest(layout: Layout) -> Path | None:
    """The newest whole backup in the usual place."""
    found = [path for path in layout.backups.glob("left4me-*.tar") if _NAME.fullmatch(path.name)]
    return max(found, key=lambda path: path.name, default=None)


def _write(
    layout: Layout,
    ours: copies.Database,
    part: Path,
    *,
    trees: list[str],
    expected: int,
    now: datetime,
    progress: Progress,
) -> archive.Skipped:
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w+b") as file:
            writer = archive.Writer(file, on_bytes=progress.add)
            progress.phase(f"database ({ours.kind})")
            with tempfile.TemporaryDirectory(prefix=".database-", dir=part.parent) as beside:
                copy = Path(beside, "copy")
                migrations = ours.migrations()
                ours.copy_to(copy)
                writer.add_file(copy, DATABASE)
            progress.phase("settings")
            for path in environment.files(layout):
                writer.add_file(path, f"{SETTINGS}/{path.relative_to(layout.settings)}")
            for tree in trees:
                progress.phase(tree, expected)
                writer.add_tree(layout.data / tree, tree, skip=_SKIP.get(tree, lambda _: False))
            progress.phase("writing to the disk")
            writer.finish(
                {
                    "format": FORMAT,
                    "release": releases.running(layout),
                    "created_at": now.isoformat(timespec="seconds"),
                    "machine": socket.gethostname(),
                    "database": {"kind": ours.kind, "migrations": migrations},
                }
            )
            file.flush()
            os.fsync(file.fileno())
            progress.end_phase()
            return writer.skipped
    except OSError as error:
        raise BackupFault(f"The backup could not be written: {error}.") from error


def _skip_in_overlays(path: str) -> bool:
    # Half-built trees, and half-written files in whole ones.
    return path.startswith((".building-", ".script-")) or path.rpartition("/")[2].startswith(".left4me-")


def _skip_in_servers(path: str) -> bool:
    below = path.split("/")[1:]
    # `work` and `merged` are the mount's; `run` is true of the processes of this boot, but for what was generated.
    return below[:1] in (["work"], ["merged"]) or (below[:1] == ["run"] and below[1:] not in ([], ["generated.json"]))


def _skip_in_workshop(path: str) -> bool:
    return path.endswith(".part")


_SKIP: Final = {"overlays": _skip_in_overlays, "servers": _skip_in_servers, WORKSHOP: _skip_in_workshop}


def _target(layout: Layout, to: Path | None, now: datetime) -> Path:
    if to is None:
        layout.backups.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory = layout.backups if to is None else to
    if to is None or to.is_dir():
        target = directory.absolute() / _name(now)
        # The second of two backups within one second takes the next second's name, and so still sorts after it.
        while target.exists():
            now += timedelta(seconds=1)
            target = target.with_name(_name(now))
    else:
        target = to.absolute()
    if not target.parent.is_dir():
        raise BackupFault(f"{target.parent} is no directory. Make it, or name another place.")
    if target.exists():
        raise BackupFault(f"{target} exists already. Name another file, or remove it.")
    return target


def _name(now: datetime) -> str:
    return f"left4me-{now:%Y%m%dT%H%M%SZ}.tar"


@contextlib.contextmanager
def _only_one(layout: Layout) -> Iterator[None]:
    layout.backups.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (layout.backups / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFault("Another backup is being made. Wait for it to end.") from None
        yield


def _remove_unfinished(directory: Path) -> None:
    """What a backup left whose power was cut."""
    for path in directory.glob(".left4me-*.tar.part"):
        path.unlink()
    for path in directory.glob(".database-*"):
        shutil.rmtree(path, ignore_errors=True)


def _measure(trees: list[Path]) -> tuple[int, int]:
    """About how many files there are, and how many bytes; nothing of it need be exact, since it changes anyway."""
    files = size = 0
    waiting = [str(tree) for tree in trees]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                files += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
    return files, size


def _refuse_full_disk(directory: Path, wanted: int) -> None:
    if wanted > room.left(directory):
        raise BackupFault(
            f"The disk is too full: the backup takes about {in_words(wanted)}, and {in_words(room.KEEP_FREE)} must "
            f"stay free, but {directory} has {in_words(room.free(directory))}. Free some space, keep fewer backups "
            "(--keep), or write it to another disk (--to)."
        )


def _forget_old(directory: Path, *, keep: int, progress: Progress) -> None:
    ours = sorted(path for path in directory.glob("left4me-*.tar") if _NAME.fullmatch(path.name))
    for path in ours[: -max(1, keep)]:
        path.unlink()
        progress.say(f"removed the older backup {path.name}")
