"""Workshop items: Steam's metadata, the state of the download, and the result of the inspection of the file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from workshop import inspection

# A download reports progress every two seconds. Without a report for this long it has ended or its worker died.
_PROGRESS_IS_FRESH = timedelta(seconds=20)

# How `last_error` begins: what Steam said about the item, or what its download failed at.
BY_STEAM = "Steam: "
DOWNLOAD_FAILED = "download failed: "


class WorkshopItemQuerySet(models.QuerySet["WorkshopItem"]):
    def unused(self) -> Self:
        """Items that no overlay uses."""
        return self.filter(overlay_links=None)

    def cached(self) -> Self:
        return self.filter(cached_version__isnull=False)

    def failed(self) -> Self:
        return self.exclude(last_error="", steam_error="")

    def downloading(self, now: datetime) -> Self:
        """Items with recent download progress."""
        return self.filter(progress_at__gt=now - _PROGRESS_IS_FRESH)

    def forget_refusals(self) -> int:
        """Let the next build download refused files again."""
        return self.exclude(refused_version=None).update(refused_version=None, refused_size=None)

    def matching(self, words: str) -> Self:
        """Items that match every word by title, author, id, campaign or map."""
        items = self
        for word in words.split()[:10]:
            by_text = Q(title__icontains=word) | Q(author__icontains=word) | Q(chapters__icontains=word)
            items = items.filter(by_text | Q(steam_id=int(word)) if word.isdecimal() and len(word) < 19 else by_text)
        return items


class Inspected(models.Model):
    """What the inspection of a file found: whether the game can use it, its campaigns and maps, and warnings."""

    INSPECTED = ("is_valid", "author", "campaigns", "chapters", "warnings")

    # Null before the first inspection.
    is_valid = models.BooleanField(_("valid"), null=True, blank=True)
    author = models.CharField(_("author"), max_length=200, blank=True)
    campaigns = models.JSONField(_("campaigns"), default=list, blank=True)
    # Every map once: `map`, `title`, `campaign`, `modes`.
    chapters = models.JSONField(_("chapters"), default=list, blank=True)
    warnings = models.JSONField(_("warnings"), default=list, blank=True)

    class Meta:
        abstract = True

    def take(self, found: inspection.Inspection) -> None:
        """Set the fields of INSPECTED."""
        data = found.as_json()
        self.is_valid = found.valid
        self.author = found.author
        self.campaigns = data["campaigns"]
        self.chapters = found.chapters
        self.warnings = data["warnings"]


class WorkshopItem(Inspected):
    """A published file. Steam's metadata is untrusted: `filename` is shown, never used as a path."""

    class State(models.TextChoices):
        CACHED = "cached", _("Cached")
        STALE = "stale", _("Newer version on Steam")
        MISSING = "missing", _("Not downloaded")
        DOWNLOADING = "downloading", _("Downloading")
        FAILED = "failed", _("Failed")

    steam_id = models.PositiveBigIntegerField(_("Steam ID"), unique=True)
    title = models.CharField(_("title"), max_length=255, blank=True)
    filename = models.CharField(max_length=512, blank=True)
    file_url = models.CharField(max_length=2048, blank=True)
    file_size = models.PositiveBigIntegerField(_("size"), default=0)
    # Unix time from Steam. It identifies the version; a cached file has it as its mtime.
    time_updated = models.PositiveBigIntegerField(_("updated"), default=0)
    preview_url = models.CharField(max_length=2048, blank=True)
    refreshed_at = models.DateTimeField(_("last refreshed"), null=True, blank=True)
    last_downloaded_at = models.DateTimeField(_("downloaded"), null=True, blank=True)
    # What the last download or the inspection of the file failed at, or what Steam said; empty after a success.
    last_error = models.TextField(_("last error"), blank=True)
    # Why Steam does not offer the item: stays until Steam says otherwise, whatever a download brings.
    steam_error = models.TextField(_("Steam error"), blank=True)
    # Steam's result code for the item (1: fine); null while Steam was not asked.
    steam_result = models.PositiveIntegerField(null=True, blank=True, editable=False)

    # The `time_updated` of the cached file; null while there is none.
    cached_version = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    # (`time_updated`, `file_size`) of the last completely downloaded file that was not a valid VPK: downloading it
    # again would give the same file.
    refused_version = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    refused_size = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    # Bytes downloaded so far, and when they were last reported.
    progress_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    progress_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Since when no overlay uses the item; null while one does.
    unused_since = models.DateTimeField(null=True, blank=True, editable=False)

    inspected_version = models.PositiveBigIntegerField(null=True, blank=True, editable=False)

    objects = WorkshopItemQuerySet.as_manager()

    class Meta:
        ordering = ["title", "steam_id"]
        indexes = [models.Index(fields=["title", "steam_id"], name="workshop_item_by_title")]

    def __str__(self) -> str:
        return self.title or str(self.steam_id)

    def get_absolute_url(self) -> str:
        return f"https://steamcommunity.com/sharedfiles/filedetails/?id={self.steam_id}"

    def state(self, now: datetime) -> State:
        """The state shown to operators; a running download comes before an earlier error."""
        if self.progress_at is not None and now - self.progress_at < _PROGRESS_IS_FRESH:
            return self.State.DOWNLOADING
        if self.last_error or self.steam_error:
            return self.State.FAILED
        if self.cached_version is None:
            return self.State.MISSING
        return self.State.CACHED if self.cached_version == self.time_updated else self.State.STALE

    @property
    def standing_error(self) -> str:
        """What remains in `last_error` after a successful download: what Steam said."""
        return f"{BY_STEAM}{self.steam_error}" if self.steam_error else ""

    @property
    def download_error(self) -> str:
        """What the last download or inspection failed at, without the words that introduce it."""
        return "" if self.last_error.startswith(BY_STEAM) else self.last_error.removeprefix(DOWNLOAD_FAILED)

    @property
    def is_refused(self) -> bool:
        """Whether the present version was downloaded completely and is not a valid VPK."""
        return (self.refused_version, self.refused_size) == (self.time_updated, self.file_size)

    @property
    def percent(self) -> int:
        return min(100, 100 * self.progress_bytes // self.file_size) if self.file_size else 0


class PackedPaths(models.Model):
    """The base of tables of paths. They are tables of their own, because every list reads the rows they belong to."""

    packed_paths = models.BinaryField()

    class Meta:
        abstract = True

    @property
    def paths(self) -> list[str]:
        return inspection.unpack_paths(bytes(self.packed_paths))


class WorkshopContents(PackedPaths):
    """The paths in an item's VPK."""

    item = models.OneToOneField(WorkshopItem, on_delete=models.CASCADE, related_name="contents", primary_key=True)

    def __str__(self) -> str:
        return f"{self.item_id}"
