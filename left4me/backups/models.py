"""Backups of the files that a server has written, and of files overlays. The archives are on their hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.jobs.models import Job
from overlays.models import Overlay
from servers.models import Host, Server

# So many are kept of one server or overlay.
KEPT: Final = 7


class BackupQuerySet(models.QuerySet["Backup"]):
    def of(self, target: Server | Overlay) -> Self:
        return self.filter(server=target) if isinstance(target, Server) else self.filter(overlay=target)

    def begin(self, target: Server | Overlay, **fields: Any) -> Backup:
        """A row of a backup that will be made."""
        place = {"server": target} if isinstance(target, Server) else {"overlay": target}
        return self.create(**place, owner_id=target.owner_id, **fields)

    def complete(self) -> Self:
        return self.filter(finished_at__isnull=False)

    def has_moved(self, server: Server, host: Host) -> None:
        """Note that the archives of a server are on another host."""
        self.of(server).update(host=host.name)

    def forget_missing(self, server: Server) -> None:
        """Forget the backups of a server of this host whose archives are not here."""
        for backup in self.of(server).complete():
            if not backup.archive.exists():
                backup.delete()

    def size(self) -> int:
        """The bytes of these backups together."""
        return self.aggregate(sum=Sum("size"))["sum"] or 0


class Backup(models.Model):
    """A copy of the files of one server or overlay. A row without `finished_at` is being made."""

    class Reason(models.TextChoices):
        MANUAL = "manual", _("Manual")
        SCHEDULED = "scheduled", _("Scheduled")
        BEFORE_RESTORE = "before_restore", _("Before a restore")

    server = models.ForeignKey(Server, null=True, on_delete=models.CASCADE, related_name="backups")
    overlay = models.ForeignKey(Overlay, null=True, on_delete=models.CASCADE, related_name="backups")
    # Whose quota it counts for: the owner of what is backed up. None for overlays of the catalog.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="backups")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    # The name of the host that holds the archive.
    host = models.CharField(max_length=63)
    reason = models.CharField(max_length=16, choices=Reason.choices, default=Reason.MANUAL)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    size = models.PositiveBigIntegerField(default=0)
    file_count = models.PositiveIntegerField(default=0)
    # The game ran meanwhile, so files that it was writing may be from different moments.
    was_running = models.BooleanField(default=False)

    objects = BackupQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(server=None, overlay__isnull=False) | Q(server__isnull=False, overlay=None),
                name="backup_of_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(reason__in=["manual", "scheduled", "before_restore"]), name="backup_reason_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.resource} {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def resource(self) -> str:
        """What it is a backup of, as in jobs: `server:12`."""
        return f"server:{self.server_id}" if self.server_id else f"overlay:{self.overlay_id}"

    @property
    def archive(self) -> Path:
        """The archive on its host; its list of files lies beside it."""
        return folder() / self.resource.replace(":", "-") / f"{self.pk}.tar.gz"


def folder() -> Path:
    """The directory of all archives of this host."""
    return Path(settings.LEFT4ME_ROOT) / "backups"
