"""Copies of servers of worker hosts that are kept on the machine of the web."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from servers.models.servers import Server

# The operations of the jobs that send a copy, and take it.
COPY: Final = "copy_files"
RESTORE: Final = "restore_copy"
# A copy is made every night; one that is older was missed.
LATE_AFTER: Final = timedelta(days=2)


def are_made() -> bool:
    """Whether this installation keeps copies."""
    return bool(settings.LEFT4ME_HOST_COPIES_GB)


class ServerCopyQuerySet(models.QuerySet["ServerCopy"]):
    def stored_bytes(self) -> int:
        """What these copies take on the disk together."""
        return self.aggregate(sum=Sum("stored"))["sum"] or 0

    def late(self, now: datetime) -> Self:
        """Those whose last copy is too old, or that were never copied although there was time for it."""
        return self.annotate(since=Coalesce("copied_at", "created_at")).filter(
            since__lt=now - LATE_AFTER, lost_host=""
        )


class ServerCopy(models.Model):
    """The copy of a server, and when it was requested. It is the web's own: hosts neither read nor write it."""

    # No constraint in the database: a host that deletes a server has no right to look here.
    server = models.OneToOneField(
        Server, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="copy"
    )
    created_at = models.DateTimeField()
    # When the job was requested last.
    requested_at = models.DateTimeField()
    # When the newest whole copy was begun: nothing in it is older.
    copied_at = models.DateTimeField(null=True)
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    # What of it had to be sent the last time.
    sent = models.PositiveBigIntegerField(default=0)
    # What the copy lacks, and the first names of it.
    left_out = models.PositiveIntegerField(default=0)
    left_out_paths = models.JSONField(default=list)
    # The bytes of its pieces on the disk, also of a copy that is not whole yet.
    stored = models.PositiveBigIntegerField(default=0)
    # The host that was lost, until the new host of the server has taken the copy.
    lost_host = models.CharField(max_length=63, blank=True)

    objects = ServerCopyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(copied_at=None) | ~Q(sha256=""), name="copy_has_a_checksum"),
        ]

    def __str__(self) -> str:
        return f"{self.server_id}: {self.copied_at}"

    def is_late(self, now: datetime) -> bool:
        return not self.lost_host and (self.copied_at or self.created_at) < now - LATE_AFTER
