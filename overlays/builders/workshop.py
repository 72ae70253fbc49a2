"""Builds a workshop overlay: downloads missing and outdated items, inspects them, and links the valid ones."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from django.utils import timezone

from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays import links, paths
from overlays.models import Overlay, OverlayWorkshopItem
from workshop import cache, download_batch, inspection, item_download, metadata
from workshop.item_download import PublishedFile
from workshop.models import WorkshopItem

_PROGRESS_SECONDS = 2.0
_FAILURES_NAMED = 20
_UNTIL = "left4me tries again when Steam has a new version, or after “Refresh from Steam”"


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


def build(run: JobContext, overlay: Overlay) -> bool:
    """Make the overlay's directory match its rows; returns whether its content changed.

    Valid items are linked even if others fail. Then raises Failed with the list of failures.
    """
    item_links = list(overlay.workshop_links.select_related("item"))
    items = [link.item for link in item_links]
    folder = cache.directory()
    tally = _Tally()
    _download(run, items, folder, tally)
    # The cache decides from here on: an item whose download failed may still have an older file.
    cached = cache.cached_versions(items, folder)
    cache.record_cached_versions(items, cached)
    _inspect(run, items, cached, folder, tally)
    linked = {item.steam_id: cached[item.steam_id] for item in items if item.steam_id in cached and item.is_valid}
    targets = {f"{steam_id}.vpk": str(item_download.cached_path(steam_id, folder)) for steam_id in linked}
    counts = links.reconcile(paths.directory(overlay), targets=targets, cache=folder)
    # A link may stay the same while the file behind it was replaced by a new version.
    versions_changed = _record_links(item_links, linked)
    _record_size(overlay, items, linked)
    run.log(tally.line(counts))
    changed = versions_changed or bool(counts.created or counts.removed)
    if changed:
        overlay.record_change(now=timezone.now())
    elif not overlay.is_inspected:
        overlay.is_inspected = True
        overlay.save(update_fields=["is_inspected"])
    if tally.failed:
        raise Failed(_failure(tally.failed, items))
    return changed


def _download(run: JobContext, items: list[WorkshopItem], folder: Path, tally: _Tally) -> None:
    missing: dict[int, WorkshopItem] = {}
    for item in items:
        if not item.file_url:
            tally.skipped += 1
            run.log(f"workshop {item.steam_id} skipped: {_why_skipped(item)}", stream="stderr")
        elif item_download.is_cached(cache.published_file(item), folder):
            tally.cached += 1
        elif item.is_refused:
            _skip_refused(run, item, tally)
        else:
            missing[item.steam_id] = item
    if not missing:
        return
    total = sum(item.file_size for item in missing.values())
    progress = _Progress(run, missing, total)
    for result in download_batch.download_all(
        [cache.published_file(item) for item in missing.values()],
        folder,
        hosts=metadata.content_hosts(),
        log=partial(run.log, stream="stderr"),
        started=lambda file: run.log(f"workshop {file.steam_id} downloading"),
        progress=progress.advance,
        cancelled=run.cancelled,
    ):
        _settle(run, missing[result.file.steam_id], result, tally)


def _why_skipped(item: WorkshopItem) -> str:
    """Why an item cannot be downloaded, with Steam's result for it."""
    if item.steam_result is None:
        return f"no data from Steam about “{item}” yet; refresh the overlay from Steam"
    words = f": {item.steam_error}" if item.steam_error else ""
    return f"Steam gives no download address for “{item}” (result {item.steam_result}{words})"


def _skip_refused(run: JobContext, item: WorkshopItem, tally: _Tally) -> None:
    """Do not download an invalid file again at every build: the present version would be the same."""
    if not item.download_error:
        cache.record_failure(item, error="the file is not a valid VPK")
    tally.failed[item.steam_id] = item.download_error
    run.log(f"workshop {item.steam_id} not downloaded again: {item.download_error}; {_UNTIL}", stream="stderr")


def _settle(run: JobContext, item: WorkshopItem, result: download_batch.DownloadResult, tally: _Tally) -> None:
    if result.error:
        tally.failed[item.steam_id] = result.error
        record = cache.record_refusal if result.is_invalid else cache.record_failure
        record(item, error=result.error)
        run.log(f"workshop {item.steam_id} failed: {result.error}", stream="stderr")
        return
    cache.record_download(item, now=timezone.now())
    if result.fetched:
        tally.downloaded += 1
        run.log(f"workshop {item.steam_id} downloaded “{item}”, {item.file_size} bytes")
    else:
        tally.cached += 1


class _Progress:
    """Reports the bytes of all downloads to the job, and the bytes of each item to its row every two seconds."""

    def __init__(self, run: JobContext, items: dict[int, WorkshopItem], total: int) -> None:
        self._run = run
        self._items = items
        self._total = total
        self._done: dict[int, int] = {}
        self._recorded_at: dict[int, float] = {}

    def advance(self, file: PublishedFile, done: int) -> None:
        self._done[file.steam_id] = done
        self._run.progress(phase="download", done=sum(self._done.values()), total=self._total, unit="bytes")
        now = time.monotonic()
        if now - self._recorded_at.get(file.steam_id, 0.0) >= _PROGRESS_SECONDS:
            self._recorded_at[file.steam_id] = now
            cache.record_progress(self._items[file.steam_id], done=done, now=timezone.now())


def _inspect(run: JobContext, items: list[WorkshopItem], cached: dict[int, int], folder: Path, tally: _Tally) -> None:
    """Inspect the cached files whose present version was not inspected before."""
    new = [item for item in items if item.steam_id in cached and item.inspected_version != cached[item.steam_id]]
    stock = inspection.stock_paths(cache.game_directory()) if new else frozenset()
    for count, item in enumerate(new, start=1):
        run.check()
        run.progress(phase="inspect", done=count, total=len(new), unit="items")
        cache.inspect(item, folder, version=cached[item.steam_id], stock=stock)
    for item in items:
        if item.steam_id in cached and not item.is_valid:
            tally.failed.setdefault(item.steam_id, item.download_error or "the file is not a valid VPK")
            run.log(f"workshop {item.steam_id} not linked: {tally.failed[item.steam_id]}", stream="stderr")


def _record_links(item_links: list[OverlayWorkshopItem], linked: dict[int, int]) -> bool:
    """Record the linked version of each item; returns whether any changed."""
    changed = [link for link in item_links if link.linked_version != linked.get(link.item.steam_id)]
    for link in changed:
        link.linked_version = linked.get(link.item.steam_id)
    OverlayWorkshopItem.objects.bulk_update(changed, ["linked_version"], batch_size=500)
    return bool(changed)


def _record_size(overlay: Overlay, items: list[WorkshopItem], linked: dict[int, int]) -> None:
    size = sum(item.file_size for item in items if item.steam_id in linked)
    if (overlay.size_bytes, overlay.file_count) != (size, len(linked)) or overlay.built_at is None:
        overlay.size_bytes, overlay.file_count = size, len(linked)
        overlay.built_at = overlay.built_at or timezone.now()
        overlay.save(update_fields=["size_bytes", "file_count", "built_at"])


def _failure(failed: dict[int, str], items: list[WorkshopItem]) -> str:
    titles = {item.steam_id: str(item) for item in items}
    named = [f"{steam_id} “{titles[steam_id]}”: {error}" for steam_id, error in list(failed.items())[:_FAILURES_NAMED]]
    more = len(failed) - len(named)
    head = f"{len(failed)} of {len(items)} items failed; the others are ready."
    return "\n".join([head, *named, *([f"… and {more} more"] if more else [])])
