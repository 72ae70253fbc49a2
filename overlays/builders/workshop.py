"""Builds a workshop overlay: downloads what is missing or stale, looks into it, links what the game can open."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.utils import timezone

from left4me.core.net import fetch
from left4me.jobs import registry
from overlays import paths
from overlays.builders import links
from overlays.models import Overlay, OverlayWorkshopItem
from workshop import cache, inspection, item_download, item_downloads, metadata
from workshop.item_download import Wanted
from workshop.models import WorkshopItem

_PROGRESS_SECONDS = 2.0
_FAILURES_NAMED = 20
_UNTIL = "the next try is when Steam has a new version, or after “Refresh from Steam”"


@dataclass
class _Tally:
    downloaded: int = 0
    cached: int = 0
    skipped: int = 0
    failed: dict[int, str] = field(default_factory=dict)

    def line(self, counts: links.Counts) -> str:
        return (
            f"downloaded={self.downloaded} cached={self.cached} skipped={self.skipped} "
            f"created={counts.created} removed={counts.removed} unchanged={counts.unchanged}"
        )


def build(run: registry.Run, overlay: Overlay) -> bool:
    """Make the overlay's directory match its rows; returns whether its content changed.

    Every item that works is served even when others fail; then this raises Failed with the list of those.
    """
    held_links = list(overlay.workshop_links.select_related("item"))
    items = [link.item for link in held_links]
    folder = cache.directory()
    tally = _Tally()
    _download(run, items, folder, tally)
    held = cache.held_versions(items, folder)
    cache.note_held(items, held)
    _inspect(run, items, held, folder, tally)
    linked = {item.steam_id: held[item.steam_id] for item in items if item.steam_id in held and item.is_valid}
    targets = {f"{steam_id}.vpk": str(item_download.cached_path(steam_id, folder)) for steam_id in linked}
    counts = links.reconcile(paths.directory(overlay), targets=targets, cache=folder)
    versions_changed = _note_links(held_links, linked)
    _note_size(overlay, items, linked)
    run.log(tally.line(counts))
    changed = versions_changed or bool(counts.created or counts.removed)
    if changed:
        publish(overlay, now=timezone.now())
    if tally.failed:
        raise registry.Failed(_failure(tally.failed, items))
    return changed


def publish(overlay: Overlay, *, now: datetime) -> None:
    """Say that the overlay holds something new: servers that run it show that a restart applies it."""
    overlay.content_version += 1
    overlay.built_at = now
    overlay.save(update_fields=["content_version", "built_at"])


def _download(run: registry.Run, items: list[WorkshopItem], folder: Path, tally: _Tally) -> None:
    missing: dict[int, WorkshopItem] = {}
    for item in items:
        if not item.file_url:
            tally.skipped += 1
            run.log(f"workshop {item.steam_id} skipped: Steam gives no download address for “{item}”")
        elif item_download.is_cached(cache.wanted(item), folder):
            tally.cached += 1
        elif item.is_refused:
            _leave_refused(run, item, tally)
        else:
            missing[item.steam_id] = item
    if not missing:
        return
    total = sum(item.file_size for item in missing.values())
    progress = _Progress(run, missing, total)
    try:
        for result in item_downloads.download_all(
            [cache.wanted(item) for item in missing.values()],
            folder,
            hosts=metadata.content_hosts(),
            log=run.log,
            progress=progress.advance,
            cancelled=run.cancelled,
        ):
            _settle(run, missing[result.wanted.steam_id], result, tally)
    except fetch.Cancelled:
        run.check()
        raise registry.Cancelled from None


def _leave_refused(run: registry.Run, item: WorkshopItem, tally: _Tally) -> None:
    """What came whole and was no VPK would come so again: gigabytes at each build, for nothing."""
    if not item.last_error:
        cache.note_failure(item, error="the file is not a valid VPK")
    tally.failed[item.steam_id] = item.last_error
    run.log(f"workshop {item.steam_id} not fetched again: {item.last_error}; {_UNTIL}", stream="stderr")


def _settle(run: registry.Run, item: WorkshopItem, result: item_downloads.Result, tally: _Tally) -> None:
    if result.error:
        tally.failed[item.steam_id] = result.error
        note = cache.note_refusal if result.is_refused else cache.note_failure
        note(item, error=result.error)
        run.log(f"workshop {item.steam_id} failed: {result.error}", stream="stderr")
        return
    cache.note_download(item, now=timezone.now())
    if result.fetched:
        tally.downloaded += 1
        run.log(f"workshop {item.steam_id} downloaded “{item}”, {item.file_size} bytes")
    else:
        tally.cached += 1


class _Progress:
    """Bytes of all downloads for the job, and of each for its item's row, a few times a minute."""

    def __init__(self, run: registry.Run, items: dict[int, WorkshopItem], total: int) -> None:
        self._run = run
        self._items = items
        self._total = total
        self._done: dict[int, int] = {}
        self._told: dict[int, float] = {}

    def advance(self, wanted: Wanted, done: int) -> None:
        self._done[wanted.steam_id] = done
        self._run.progress(phase="download", done=sum(self._done.values()), total=self._total, unit="bytes")
        now = time.monotonic()
        if now - self._told.get(wanted.steam_id, 0.0) >= _PROGRESS_SECONDS:
            self._told[wanted.steam_id] = now
            cache.note_progress(self._items[wanted.steam_id], done=done, now=timezone.now())


def _inspect(run: registry.Run, items: list[WorkshopItem], held: dict[int, int], folder: Path, tally: _Tally) -> None:
    """Look into the files whose present version nobody has looked into yet."""
    fresh = [item for item in items if item.steam_id in held and item.inspected_version != held[item.steam_id]]
    stock = inspection.stock_paths(cache.game_directory()) if fresh else frozenset()
    for count, item in enumerate(fresh, start=1):
        run.check()
        run.progress(phase="inspect", done=count, total=len(fresh), unit="items")
        cache.inspect(item, folder, version=held[item.steam_id], stock=stock)
    for item in items:
        if item.steam_id in held and not item.is_valid:
            tally.failed.setdefault(item.steam_id, item.last_error or "The file is not a valid VPK.")
            run.log(f"workshop {item.steam_id} not linked: {tally.failed[item.steam_id]}", stream="stderr")


def _note_links(held_links: list[OverlayWorkshopItem], linked: dict[int, int]) -> bool:
    changed = [link for link in held_links if link.linked_version != linked.get(link.item.steam_id)]
    for link in changed:
        link.linked_version = linked.get(link.item.steam_id)
    OverlayWorkshopItem.objects.bulk_update(changed, ["linked_version"], batch_size=500)
    return bool(changed)


def _note_size(overlay: Overlay, items: list[WorkshopItem], linked: dict[int, int]) -> None:
    size = sum(item.file_size for item in items if item.steam_id in linked)
    if (overlay.size_bytes, overlay.file_count) != (size, len(linked)) or overlay.built_at is None:
        overlay.size_bytes, overlay.file_count = size, len(linked)
        overlay.built_at = overlay.built_at or timezone.now()
        overlay.save(update_fields=["size_bytes", "file_count", "built_at"])


def _failure(failed: dict[int, str], items: list[WorkshopItem]) -> str:
    titles = {item.steam_id: str(item) for item in items}
    named = [f"{steam_id} “{titles[steam_id]}”: {error}" for steam_id, error in list(failed.items())[:_FAILURES_NAMED]]
    more = len(failed) - len(named)
    head = f"{len(failed)} of {len(items)} items failed; the others are in place."
    return "\n".join([head, *named, *([f"… and {more} more"] if more else [])])
