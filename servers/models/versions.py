"""Earlier versions of blueprints: every save keeps one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from servers.models.blueprints import Blueprint


class BlueprintVersion(models.Model):
    """A blueprint as it was saved once. `content` holds its fields, and its overlays with their names and versions."""

    blueprint = models.ForeignKey(Blueprint, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("saved by"), null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    content: models.JSONField[dict[str, Any]] = models.JSONField()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["blueprint", "number"], name="one_version_per_blueprint_and_number")
        ]

    def __str__(self) -> str:
        return f"{self.blueprint_id}: {self.number}"
