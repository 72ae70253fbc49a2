"""Demos: the recordings of SourceTV that hosts have found among the files of their servers."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Final, Self

from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from livestate.demos.header import LONGEST_NAME
from servers.models import Server

LONGEST_PATH: Final = 200
# The operation of the job that deletes demos.
DELETE: Final = "delete_demos"


class DemoQuerySet(models.QuerySet["Demo"]):
    def during(self, start: datetime, end: datetime) -> Self:
        """Those that show any of the time from `start` to `end`."""
        return self.filter(started_at__lt=end, ended_at__gt=start)


class Demo(models.Model):
    """One recording. It ends now while it goes on; of one that was broken off, the times are estimated."""

    class State(models.TextChoices):
        RECORDING = "recording", _("Recording")
        COMPLETE = "complete", _("Complete")
        UNFINISHED = "unfinished", _("Unfinished")
        DAMAGED = "damaged", _("Not a demo")

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="demos")
    path = models.CharField(_("file"), max_length=LONGEST_PATH)
    size = models.BigIntegerField(_("size"))
    # When the game wrote to it last, in nanoseconds: whoever removes it means this content.
    changed = models.BigIntegerField()
    state = models.CharField(_("state"), max_length=16, choices=State.choices)
    map = models.CharField(_("map"), max_length=LONGEST_NAME, blank=True)
    network_protocol = models.BigIntegerField(default=0)
    ticks = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(_("started"))
    ended_at = models.DateTimeField(_("ended"))

    objects = DemoQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["server", "path"], name="one_demo_per_file"),
            models.CheckConstraint(condition=Q(ended_at__gte=F("started_at")), name="demo_ends_after_it_begins"),
        ]
        indexes = [models.Index(fields=["server", "started_at"], name="demo_by_server_and_time")]

    def __str__(self) -> str:
        return f"server {self.server_id}: {self.path}"

    def get_absolute_url(self) -> str:
        return reverse("demos:demo", args=[self.server_id, self.pk])

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def length(self) -> timedelta:
        return self.ended_at - self.started_at

    @property
    def is_recording(self) -> bool:
        return self.state == self.State.RECORDING
