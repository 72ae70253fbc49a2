"""`left4mectl backup`: writes everything that cannot be recreated to one file, while the application runs.

The database is copied first, as of one moment, and the files after it. So every file that a row of the copy names is
in the backup, unless its owner deleted it while the backup ran. Files without a row do no harm. In the other order, an
upload that ended during the backup would have a row and no files.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from deploy.language import gettext as _
from deploy.ops import archive, environment, plan, releases
from deploy.ops.database import copies
from deploy.ops.layout import Layout, Role
from deploy.ops.machine import services
from deploy.ops.progress import Progress, readable_size
from left4me.core import machine_backups
from left4me.core.files import atomic, room

FORMAT: Final = 1
KEEP: Final = 7
DATABASE: Final = "database/copy"
SETTINGS: Final = "settings"
# Directories of LEFT4ME_ROOT, each a part of the archive. The game and SteamCMD are downloaded again.
TREES: Final = ("overlays", "servers", "deleted")
WORKSHOP: Final = "workshop_cache"
COPIES: Final = "host_copies"

# Who started a backup. Each keeps its own newest ones, so that those by hand do not displace the nightly ones.
TIMER: Final = "timer"
HAND: Final = "hand"

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"left4me-\d{8}T\d{6}Z\.tar")
# The archive's overhead for each file: headers, and padding to whole blocks.
_PER_FILE: Final = 2048


class BackupFault(Exception):
    """No backup was made; the message contains the reason and the cure."""


@dataclass(frozen=True)
class Made:
    """A finished backup, and the files that were left out of it."""

    path: Path
    size: int
    skipped: archive.Skipped


def make(
    layout: Layout,
    *,
    to: Path | None,
    keep: int,
    with_workshop: bool,
    with_copies: bool,
    now: datetime,
    progress: Progress,
    by: str = HAND,
) -> Made:
    """Write a backup to `to`, a file or a directory (default: the usual place).

    In a directory, the newest `keep` backups of the timer are kept, and as many of those made by hand.

    Raises BackupFault, DatabaseFault.
    """
    # A worker host holds nothing that cannot be fetched again: the database is at the web.
    if services.role(layout) is Role.WORKER_HOST:
        raise BackupFault(
            _("This machine only runs game servers. Create the backup on the machine that runs the web.")
        )
    target = _target(layout, to, now)
    trees = [*TREES, *([WORKSHOP] if with_workshop else []), *([COPIES] if with_copies else [])]
    database = copies.from_environment(environment.read(layout), data=layout.data)
    with _only_one(layout):
        _remove_unfinished(target.parent)
        progress.phase(_("measuring"))
        _tell_of_copies(layout, with_copies=with_copies, progress=progress)
        files, size = _measure([layout.data / tree for tree in trees])
        _refuse_full_disk(target.parent, size + files * _PER_FILE + 2 * database.size())
        part = target.with_name(f".{target.name}.part")
        try:
            skipped = _write(layout, database, part, trees=trees, expected=size, now=now, progress=progress, by=by)
            # It gets its name only now, so that a file with such a name is always a whole backup.
            atomic.publish(part, target, durable=True)
        finally:
            part.unlink(missing_ok=True)
        # A file that the operator named is theirs to remove.
        if to is None or to.is_dir():
            _remove_old(target.parent, keep=keep, by=by, progress=progress)
        if target.parent == layout.backups:
            machine_backups.write(layout.backups, _listed(layout.backups))
    return Made(target, target.stat().st_size, skipped)


def latest(layout: Layout) -> Path | None:
    """The newest whole backup in the usual place, if any."""
    backups = [path for path in layout.backups.glob("left4me-*.tar") if _NAME.fullmatch(path.name)]
    return max(backups, key=lambda path: path.name, default=None)


def _write(
    layout: Layout,
    database: copies.Database,
    part: Path,
    *,
    trees: list[str],
    expected: int,
    now: datetime,
    progress: Progress,
    by: str,
) -> archive.Skipped:
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w+b") as file:
            writer = archive.Writer(file, on_bytes=progress.add)
            progress.phase(_("database (%(kind)s)") % {"kind": database.kind})
            with tempfile.TemporaryDirectory(prefix=".database-", dir=part.parent) as beside:
                copy = Path(beside, "copy")
                migrations = database.migrations()
                database.copy_to(copy)
                writer.add_file(copy, DATABASE)
            progress.phase(_("settings"))
            for path in environment.files(layout):
                writer.add_file(path, f"{SETTINGS}/{path.relative_to(layout.settings)}")
            for tree in trees:
                progress.phase(tree, expected, before=sum(part.size for part in writer.parts.values()))
                writer.add_tree(layout.data / tree, tree, skip=_SKIP.get(tree, lambda _: False))
            progress.phase(_("writing to the disk"))
            writer.finish(
                {
                    "format": FORMAT,
                    "release": releases.running(layout),
                    "created_at": now.isoformat(timespec="seconds"),
                    "made_by": by,
                    "machine": socket.gethostname(),
                    "units": services.enabled(services.OPTIONAL),
                    "database": {"kind": database.kind, "migrations": migrations},
                }
            )
            file.flush()
            os.fsync(file.fileno())
            progress.end_phase()
            return writer.skipped
    except OSError as error:
        raise BackupFault(_("Could not write the backup: %(error)s.") % {"error": error}) from error


def _skip_in_overlays(path: str) -> bool:
    # Trees that are being built, and files that are being written in complete ones.
    return path.startswith((".building-", ".script-")) or path.rpartition("/")[2].startswith(".left4me-")


def _skip_in_servers(path: str) -> bool:
    parts = path.split("/")[1:]
    # `work` and `merged` belong to the mount. `run` describes the processes of this boot, except for one file.
    return parts[:1] in (["work"], ["merged"]) or (parts[:1] == ["run"] and parts[1:] not in ([], ["generated.json"]))


def _tell_of_copies(layout: Layout, *, with_copies: bool, progress: Progress) -> None:
    """Say whether the only copies of what lies on other machines are part of the backup."""
    _files, size = _measure([layout.data / COPIES])
    if not size:
        return
    if with_copies:
        words = _("the copies of servers of other hosts (%(size)s) are included")
    else:
        words = _("the copies of servers of other hosts (%(size)s) are not included; --with-copies includes them")
    progress.say(words % {"size": readable_size(size)})


def _skip_in_copies(path: str) -> bool:
    return path.rpartition("/")[2].startswith(atomic.TEMPORARY)


def _skip_in_workshop(path: str) -> bool:
    return path.endswith(".part")


_SKIP: Final = {
    "overlays": _skip_in_overlays,
    "servers": _skip_in_servers,
    WORKSHOP: _skip_in_workshop,
    COPIES: _skip_in_copies,
}


def _target(layout: Layout, to: Path | None, now: datetime) -> Path:
    if to is None:
        layout.backups.mkdir(parents=True, exist_ok=True, mode=0o710)
    directory = layout.backups if to is None else to
    if to is None or to.is_dir():
        target = directory.absolute() / _name(now)
        # Two backups within one second: the later one takes the name of the next second, which sorts after it.
        while target.exists():
            now += timedelta(seconds=1)
            target = target.with_name(_name(now))
    else:
        target = to.absolute()
    if not target.parent.is_dir():
        raise BackupFault(
            _("%(parent)s is not a directory. Create it, or choose another one.") % {"parent": target.parent}
        )
    if target.exists():
        raise BackupFault(_("%(target)s already exists. Choose another file name, or remove it.") % {"target": target})
    return target


def _name(now: datetime) -> str:
    return f"left4me-{now.strftime(_STAMP)}.tar"


def _only_one(layout: Layout) -> contextlib.AbstractContextManager[None]:
    """Two backups at once would remove each other's unfinished files."""
    layout.backups.mkdir(parents=True, exist_ok=True, mode=0o710)
    refusal = BackupFault(_("Another backup is in progress. Wait until it has finished."))
    return plan.exclusive(layout.backups / ".lock", refusal)


