"""Workshop overlays on a host other than the web's: the host downloads the items from Steam into its own cache.

The rows of the items are not changed: they describe the cache of the web's host and its last build.
"""

from __future__ import annotations

from functools import partial

from left4me.jobs.context import JobContext
from overlays import links
from overlays.models import Overlay
from overlays.replication.manifest import Entry, Manifest
from overlays.replication.store import Copies, Current
from workshop import cache, download_batch, item_download, metadata
from workshop.models import WorkshopItem


def link(run: JobContext, overlay: Overlay, copies: Copies) -> Current:
    """Make a copy with links to the items that the overlay's last build linked. Raises Cancelled and OSError.

    Servers start without an item that cannot be downloaded, as on the web's host. The failure is logged, and the next
    start tries again.
    """
    version = overlay.content_version
    items = _linked_items(overlay)
    folder = cache.directory()
    failed = _download(run, items, overlay)
    cached = cache.cached_versions(items, folder)
    for steam_id, error in failed.items():
        consequence = "using the older version" if steam_id in cached else "servers start without it"
        run.log(f"workshop {steam_id} failed, {consequence}: {error}", stream="stderr")
    # The links are absolute; the sandbox of a server mounts the cache at the same path.
    entries = [
        Entry(f"{links.ADDONS}/{item.steam_id}.vpk", link=str(item_download.cached_path(item.steam_id, folder)))
        for item in items
        if item.steam_id in cached and item.is_valid is not False
    ]
    run.log(f"“{overlay.name}”, version {version}: linked={len(entries)} failed={len(failed)}")
    return copies.publish(Manifest(version, tuple(entries)), is_whole=not failed)


def is_cached(overlay: Overlay) -> bool:
    """Whether this host's cache contains all items that the overlay links, in their present versions."""
    folder = cache.directory()
    return all(
        not item.file_url or item_download.is_cached(cache.published_file(item), folder)
        for item in _linked_items(overlay)
    )


def _linked_items(overlay: Overlay) -> list[WorkshopItem]:
    return [link.item for link in overlay.workshop_links.exclude(linked_version=None).select_related("item")]


def _download(run: JobContext, items: list[WorkshopItem], overlay: Overlay) -> dict[int, str]:
    """Download missing and outdated items; returns the reason for each item that could not be downloaded."""
    folder = cache.directory()
    missing = [
        item for item in items if item.file_url and not item_download.is_cached(cache.published_file(item), folder)
    ]
    failed = {item.steam_id: "Steam gives no download address" for item in items if not item.file_url}
    if not missing:
        return failed
    total, done = sum(item.file_size for item in missing), dict.fromkeys((item.steam_id for item in missing), 0)

    def advance(file: item_download.PublishedFile, arrived: int) -> None:
        done[file.steam_id] = arrived
        run.progress(phase=f"downloading “{overlay.name}”", done=sum(done.values()), total=total, unit="bytes")

    for result in download_batch.download_all(
        [cache.published_file(item) for item in missing],
        folder,
        hosts=metadata.content_hosts(),
        log=partial(run.log, stream="stderr"),
        started=lambda file: run.log(f"workshop {file.steam_id} downloading"),
        progress=advance,
        cancelled=run.cancelled,
    ):
        if result.error:
            failed[result.file.steam_id] = result.error
        elif result.fetched:
            run.log(f"workshop {result.file.steam_id} downloaded, {result.file.size} bytes")
    return failed
