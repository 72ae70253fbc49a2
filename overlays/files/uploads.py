"""Uploads into overlays: starting, resuming after an interruption, and finishing."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.files import room, tree
from left4me.core.files.tree import Tree
from left4me.core.web import refusals
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from overlays import builds, paths
from overlays.files import archives
from overlays.models import Overlay, Upload

CHUNK = 8 * 1024 * 1024
ABANDONED_AFTER = timedelta(days=3)
_READ = 256 * 1024


class UploadRefused(refusals.Refused):
    """The upload is not accepted; the message says why."""


class WrongOffset(Exception):
    """The chunk does not continue what has arrived; `offset` is where it must start."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        super().__init__(_("The upload continues at byte %(offset)d.") % {"offset": offset})


def start(*, overlay: Overlay, folder: str, name: str, size: int, unpack: bool, by: User) -> Upload:
    """Start an upload, or find an interrupted one to resume. Raises UploadRefused and BadPath."""
    where = (*tree.parts(folder), *tree.parts(name))
    if not where:
        raise UploadRefused(_("A file needs a name."))
    if unpack and not archives.is_archive(name):
        unpack = False
    if not folder and name.lower().endswith(".vpk"):
        where = ("left4dead2", "addons", where[-1])
    existing = Upload.objects.filter(overlay=overlay, user=by, path="/".join(where), size=size, unpack=unpack).first()
    if existing is not None:
        return existing
    quota = quota_left(overlay)
    if quota is not None and size > quota:
        raise UploadRefused(
            _("This would go over the quota: %(left)d MB are left.") % {"left": max(0, quota) // 1_000_000}
        )
    if size > room.left(directory()):
        raise UploadRefused(_("There is not enough free space on the host."))
    return Upload.objects.create(overlay=overlay, user=by, path="/".join(where), size=size, unpack=unpack)


def receive(upload: Upload, *, offset: int, source: BinaryIO) -> int:
    """Append the content of `source`; returns the new offset. Raises WrongOffset and UploadRefused."""
    with partial_path(upload).open("ab") as target:
        at = os.fstat(target.fileno()).st_size
        if at != offset:
            raise WrongOffset(at)
        while chunk := source.read(_READ):
            if at + len(chunk) > upload.size:
                raise UploadRefused(_("This is more than the announced %(size)d bytes.") % {"size": upload.size})
            target.write(chunk)
            at += len(chunk)
    return at


def received(upload: Upload) -> int:
    try:
        return partial_path(upload).stat().st_size
    except FileNotFoundError:
        return 0


def finish(upload: Upload, *, by: User) -> Job:
    """Move a complete file to its place, or request its extraction; returns the job that follows.

    Raises UploadRefused, BadPath and jobs.Refused.
    """
    overlay = upload.overlay
    if received(upload) != upload.size:
        raise UploadRefused(_("The upload is not complete."))
    with transaction.atomic():
        record.write(action="overlay.uploaded", by=by, target=overlay.resource, path=upload.path, size=upload.size)
        if upload.unpack:
            params = {"upload": upload.pk}
            return jobs.request(
                operation="unpack", resource=overlay.resource, by=by, host=settings.LEFT4ME_HOST, params=params
            )
        source = partial_path(upload)
        source.touch()
        with Tree(paths.directory(overlay)) as content:
            content.take(source, tree.parts(upload.path))
        upload.delete()
        return builds.request(overlay=overlay, by=by)


def abort(upload: Upload) -> None:
    partial_path(upload).unlink(missing_ok=True)
    upload.delete()


def delete_abandoned(*, now: datetime) -> int:
    """Delete uploads that were not finished in time, with their partial files; returns how many."""
    abandoned = list(Upload.objects.filter(created_at__lt=now - ABANDONED_AFTER))
    for upload in abandoned:
        abort(upload)
    return len(abandoned)


def quota_left(overlay: Overlay) -> int | None:
    """The bytes that the overlay's owner may still upload; None without a limit, as for system overlays."""
    if overlay.owner_id is None:
        return None
    stored = Overlay.objects.filter(owner=overlay.owner_id, kind=Overlay.Kind.FILES).aggregate(sum=Sum("size_bytes"))
    pending = Upload.objects.filter(overlay__owner=overlay.owner_id).aggregate(sum=Sum("size"))
    return settings.LEFT4ME_UPLOAD_QUOTA_MB * 1_000_000 - (stored["sum"] or 0) - (pending["sum"] or 0)


def directory() -> Path:
    """The directory of partial files, on the file system of the overlays, so that finishing is a rename."""
    path = paths.root() / ".uploads"
    path.mkdir(parents=True, exist_ok=True)
    return path


def partial_path(upload: Upload) -> Path:
    return directory() / f"{int(upload.pk)}.part"
