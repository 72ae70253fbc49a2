"""Uploads into overlays: starting, resuming after an interruption, and finishing."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Sum
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows, texts
from left4me.core.files import room, tree
from left4me.core.files.tree import Tree
from left4me.core.web import refusals
from left4me.core.web.refusals import Cure
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from overlays import builds, game_files, paths, permissions
from overlays.files import archives, trash
from overlays.models import Overlay, Upload

CHUNK = 8 * 1024 * 1024
ABANDONED_AFTER = timedelta(days=3)
# How long an archive that was read waits for a user to apply its plan.
WAITS_FOR = timedelta(days=7)
_READ = 256 * 1024


class UploadRefused(refusals.Refused):
    """The upload is not accepted; the message says why."""


class WrongOffset(Exception):
    """The chunk does not continue what has arrived; `offset` is where it must start."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        super().__init__(_("This upload is incomplete; resume it at byte %(offset)d.") % {"offset": offset})


def start(*, overlay: Overlay, folder: str, name: str, size: int, unpack: bool, by: User) -> Upload:
    """Start an upload, or find an interrupted one to resume. Raises UploadRefused and BadPath."""
    where = (*tree.parts(folder), *tree.parts(name))
    if not where:
        raise UploadRefused(_("A file needs a name."))
    if unpack and not archives.is_archive(name):
        unpack = False
    if not folder and name.lower().endswith(".vpk"):
        where = ("left4dead2", "addons", where[-1])
    if not unpack and game_files.is_program(where) and not permissions.can_allow_programs(by):
        raise UploadRefused(_("“%(name)s” is a program of the game. Only admins can upload it.") % {"name": where[-1]})
    with transaction.atomic():
        # Uploads that start at the same moment must not count on the same quota.
        if overlay.owner_id is not None:
            rows.take_turns(overlay.owner_id)
        uploads = Upload.objects.filter(overlay=overlay, user=by, path="/".join(where), size=size, unpack=unpack)
        if (existing := uploads.first()) is not None:
            return existing
        quota = quota_left(overlay)
        if quota is not None and size > quota:
            raise UploadRefused(
                _("This exceeds your quota; %(left)d MB are left. Delete files, or ask an admin for more.")
                % {"left": max(0, quota) // 1_000_000},
                cure=_free_quota(overlay),
            )
        trash.make_room(overlay, quota_left=quota, wanted=size)
        if size > room.left(directory()):
            raise _no_room(by)
        return Upload.objects.create(overlay=overlay, user=by, path="/".join(where), size=size, unpack=unpack)


def _free_quota(overlay: Overlay) -> Cure:
    """The files of the overlay that takes most of its owner's quota."""
    own = Overlay.objects.filter(owner=overlay.owner_id, kind=Overlay.Kind.FILES)
    largest = own.order_by("-size_bytes").first() or overlay
    label = _("Show files of “%s”") % largest.name
    return Cure(label=label, url=reverse("overlays:files", args=[largest.pk]))


def _no_room(by: User) -> UploadRefused:
    cure = Cure(label=_("Delete unused items"), url=reverse("overlays:cache")) if by.is_admin else None
    return UploadRefused(_("Not enough disk space on the host. Ask an admin to free some."), cure=cure)


def receive(upload: Upload, *, offset: int, source: BinaryIO, restart: bool = False) -> int:
    """Append the content of `source`; returns the new offset. Raises WrongOffset and UploadRefused.

    `restart` drops what has arrived so far. Of requests that send the same bytes at the same time, all but one end
    with WrongOffset.
    """
    if upload.ready_at is not None:
        raise UploadRefused(
            _("This archive is already uploaded. Extract or discard it."),
            cure=Cure(
                label=_("Open archive"), url=reverse("overlays:archive_plan", args=[upload.overlay_id, upload.pk])
            ),
        )
    with partial_path(upload).open("ab", buffering=0) as target:
        if restart:
            with _locked(target):
                target.truncate(0)
        at = offset
        _append(upload, target, b"", at=at)
        while chunk := source.read(_READ):
            _append(upload, target, chunk, at=at)
            at += len(chunk)
    return at


def _append(upload: Upload, target: FileIO, chunk: bytes, *, at: int) -> None:
    with _locked(target):
        size = os.fstat(target.fileno()).st_size
        if size != at:
            raise WrongOffset(size)
        if size + len(chunk) > upload.size:
            raise UploadRefused(
                _("The upload exceeds the announced %(size)d bytes. Start it again.") % {"size": upload.size}
            )
        if len(chunk) > room.left(directory()):
            raise _no_room(upload.user)
        if target.write(chunk) != len(chunk):
            # The next part of this request, or of another one, starts at what was written.
            raise WrongOffset(os.fstat(target.fileno()).st_size)


@contextlib.contextmanager
def _locked(target: FileIO) -> Iterator[None]:
    """Only for the moment of a write: whoever sends slowly keeps nobody waiting."""
    fcntl.flock(target, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(target, fcntl.LOCK_UN)


def received(upload: Upload) -> int:
    if upload.ready_at is not None:
        # A 7z, rar or xz archive was replaced by a tar of another size.
        return upload.size
    try:
        return partial_path(upload).stat().st_size
    except FileNotFoundError:
        return 0


def finish(upload: Upload, *, by: User, apply: bool = False) -> Job | None:
    """Move a complete file to its place, or request the reading of an archive; returns the job that follows.

    `apply` unpacks an archive by the best plan at once. Returns None for an archive that already waits. Raises
    UploadRefused, BadPath and jobs.Refused.
    """
    overlay = upload.overlay
    if upload.unpack and upload.ready_at is not None and not apply:
        return None
    if received(upload) != upload.size:
        raise UploadRefused(_("The upload is incomplete. Resume it first."))
    with transaction.atomic():
        record.write(action="overlay.uploaded", by=by, target=overlay.resource, path=upload.path, size=upload.size)
        if upload.unpack:
            return jobs.request(
                operation="unpack" if apply else "read_archive",
                resource=overlay.resource,
                by=by,
                host=settings.LEFT4ME_HOST,
                params={"upload": upload.pk},
            )
        _take(upload)
        upload.delete()
        overlay.count_in(upload.size)
        return builds.request(overlay=overlay, by=by)


def _take(upload: Upload) -> None:
    """Move the complete file to its place, as a text that the game can execute if it is one."""
    source, where = partial_path(upload), tree.parts(upload.path)
    source.touch()
    with source.open("rb") as stream:
        head = stream.read(game_files.LARGEST + 1)
    mode = 0o755 if game_files.is_executable(where, head) else 0o644
    with Tree(paths.directory(upload.overlay)) as content:
        if len(head) <= game_files.LARGEST and game_files.needs_converting(where, head):
            with content.writing(where, mode=mode) as target:
                target.write(texts.decode(head).text.encode())
            source.unlink()
        else:
            content.take(source, where, mode=mode)


def abort(upload: Upload) -> None:
    partial_path(upload).unlink(missing_ok=True)
    index_path(upload).unlink(missing_ok=True)
    upload.delete()


def delete_abandoned(*, now: datetime) -> int:
    """Delete uploads that were not finished or not unpacked in time, with their files; returns how many."""
    unfinished = Q(ready_at=None, created_at__lt=now - ABANDONED_AFTER)
    abandoned = list(Upload.objects.filter(unfinished | Q(ready_at__lt=now - WAITS_FOR)))
    for upload in abandoned:
        abort(upload)
    _delete_orphans()
    return len(abandoned)


def _delete_orphans() -> None:
    """Delete the files of uploads whose rows went with their overlay or user."""
    # Listed first: an upload that starts now has its row before its file.
    files = [path for path in directory().iterdir() if path.suffix in (".part", ".index") and path.stem.isdecimal()]
    known = set(Upload.objects.values_list("pk", flat=True))
    for path in files:
        if int(path.stem) not in known:
            path.unlink(missing_ok=True)


def waiting(overlay: Overlay) -> list[Upload]:
    """The complete archives of an overlay: those that wait for a user to apply their plan, are read, or cannot be."""
    archives_of_overlay = overlay.uploads.filter(unpack=True)
    return [upload for upload in archives_of_overlay if upload.problem or received(upload) == upload.size]


def quota_left(overlay: Overlay) -> int | None:
    """The bytes that the overlay's owner may still upload; None without a limit, as for system overlays."""
    if overlay.owner_id is None:
        return None
    stored = Overlay.objects.filter(owner=overlay.owner_id, kind=Overlay.Kind.FILES).aggregate(sum=Sum("size_bytes"))
    archive_plans = Upload.objects.filter(overlay__owner=overlay.owner_id).aggregate(sum=Sum("size"))
    return settings.LEFT4ME_UPLOAD_QUOTA_MB * 1_000_000 - (stored["sum"] or 0) - (archive_plans["sum"] or 0)


def directory() -> Path:
    """The directory of partial files, on the file system of the overlays, so that finishing is a rename."""
    path = paths.root() / ".uploads"
    path.mkdir(parents=True, exist_ok=True)
    return path


def partial_path(upload: Upload) -> Path:
    return directory() / f"{int(upload.pk)}.part"


def index_path(upload: Upload) -> Path:
    """The file that lists the entries of an archive that was read."""
    return directory() / f"{int(upload.pk)}.index"
