"""Workshop overlays on a host beside the web's own: the host downloads from Steam into its own cache.

Nothing is written about the items: their rows tell what the web's host holds, and what its last build found in them.
"""

from __future__ import annotations

from left4me.core.net import fetch
from left4me.jobs import registry
from overlays.builders import links
from overlays.models import Overlay
from overlays.replication.manifest import Entry, Manifest
from overlays.replication.store import Copies, Current
from workshop import cache, item_download, item_downloads, metadata
from workshop.models import WorkshopItem


def link(run: registry.Run, overlay: Overlay, copies: Copies) -> Current:
    """Make the copy that links what the overlay's last build linked. Raises registry.Cancelled and OSError.

    An item that cannot be had keeps no server from starting, just as on the web's host; it is said, and tried again
    at the next start.
    """
    version = overlay.content_version
    items = [each.item for each in overlay.workshop_links.exclude(linked_version=None).select_related("item")]
    folder = cache.directory()
    failed = _download(run, items, overlay)
    held = cache.held_versions(items, folder)
    for steam_id, error in failed.items():
        words = "an older version is used" if steam_id in held else "servers start without it"
        run.log(f"workshop {steam_id} failed, {words}: {error}", stream="stderr")
    # Links are absolute and lead to the cache, which a server's sandbox shows at the same place.
    entries = [
        Entry(f"{links.ADDONS}/{item.steam_id}.vpk", link=str(item_download.cached_path(item.steam_id, folder)))
        for item in items
        if item.steam_id in held and item.is_valid is not False
    ]
    run.log(f"“{overlay.name}”, version {version}: linked={len(entries)} failed={len(failed)}")
    return copies.publish(Manifest(version, tuple(entries)), is_whole=not failed)


def is_cached(overlay: Overlay) -> bool:
    """Whether this host's cache still holds, in the right version, all that the overlay links."""
    items = [each.item for each in overlay.workshop_links.exclude(linked_version=None).select_related("item")]
    folder = cache.directory()
    return all(not item.file_url or item_download.is_cached(cache.wanted(item), folder) for item in items)


def _download(run: registry.Run, items: list[WorkshopItem], overlay: Overlay) -> dict[int, str]:
    """Fetch what is missing or stale; returns what could not be had, with the reason."""
    folder = cache.directory()
    missing = [item for item in items if item.file_url and not item_download.is_cached(cache.wanted(item), folder)]
    failed = {item.steam_id: "Steam gives no download address" for item in items if not item.file_url}
    if not missing:
        return failed
    total, done = sum(item.file_size for item in missing), dict.fromkeys((item.steam_id for item in missing), 0)

    def advance(wanted: item_download.Wanted, arrived: int) -> None:
        done[wanted.steam_id] = arrived
        run.progress(phase=f"downloading “{overlay.name}”", done=sum(done.values()), total=total, unit="bytes")

    try:
        for result in item_downloads.download_all(
            [cache.wanted(item) for item in missing],
            folder,
            hosts=metadata.content_hosts(),
            log=run.log,
            progress=advance,
            cancelled=run.cancelled,
        ):
            if result.error:
                failed[result.wanted.steam_id] = result.error
            elif result.fetched:
                run.log(f"workshop {result.wanted.steam_id} downloaded, {result.wanted.size} bytes")
    except fetch.Cancelled:
        run.check()
        raise registry.Cancelled from None
    return failed
