"""The jobs that make and restore backups, on the host with the files; and what pages ask that host."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from celery import shared_task
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.backups import archives
from left4me.backups.models import KEPT, Backup, folder
from left4me.core.files import room
from left4me.jobs.context import JobContext
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed, Lock, RequestedJob, backup_lock, lock_with_backups, operation
from overlays import builds, paths
from overlays.models import Overlay
from servers.gamehost.storage import MOST_KEPT, used
from servers.hosts import this_host
from servers.hosts.rpc import Reply
from servers.models import DeletedServer, Server

PIECE: Final = 1024**2
# Of each list of a plan.
_SHOWN: Final = 200
_MB: Final = 1_000_000


def _while_it_runs(job: RequestedJob) -> Iterable[Lock]:
    """Only one backup at a time. A server may be started and stopped meanwhile; an overlay is not built."""
    yield backup_lock(job)
    if job.resource.startswith("overlay:"):
        yield Lock(job.resource, exclusive=False)


@operation("back_up", title=_("Back up"), locks=_while_it_runs, idempotent=True, needs_change=True)
def back_up(run: JobContext) -> None:
    """Copy the files of a server or overlay into an archive on this host. A game that runs goes on."""
    backup = Backup.objects.filter(pk=run.params["backup"]).first() or _again(run)
    if backup.finished_at is None:
        _make(backup, run)


@operation("put_back", title=_("Restore backup"), locks=lock_with_backups, idempotent=True, needs_change=True)
def put_back(run: JobContext) -> None:
    """Make the files of a server that is stopped, or of an overlay, those of a backup."""
    backup = _row(run, "backup")
    server = backup.server
    if server is not None and not server.is_at_rest:
        raise Failed("The server is running. Stop it, then restore the backup.")
    # The first run of this job may have made it before its worker died.
    before, _created = Backup.objects.get_or_create(
        job_id=run.job_id,
        reason=Backup.Reason.BEFORE_RESTORE,
        defaults={
            "server": server,
            "overlay": backup.overlay,
            "owner_id": backup.owner_id,
            "user_id": backup.user_id,
            "host": run.host,
        },
    )
    if before.finished_at is None:
        run.log("Backing up the present files first.")
        _make(before, run, keep=backup)
    done = _Progress(run, "restoring", sum(entry.size for entry in _list(backup)))
    try:
        written = archives.restore(_top(backup), backup.archive, check=run.check, count=done.add)
    except (OSError, tarfile.TarError) as fault:
        raise Failed(
            f"The backup could not be restored completely: {fault}. The files from before are in another backup."
        ) from fault
    run.log(f"Restored {written} files; the others were the same.")
    if backup.overlay is not None:
        backup.overlay.record_change(now=timezone.now())
        builds.build(run, backup.overlay)


def piece(*, backup: int, offset: int) -> Reply | None:
    """The bytes of an archive from `offset` on, and the size of all of it."""
    row = Backup.objects.complete().filter(pk=backup).first()
    try:
        with row.archive.open("rb") as file:  # type: ignore[union-attr]
            file.seek(offset)
            found = os.fstat(file.fileno())
            return Reply({"size": found.st_size, "changed": found.st_mtime_ns}, file.read(PIECE))
    except (AttributeError, OSError):
        return None


def plan(*, backup: int) -> Reply | None:
    """What a restore would change: the first paths of each list, and how many there are."""
    row = Backup.objects.complete().filter(pk=backup).first()
    try:
        found = archives.compare(_top(row), row.archive) if row else None
    except OSError:
        return None
    if found is None:
        return None
    lists = {name: getattr(found, name) for name in ("added", "replaced", "removed")}
    return Reply(
        {
            **{name: {"count": len(paths_), "paths": sorted(paths_)[:_SHOWN]} for name, paths_ in lists.items()},
            "unchanged": found.unchanged,
        }
    )


@shared_task(name="backups.tidy", ignore_result=True)
def tidy() -> None:
    """Delete the archives of this host whose backups were deleted."""
    remove_orphans()


def remove_orphans() -> int:
    """Delete the archives of this host that no row names, also those of interrupted jobs; return their number.

    Those of deleted servers stay for as long as a restore brings back their rows.
    """
    removed = 0
    deleted = DeletedServer.objects.filter(host__name=settings.LEFT4ME_HOST).values_list("server_id", flat=True)
    kept = {f"server-{server_id}" for server_id in deleted}
    known = set(Backup.objects.filter(host=settings.LEFT4ME_HOST).values_list("pk", flat=True))
    for path in folder().glob("*-*/*.*"):
        number = path.name.partition(".")[0]
        if path.parent.name not in kept and not (number.isdecimal() and int(number) in known):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _row(run: JobContext, name: str) -> Backup:
    rows = Backup.objects.select_related("server", "overlay")
    backup = rows.filter(pk=run.params[name]).first()
    if backup is None:
        raise Failed("The backup was deleted.")
    return backup


def _again(run: JobContext) -> Backup:
    """The row of a backup that failed, which took its row along, and is tried again."""
    model: type[Server] | type[Overlay] = Server if run.resource.startswith("server:") else Overlay
    target = model.objects.get(pk=run.resource_id)
    asked_by = Job.objects.values_list("user_id", flat=True).get(pk=run.job_id)
    return Backup.objects.begin(target, user_id=asked_by, host=run.host, job_id=run.job_id)


def _top(backup: Backup) -> Path:
    """The directory whose files it holds."""
    if backup.server_id is not None:
        return this_host.storage().of(backup.server_id).upper
    assert backup.overlay is not None  # noqa: S101 -- a constraint of the table
    return paths.directory(backup.overlay)


def _list(backup: Backup) -> list[archives.Entry]:
    try:
        return archives.read_list(backup.archive)
    except OSError as fault:
        raise Failed("The files of this backup are missing on its host.") from fault


def _make(backup: Backup, run: JobContext, *, keep: Backup | None = None) -> None:
    """Write the archive, and delete the oldest backups beyond those that are kept."""
    top = _top(backup)
    backup.was_running = backup.server is not None and not backup.server.is_at_rest
    if backup.was_running:
        run.log("The game is running. Files that it writes meanwhile may be from different moments.")
    done = _Progress(run, "copying", used(top).size)
    try:
        written = archives.write(top, backup.archive, most=_room(backup), check=run.check, count=done.add)
    except archives.TooLarge as fault:
        backup.delete()
        raise Failed(
            f"The backup would be too large: a user's backups may take {settings.LEFT4ME_BACKUP_QUOTA_MB} MB "
            "together, and the disk keeps a reserve. Delete backups, then try again."
        ) from fault
    except OSError as fault:
        backup.delete()
        raise Failed(f"The backup could not be written: {fault}.") from fault
    except BaseException:
        backup.delete()
        raise
    if written.skipped:
        run.log(f"Left out {written.skipped} files that could not be read or are mostly empty space.")
    backup.size, backup.file_count, backup.finished_at = written.size, written.files, timezone.now()
    backup.save(update_fields=["size", "file_count", "finished_at", "was_running"])
    run.log(f"Backed up {written.files} files in {written.size / _MB:.1f} MB.")
    target = Backup.objects.complete().filter(server=backup.server, overlay=backup.overlay)
    for old in (target.exclude(pk=keep.pk) if keep else target)[KEPT:]:
        archives.remove(old.archive)
        old.delete()
        run.log(f"Deleted the backup of {old.created_at:%Y-%m-%d %H:%M}: the newest are kept.")


def _room(backup: Backup) -> int:
    """The bytes that the archive may have: of the owner's quota, of the disk, and of one archive."""
    quota = settings.LEFT4ME_BACKUP_QUOTA_MB * _MB - Backup.objects.filter(owner_id=backup.owner_id).size()
    return max(0, min(quota, room.left(Path(settings.LEFT4ME_ROOT)), MOST_KEPT))


class _Progress:
    """Reports the progress of copying `total` bytes."""

    def __init__(self, run: JobContext, phase: str, total: int) -> None:
        self._run, self._phase, self._total, self._done = run, phase, max(total, 1), 0

    def add(self, size: int) -> None:
        self._done = min(self._done + size, self._total)
        self._run.progress(phase=self._phase, done=self._done, total=self._total, unit="bytes")
