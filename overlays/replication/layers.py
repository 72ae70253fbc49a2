"""The overlay directories for a start of a server. Hosts other than the web's first fetch missing content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.utils import timezone

from left4me.core.redis import signals
from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed
from overlays import paths
from overlays.models import Overlay, OverlayCopy
from overlays.replication import attempts, workshop
from overlays.replication import client as replication_client
from overlays.replication.store import Copies, Current, is_needed, overlay_ids


def trees(run: JobContext, overlays: Sequence[Overlay]) -> dict[int, Path]:
    """The directory of each overlay on this host by id, after fetching missing content.

    Raises Failed when content cannot be fetched, and Cancelled.
    """
    directories = {}
    for overlay in overlays:
        run.check()
        directories[overlay.pk] = _copy(run, overlay) if is_needed() else _own(overlay)
    return directories


def present(overlays: Sequence[Overlay]) -> dict[int, Path]:
    """The directories of those overlays that are on this host now, by id; nothing is fetched."""
    directories = {}
    for overlay in overlays:
        if not is_needed():
            directories[overlay.pk] = paths.directory(overlay)
        elif (current := (copies := Copies(overlay.pk)).current()) is not None:
            directories[overlay.pk] = copies.tree(current)
    return directories


def _own(overlay: Overlay) -> Path:
    tree = paths.directory(overlay)
    tree.mkdir(parents=True, exist_ok=True)
    return tree.resolve()


def _copy(run: JobContext, overlay: Overlay) -> Path:
    copies = Copies(overlay.pk)
    try:
        with copies.locked(run.check):
            current = copies.current()
            if current is None or not _is_up_to_date(overlay, current):
                current = _make(run, overlay, copies)
            else:
                copies.touch(current)
            _record(run, overlay, current)
            # The copy may be newer than the row that was read: record the version that the game is started with.
            overlay.content_version = current.content_version
            return copies.tree(current).resolve()
    except attempts.Unavailable as reason:
        raise Failed(
            f"The files of “{overlay.name}” could not be downloaded to this host: {reason}.", may_pass=True
        ) from reason
    except OSError as error:
        raise Failed(f"The files of “{overlay.name}” cannot be stored on this host: {error}", may_pass=True) from error


def _make(run: JobContext, overlay: Overlay, copies: Copies) -> Current:
    if overlay.kind == Overlay.Kind.WORKSHOP:
        return workshop.link(run, overlay, copies)
    return replication_client.pull(run, overlay, copies)


def _is_up_to_date(overlay: Overlay, current: Current) -> bool:
    if not current.is_whole or current.content_version != overlay.content_version:
        return False
    return overlay.kind != Overlay.Kind.WORKSHOP or workshop.is_cached(overlay)


def _record(run: JobContext, overlay: Overlay, current: Current) -> None:
    """Record the version on this host: pages show it, and a deletion of the overlay removes the copies it names."""
    values: dict[str, Any] = {"content_version": current.content_version, "is_whole": current.is_whole}
    recorded = OverlayCopy.objects.filter(overlay=overlay, host=run.host)
    if recorded.filter(**values).exists():
        return
    values["made_at"] = timezone.now()
    if not recorded.update(**values):
        OverlayCopy.objects.get_or_create(overlay=overlay, host=run.host, defaults=values)
    signals.send_after_commit(overlay.resource)


def tidy() -> int:
    """Remove copies that no start uses any more, and all copies of deleted overlays; returns how many."""
    if not is_needed():
        return 0
    existing = set(Overlay.objects.filter(pk__in=overlay_ids()).values_list("pk", flat=True))
    removed = 0
    for overlay_id in overlay_ids():
        copies = Copies(overlay_id)
        removed += copies.remove_unused() if overlay_id in existing else copies.remove()
    return removed