def _remove_unfinished(directory: Path) -> None:
    """Remove the files of backups that were interrupted by a power cut."""
    for path in directory.glob(".left4me-*.tar.part"):
        path.unlink()
    for path in directory.glob(".database-*"):
        shutil.rmtree(path, ignore_errors=True)


def _measure(trees: list[Path]) -> tuple[int, int]:
    """The approximate number of files and of bytes; they change while the backup runs."""
    files = size = 0
    folders = [str(tree) for tree in trees]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                files += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
    return files, size


def _refuse_full_disk(directory: Path, needed: int) -> None:
    if needed > room.left(directory):
        raise BackupFault(
            _(
                "The disk is too full: the backup takes about %(size)s, and %(kept)s must stay free, but "
                "%(directory)s has %(free)s. Free some space, keep fewer backups (--keep), or write it to "
                "another disk (--to)."
            )
            % {
                "size": readable_size(needed),
                "kept": readable_size(room.KEEP_FREE),
                "directory": directory,
                "free": readable_size(room.free(directory)),
            }
        )


def _remove_old(directory: Path, *, keep: int, by: str, progress: Progress) -> None:
    backups = [backup["name"] for backup in _listed(directory) if backup["made_by"] == by]
    for name in backups[: -max(1, keep)]:
        (directory / name).unlink()
        progress.say(_("removed old backup %(name)s") % {"name": name})


def _listed(directory: Path) -> list[dict[str, Any]]:
    """What the manifests of the whole backups in a directory tell, the oldest first."""
    listed = []
    for path in sorted(path for path in directory.glob("left4me-*.tar") if _NAME.fullmatch(path.name)):
        try:
            with path.open("rb") as file:
                manifest = archive.read_manifest(file)
        except (OSError, archive.BadArchive):
            manifest = {}
        listed.append(
            {
                "name": path.name,
                "size": path.stat().st_size,
                # As in its name, for a file whose manifest is damaged.
                "created_at": datetime.strptime(path.name, f"left4me-{_STAMP}.tar").replace(tzinfo=UTC).isoformat(),
                "made_by": manifest.get("made_by", TIMER),
                "release": manifest.get("release", ""),
                "parts": manifest.get("parts", {}),
                "skipped": manifest.get("skipped", {}).get("count", 0),
                "is_damaged": not manifest,
            }
        )
    return listed
