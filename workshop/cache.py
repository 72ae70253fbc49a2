"""The cache of workshop files on this host, and the rows that describe its content."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError

from left4me.core.files import room
from workshop import inspection, item_download
from workshop.item_download import PublishedFile
from workshop.models import DOWNLOAD_FAILED, WorkshopContents, WorkshopItem

_ROWS_AT_ONCE = 500


def directory() -> Path:
    """The directory of cached workshop files; created if missing."""
    path = Path(settings.LEFT4ME_ROOT) / "workshop_cache"
    path.mkdir(parents=True, exist_ok=True)
    return path


def game_directory() -> Path:
    """The installed game that the next start uses; missing before the first install."""
    return Path(settings.LEFT4ME_ROOT) / "game" / "current"


def published_file(item: WorkshopItem) -> PublishedFile:
    return PublishedFile(item.steam_id, item.file_url, item.file_size, item.time_updated)


def cached_versions(items: Iterable[WorkshopItem], cache: Path) -> dict[int, int]:
    """The version of each item whose complete file is in the cache, by Steam id; one `lstat` per file."""
    versions = {}
    for item in items:
        try:
            status = item_download.cached_path(item.steam_id, cache).lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            versions[item.steam_id] = int(status.st_mtime)
    return versions


def record_progress(item: WorkshopItem, *, done: int, now: datetime) -> None:
    WorkshopItem.objects.filter(pk=item.pk).update(progress_bytes=done, progress_at=now)


def record_refusal(item: WorkshopItem, *, error: str) -> None:
    """The item's present version was downloaded completely and is unusable: do not download it again."""
    record_failure(item, error=error)
    item.refused_version, item.refused_size = item.time_updated, item.file_size
    WorkshopItem.objects.filter(pk=item.pk).update(refused_version=item.time_updated, refused_size=item.file_size)


def record_failure(item: WorkshopItem, *, error: str) -> None:
    item.last_error = f"{DOWNLOAD_FAILED}{error}"
    WorkshopItem.objects.filter(pk=item.pk).update(last_error=item.last_error, progress_at=None, progress_bytes=0)


def record_download(item: WorkshopItem, *, now: datetime) -> None:
    """The item's present version is in the cache. What Steam said about the item stays."""
    item.last_downloaded_at, item.last_error, item.cached_version = now, item.standing_error, item.time_updated
    WorkshopItem.objects.filter(pk=item.pk).update(
        last_downloaded_at=now,
        last_error=item.last_error,
        cached_version=item.time_updated,
        progress_at=None,
        progress_bytes=0,
    )


def record_cached_versions(items: Sequence[WorkshopItem], versions: dict[int, int]) -> None:
    """Make the rows match the cache (`versions` by Steam id), also after files were deleted by hand."""
    changed = []
    for item in items:
        version = versions.get(item.steam_id)
        is_current = version is not None and version == item.time_updated
        error = item.standing_error if is_current else item.last_error
        if item.cached_version != version or item.last_error != error:
            item.cached_version = version
            item.last_error = error
            changed.append(item)
    WorkshopItem.objects.bulk_update(changed, ["cached_version", "last_error"], batch_size=_ROWS_AT_ONCE)


def inspect(item: WorkshopItem, cache: Path, *, version: int, stock: frozenset[str]) -> inspection.Inspection:
    """Inspect the cached file and store the result in the item's rows."""
    result = inspection.inspect(item_download.cached_path(item.steam_id, cache), stock=stock, game=game_directory())
    item.inspected_version = version
    item.take(result)
    if not result.valid:
        item.last_error = f"{DOWNLOAD_FAILED}the file {result.reason}"
    with transaction.atomic():
        item.save(
            update_fields=[
                *item.INSPECTED,
                "inspected_version",
                "last_error",
            ]
        )
        packed = inspection.pack_paths(result.paths)
        WorkshopContents.objects.update_or_create(item=item, defaults={"packed_paths": packed})
    return result


@dataclass(frozen=True)
class CacheUsage:
    files: int
    size: int
    free: int


def usage(cache: Path) -> CacheUsage:
    """The disk space used by the cache, including partial files, and the free space of its file system."""
    sizes = [entry.stat(follow_symlinks=False).st_size for entry in os.scandir(cache) if entry.is_file()]
    return CacheUsage(len(sizes), sum(sizes), room.free(cache))


def remove(item: WorkshopItem, cache: Path) -> int | None:
    """Delete an item's row and files. Returns the bytes freed, or None if an overlay uses the item."""
    steam_id = item.steam_id
    try:
        item.delete()
    except ProtectedError:
        return None
    freed = 0
    for path in (item_download.cached_path(steam_id, cache), *cache.glob(f".{steam_id}-*.part")):
        with contextlib.suppress(FileNotFoundError):
            freed += path.lstat().st_size
            path.unlink()
    return freed
