"""What a start asks: is each layer here, in the version that its row names? On the web's own host it always is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.utils import timezone

from left4me.jobs import registry
from overlays import paths
from overlays.models import Overlay, OverlayCopy
from overlays.replication import client as replication_client
from overlays.replication import items
from overlays.replication.store import Copies, Current, held, is_needed


def trees(run: registry.Run, overlays: Sequence[Overlay]) -> dict[int, Path]:
    """Where each overlay's content stands on this host, after fetching what is missing of it.

    Raises registry.Failed with what cannot be had, and registry.Cancelled.
    """
    found = {}
    for overlay in overlays:
        run.check()
        found[overlay.pk] = _copy(run, overlay) if is_needed() else _own(overlay)
    return found


def _own(overlay: Overlay) -> Path:
    tree = paths.directory(overlay)
    tree.mkdir(parents=True, exist_ok=True)
    return tree.resolve()


def _copy(run: registry.Run, overlay: Overlay) -> Path:
    copies = Copies(overlay.pk)
    try:
        with copies.alone(run.check):
            current = copies.current()
            if current is None or not _is_right(overlay, current):
                current = _make(run, overlay, copies)
            else:
                copies.touch(current)
            _note(run, overlay, current)
            # It may be newer than the row was when it was read: what counts is what the game is started with.
            overlay.content_version = current.content_version
            return copies.tree(current).resolve()
    except replication_client.Unavailable as reason:
        raise registry.Failed(f"The content of “{overlay.name}” is not on this host: {reason}.") from reason
    except OSError as error:
        raise registry.Failed(f"The content of “{overlay.name}” cannot be kept on this host: {error}") from error


def _make(run: registry.Run, overlay: Overlay, copies: Copies) -> Current:
    if overlay.kind == Overlay.Kind.WORKSHOP:
        return items.link(run, overlay, copies)
    return replication_client.pull(run, overlay, copies)


def _is_right(overlay: Overlay, current: Current) -> bool:
    if not current.is_whole or current.content_version != overlay.content_version:
        return False
    return overlay.kind != Overlay.Kind.WORKSHOP or items.is_cached(overlay)


def _note(run: registry.Run, overlay: Overlay, current: Current) -> None:
    """Keep which version this host holds: pages show it, and who deletes the overlay knows where copies are."""
    values = {"content_version": current.content_version, "is_whole": current.is_whole}
    known = OverlayCopy.objects.filter(overlay=overlay, host=run.host)
    if known.filter(**values).exists() or known.update(**values, made_at=timezone.now()):
        return
    OverlayCopy.objects.get_or_create(overlay=overlay, host=run.host, defaults={**values, "made_at": timezone.now()})


def tidy() -> int:
    """Remove copies that no start takes any more, and all of overlays that are gone; returns how many."""
    if not is_needed():
        return 0
    there = set(Overlay.objects.filter(pk__in=held()).values_list("pk", flat=True))
    removed = 0
    for number in held():
        copies = Copies(number)
        removed += copies.remove_unused() if number in there else copies.remove()
    return removed
