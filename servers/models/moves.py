"""Servers that are on their way from one host to another."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.jobs.models import Job
from servers.models.hosts import Host
from servers.models.servers import Server


class ServerMoveQuerySet(models.QuerySet["ServerMove"]):
    def ended(self) -> Self:
        """Those whose job has ended without finishing the move."""
        return self.exclude(job_id__in=Job.objects.live().values("pk"))


class ServerMove(models.Model):
    """A move that was requested and has not ended. It is the web's own: hosts neither read nor write it.

    `job_id` is the job that carries it on now. When that job has ended otherwise than by finishing the move, so has
    the move, and the server is where it was.
    """

    class Stage(models.TextChoices):
        PACK = "pack", _("the old host sends the files")
        UNPACK = "unpack", _("the new host takes them")

    # No constraint in the database: a host that deletes a server has no right to look here.
    server = models.OneToOneField(
        Server, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="move"
    )
    source = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="+")
    target = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    stage = models.CharField(max_length=8, choices=Stage.choices, default=Stage.PACK)
    job_id = models.BigIntegerField()
    # Of the files on their way, as the old host told them.
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = ServerMoveQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(stage__in=["pack", "unpack"]), name="move_stage_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.server_id}: {self.source_id} to {self.target_id}"

    @property
    def key(self) -> str:
        """Names this move and no other one of the server."""
        return f"{self.created_at.timestamp():.6f}"
