"""What Steam tells about a workshop item, and what its file was found to hold."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class WorkshopItem(models.Model):
    """One published file. Steam's words are untrusted: `filename` is shown, never used as a path."""

    steam_id = models.PositiveBigIntegerField(_("Steam id"), unique=True)
    title = models.CharField(_("title"), max_length=255, blank=True)
    filename = models.CharField(max_length=512, blank=True)
    file_url = models.CharField(max_length=2048, blank=True)
    file_size = models.PositiveBigIntegerField(_("size"), default=0)
    # Unix seconds as Steam gives them: the version key that a cached file's mtime is compared with.
    time_updated = models.PositiveBigIntegerField(_("updated"), default=0)
    preview_url = models.CharField(max_length=2048, blank=True)
    last_downloaded_at = models.DateTimeField(_("downloaded"), null=True, blank=True)
    last_error = models.TextField(_("last error"), blank=True)

    # From the VPK itself; null until one was read.
    is_valid = models.BooleanField(_("valid"), null=True, blank=True)
    campaigns = models.JSONField(_("campaigns"), default=list, blank=True)
    chapters = models.JSONField(_("chapters"), default=list, blank=True)
    warnings = models.JSONField(_("warnings"), default=list, blank=True)

    class Meta:
        ordering = ["title", "steam_id"]

    def __str__(self) -> str:
        return self.title or str(self.steam_id)
