"""Imports of existing servers: what was read, what was confirmed, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.jobs.models import Job
from servers.models import Host

# Older ones are deleted when another is requested.
KEPT: Final = 50


class Import(models.Model):
    """The import of one directory. Without `plan` it is being read; `result` fills while it is carried out."""

    # Who asked for it. What is created belongs to `owner`.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("owner"), on_delete=models.CASCADE, related_name="+"
    )
    # Where the servers will run. The directory is on the machine of the web, as overlays are.
    host = models.ForeignKey(Host, verbose_name=_("host"), null=True, on_delete=models.SET_NULL, related_name="+")
    path = models.CharField(_("directory"), max_length=1000)
    launch = models.TextField(_("launch line"), blank=True)
    # Requested by the command, which may name any directory that it can read.
    is_anywhere = models.BooleanField(default=False)
    # Of the reader: what is found is told in this language.
    language = models.CharField(max_length=16, default="en")
    plan: models.JSONField[dict[str, Any] | None] = models.JSONField(null=True)
    result: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.path

    def get_absolute_url(self) -> str:
        return reverse("importer:detail", args=[self.pk])

    @property
    def resource(self) -> str:
        """Its name in jobs, locks and the audit log."""
        return f"import:{self.pk}"

    @property
    def has_begun(self) -> bool:
        """Whether anything was created."""
        return bool(self.result)

    @property
    def files_list(self) -> Path:
        """The list of the files that the plan takes."""
        return folder() / f"{self.pk}.json.gz"


def folder() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "imports"
