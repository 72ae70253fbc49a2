"""The trash of files overlays: what is deleted there can be restored for a while.

An entry is renamed into `overlays/.trash`, so deleting takes no time and no space. It is kept until it expires, or
until its owner's quota or the disk needs the space.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core import rows
from left4me.core.files import room
from left4me.core.files.tree import BadPath, Parts, Tree
from left4me.core.web import refusals
from overlays import paths
from overlays.models import DeletedFile, Overlay


def delete(*, overlay: Overlay, places: Iterable[Parts], by: User, now: datetime) -> list[DeletedFile]:
    """Move files and folders to the trash; the caller requests a build. Raises BadPath; those before it stay deleted.

    What the trash cannot take, because its directory is on another file system, is deleted for good.
    """
    deleted = []
    with Tree(paths.directory(overlay)) as content, Tree(directory()) as trash:
        for where in places:
            if not where:
                raise BadPath(_("The overlay's top folder can't be removed."))
            row = _measured(content, where)
            row.overlay, row.deleted_by, row.deleted_at = overlay, by, now
            try:
                with transaction.atomic():
                    row.save()
                    # What lies there belongs to no row: to one of before an older backup was restored, say.
                    trash.delete(_place(row))
                    content.rename(where, _place(row), into=trash)
            except OSError as fault:
                if fault.errno != errno.EXDEV:
                    raise
                content.delete(where)
            else:
                deleted.append(row)
            _record(row, "overlay.files_deleted", by=by)
            overlay.count_in(-row.size)
    return deleted


def restore(deleted: DeletedFile, *, by: User) -> None:
    """Move it back to its path; the caller requests a build. Raises rows.Gone, and Refused if the path is taken."""
    place = _place(deleted)
    with Tree(paths.directory(deleted.overlay)) as content, Tree(directory()) as trash:
        try:
            trash.node(place)
        except BadPath:
            raise rows.Gone from None
        try:
            with transaction.atomic():
                _record(deleted, "overlay.files_restored", by=by)
                deleted.delete()
                trash.rename(place, tuple(deleted.path.split("/")), into=content)
                deleted.overlay.count_in(deleted.size)
        except BadPath:
            raise refusals.Refused(
                _("Something else is at “%(path)s” now. Rename or delete it, then restore this.")
                % {"path": deleted.path}
            ) from None


def discard(deleted: DeletedFile, *, by: User) -> None:
    """Delete it for good."""
    _record(deleted, "overlay.files_discarded", by=by)
    purge([deleted])


def purge(deleted: Iterable[DeletedFile]) -> None:
    with Tree(directory()) as trash:
        for row in deleted:
            trash.delete(_place(row))
            row.delete()


def make_room(overlay: Overlay, *, quota_left: int | None, wanted: int) -> None:
    """Delete the oldest for good until the quota of the overlay's owner, and the disk, leave `wanted` bytes.

    Nothing is deleted for what would not fit even then.
    """
    if quota_left is not None:
        of_owner = DeletedFile.objects.filter(overlay__owner=overlay.owner_id)
        purge(_oldest(of_owner, bytes_wanted=_held(of_owner) + wanted - quota_left))
    purge(_oldest(DeletedFile.objects.all(), bytes_wanted=wanted - room.left(directory())))


def tidy(*, now: datetime) -> None:
    """Daily: delete for good what has expired, and files whose rows went with their overlay."""
    purge(DeletedFile.objects.filter(deleted_at__lt=now - DeletedFile.KEPT_FOR))
    delete_orphans()


def delete_orphans() -> None:
    with Tree(directory()) as trash:
        # Listed first: what is deleted now has its row before its file.
        names = [node.name for node in trash.list(())]
        known = {str(pk) for pk in DeletedFile.objects.values_list("pk", flat=True)}
        for name in names:
            if name not in known:
                trash.delete((name,))


def directory() -> Path:
    """On the file system of the overlays, so that deleting is a rename."""
    return paths.root() / ".trash"


def _place(row: DeletedFile) -> Parts:
    return (str(row.pk),)


def _measured(content: Tree, where: Parts) -> DeletedFile:
    node = content.node(where)
    count, size = content.measure(where) if node.is_folder else (1, node.size)
    return DeletedFile(path="/".join(where), is_folder=node.is_folder, file_count=count, size=size)


def _held(deleted: QuerySet[DeletedFile]) -> int:
    held: int | None = deleted.aggregate(sum=Sum("size"))["sum"]
    return held or 0


def _oldest(deleted: QuerySet[DeletedFile], *, bytes_wanted: int) -> Iterator[DeletedFile]:
    if bytes_wanted > _held(deleted):
        return
    for row in deleted.filter(~Q(size=0)).order_by("deleted_at", "pk"):
        if bytes_wanted <= 0:
            return
        bytes_wanted -= row.size
        yield row


def _record(row: DeletedFile, action: str, *, by: User) -> None:
    record.write(action=action, by=by, target=row.overlay.resource, path=row.path)
