"""The shared cache on this host, and the rows that say what it holds."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError

from workshop import inspection, item_download, missions
from workshop.item_download import Wanted
from workshop.models import WorkshopContents, WorkshopItem

_ROWS_AT_ONCE = 500


def directory() -> Path:
    """Where this host keeps published files; made when it is missing."""
    path = Path(settings.LEFT4ME_ROOT) / "workshop_cache"
    path.mkdir(parents=True, exist_ok=True)
    return path


def game_directory() -> Path:
    return Path(settings.LEFT4ME_ROOT) / "game"


def wanted(item: WorkshopItem) -> Wanted:
    return Wanted(item.steam_id, item.file_url, item.file_size, item.time_updated)


def held_versions(items: Iterable[WorkshopItem], cache: Path) -> dict[int, int]:
    """The version of each item whose whole file lies in the cache, by Steam id; one look per file."""
    held = {}
    for item in items:
        try:
            found = item_download.cached_path(item.steam_id, cache).lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode):
            held[item.steam_id] = int(found.st_mtime)
    return held


def note_progress(item: WorkshopItem, *, done: int, now: datetime) -> None:
    WorkshopItem.objects.filter(pk=item.pk).update(progress_bytes=done, progress_at=now)


def note_refusal(item: WorkshopItem, *, error: str) -> None:
    """The version that the row names came whole and is of no use: it is not fetched again."""
    note_failure(item, error=error)
    item.refused_version, item.refused_size = item.time_updated, item.file_size
    WorkshopItem.objects.filter(pk=item.pk).update(refused_version=item.time_updated, refused_size=item.file_size)


def note_failure(item: WorkshopItem, *, error: str) -> None:
    item.last_error = error
    WorkshopItem.objects.filter(pk=item.pk).update(last_error=error, progress_at=None, progress_bytes=0)


def note_download(item: WorkshopItem, *, now: datetime) -> None:
    """The version that the row names has arrived."""
    item.last_downloaded_at, item.last_error, item.cached_version = now, "", item.time_updated
    WorkshopItem.objects.filter(pk=item.pk).update(
        last_downloaded_at=now,
        last_error="",
        cached_version=item.time_updated,
        progress_at=None,
        progress_bytes=0,
    )


def note_held(items: Sequence[WorkshopItem], held: dict[int, int]) -> None:
    """Bring the rows in line with what lies in the cache, also after files were removed by hand."""
    wrong = []
    for item in items:
        version = held.get(item.steam_id)
        is_current = version is not None and version == item.time_updated
        if item.cached_version != version or (is_current and item.last_error):
            item.cached_version = version
            item.last_error = "" if is_current else item.last_error
            wrong.append(item)
    WorkshopItem.objects.bulk_update(wrong, ["cached_version", "last_error"], batch_size=_ROWS_AT_ONCE)


def inspect(item: WorkshopItem, cache: Path, *, version: int, stock: frozenset[str]) -> inspection.Inspection:
    """Look into the cached file and keep what it holds."""
    found = inspection.inspect(item_download.cached_path(item.steam_id, cache), stock=stock)
    item.is_valid = found.valid
    item.inspected_version = version
    item.author = found.author
    data = found.as_json()
    item.campaigns = data["campaigns"]
    item.chapters = _chapters(found.campaigns)
    item.warnings = data["warnings"]
    if not found.valid:
        item.last_error = f"The file {found.reason}."
    with transaction.atomic():
        item.save(
            update_fields=[
                "is_valid",
                "inspected_version",
                "author",
                "campaigns",
                "chapters",
                "warnings",
                "last_error",
            ]
        )
        packed = inspection.pack_paths(found.paths)
        WorkshopContents.objects.update_or_create(item=item, defaults={"packed_paths": packed})
    return found


def _chapters(campaigns: Sequence[missions.Campaign]) -> list[dict[str, object]]:
    """Every map once, with the modes it is played in."""
    by_map: dict[str, dict[str, object]] = {}
    modes: dict[str, list[str]] = {}
    for campaign in campaigns:
        for mode, chapters in campaign.modes.items():
            for chapter in chapters:
                by_map.setdefault(
                    chapter.map, {"map": chapter.map, "title": chapter.title, "campaign": campaign.title}
                )
                modes.setdefault(chapter.map, []).append(mode)
    return [{**entry, "modes": modes[name]} for name, entry in by_map.items()]


@dataclass(frozen=True)
class Usage:
    files: int
    size: int
    free: int


def usage(cache: Path) -> Usage:
    """What the cache takes on the disk, partial files included."""
    sizes = [entry.stat(follow_symlinks=False).st_size for entry in os.scandir(cache) if entry.is_file()]
    return Usage(len(sizes), sum(sizes), shutil.disk_usage(cache).free)


def remove(item: WorkshopItem, cache: Path) -> int | None:
    """Delete an item's row and files; returns the bytes freed, or None when an overlay holds it after all."""
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
