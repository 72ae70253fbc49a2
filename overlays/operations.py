"""The operations that jobs run on overlays and on the workshop cache."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed, Lock, RequestedJob, operation
from overlays import builds, paths
from overlays.campaigns import rows
from overlays.files import extraction, remote_archives, trash, uploads
from overlays.models import Overlay
from overlays.replication.server import hashes_file
from overlays.replication.store import Copies, is_needed
from overlays.workshop_items import cache_cleanup, refresh

logger = logging.getLogger(__name__)


@operation("build", title=_("Build"), idempotent=True)
def build(run: JobContext) -> None:
    """Make an overlay's directory match its rows."""
    overlay = _overlay(run)
    changed = builds.build(run, overlay)
    run.log("The overlay has new content." if changed else "Nothing changed.", stream="event")


def _no_locks(job: RequestedJob) -> Iterable[Lock]:
    """Reading an archive touches no file of the overlay, so that it need not wait for a build or a start."""
    return ()


@operation("read_archive", title=_("Read archive"), locks=_no_locks, idempotent=True)
def read_archive(run: JobContext) -> None:
    """List the files of an uploaded archive, so that a user can see where they would go and apply the plan."""
    extraction.read(run, _overlay(run))


@operation("fetch_archive", title=_("Fetch archive"), locks=_no_locks, idempotent=True)
def fetch_archive(run: JobContext) -> None:
    """Fetch an archive from an address; another job then extracts it."""
    remote_archives.run(run, _overlay(run))


def _overlay_and_quota(job: RequestedJob) -> Iterable[Lock]:
    """The overlay, and its owner's quota: how large two archives become is not known before, so they take turns."""
    yield Lock(job.resource, exclusive=True)
    owner = Overlay.objects.filter(pk=job.resource.partition(":")[2]).values_list("owner_id", flat=True).first()
    if owner is not None:
        yield Lock(f"quota:{owner}", exclusive=True)


@operation("unpack", title=_("Extract"), locks=_overlay_and_quota, idempotent=True)
def unpack(run: JobContext) -> None:
    """Extract an uploaded archive into its overlay, then build the overlay."""
    overlay = _overlay(run)
    try:
        extraction.unpack(run, overlay)
    finally:
        # Also after a failure: the files extracted before it stay, and have to be measured and checked.
        builds.build(run, overlay)
        trash.make_room(overlay, quota_left=uploads.quota_left(overlay), wanted=0)


@operation("inspect", title=_("Find campaigns"), idempotent=True)
def inspect(run: JobContext) -> None:
    """Record the campaigns of an overlay that was built before left4me recorded them. Nothing is built."""
    rows.log(run, rows.look(_overlay(run), run.check))


def _overlay(run: JobContext) -> Overlay:
    overlay = Overlay.objects.filter(pk=run.resource_id).first()
    if overlay is None:
        raise Failed("The overlay no longer exists.")
    return overlay


@operation("workshop_refresh", title=_("Refresh workshop items"), idempotent=True, coalesces_active=True)
def workshop_refresh(run: JobContext) -> None:
    """Refresh every item and collection in use from Steam, and build the overlays whose items changed."""
    try:
        refresh.refresh_all(run, now=timezone.now())
    except Failed as fault:
        # Nobody reads the log of a job that the schedule requested.
        logger.error("Workshop refresh failed: %s", " | ".join(str(fault).splitlines()))
        raise


@operation("workshop_tidy", title=_("Clean up workshop cache"), idempotent=True)
def workshop_tidy(run: JobContext) -> None:
    """Delete the items that no overlay uses: all of them (`"older_than_days": 0`), or long unused ones."""
    cache_cleanup.tidy(run, now=timezone.now())


def _locks(job: RequestedJob) -> Iterable[Lock]:
    """On the web's host the job waits for builds and starts. On other hosts it removes copies, which have a lock of
    their own, so that a host that is down does not block jobs on the overlay."""
    if job.host == settings.LEFT4ME_HOST:
        yield Lock(job.resource, exclusive=True)
    else:
        yield Lock(job.resource.replace(":", "-"), exclusive=True)


@operation("remove_overlay", title=_("Remove files"), locks=_locks, idempotent=True, cancellable=False, final=True)
def remove_overlay(run: JobContext) -> None:
    """Delete the directory of a deleted overlay on the web's host, or its copies on another host."""
    if Overlay.objects.filter(pk=run.resource_id).exists():
        raise Failed("The overlay still exists; its files were kept.")
    if is_needed():
        _remove_copies(run)
        return
    tree = paths.root() / str(run.resource_id)
    if tree.is_symlink():
        tree.unlink()
    elif tree.exists():
        # rmtree works with directory file descriptors and does not follow links.
        shutil.rmtree(tree)
    hashes_file(run.resource_id).unlink(missing_ok=True)
    trash.delete_orphans()
    run.log(f"removed {tree.name}")


def _remove_copies(run: JobContext) -> None:
    copies = Copies(run.resource_id)
    with copies.locked(run.check):
        if copies.remove():
            run.log(f"removed the copies of overlay {run.resource_id}")
        else:
            run.log("A running server still uses a copy. The daily cleanup removes it after that server has stopped.")
