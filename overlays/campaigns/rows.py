"""Keeps the addon rows of a files or script overlay in step with its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.db import transaction

from left4me.core.files.tree import Tree
from left4me.jobs.context import JobContext
from overlays import contents, paths
from overlays.campaigns.finder import Addon, Finder, Key, Stamp, key
from overlays.models import AddonContents, Overlay, OverlayAddon
from workshop import cache, inspection

_INSPECTED = (*OverlayAddon.INSPECTED, "reason", "title", "version", "website")


def inspect(
    overlay: Overlay, finder: Finder, *, tree: Tree, check: Callable[[], None], game: Path | None = None
) -> list[Addon]:
    """Inspect what `finder` collected in `tree`; unchanged VPKs of the overlay are not read again."""
    # What made a VPK invalid may be the lack of another file.
    known = {_key(row) for row in overlay.addons.filter(is_valid=True)}
    return finder.inspect(tree, known=known, game=game or cache.game_directory(), check=check)


@transaction.atomic
def record(overlay: Overlay, addons: list[Addon]) -> list[OverlayAddon]:
    """Make the rows match the addons found. A file that was renamed keeps its row, and so its link."""
    by_path = {row.path: row for row in overlay.addons.select_for_update(of=("self",))}
    by_key = {_key(row): {name: getattr(row, name) for name in _INSPECTED} for row in by_path.values()}
    paths_found = {addon.path for addon in addons}
    vanished = {_key(row): row for path, row in by_path.items() if path not in paths_found}
    kept = []
    for addon in addons:
        row = by_path.get(addon.path) or vanished.pop(addon.key, None) or OverlayAddon(overlay=overlay)
        kept.append((row, _take(row, addon, same=by_key.get(addon.key, {}))))
    overlay.addons.exclude(pk__in=[row.pk for row, _changed in kept if row.pk]).delete()
    for (row, is_changed), addon in zip(kept, addons, strict=True):
        if is_changed:
            row.save()
        _record_contents(row, addon)
    return [row for row, _changed in kept]


def _record_contents(row: OverlayAddon, addon: Addon) -> None:
    """Store the paths in a VPK, by which stacks of overlays are compared."""
    if addon.inspection is not None and addon.inspection.paths:
        packed = inspection.pack_paths(addon.inspection.paths)
        AddonContents.objects.update_or_create(addon=row, defaults={"packed_paths": packed})


def broken(addons: list[OverlayAddon]) -> list[str]:
    """The VPKs that the game cannot open, each with the reason."""
    return [f"{row.path} {row.reason}" for row in addons if not row.is_valid]


def log(run: JobContext, addons: list[OverlayAddon]) -> None:
    """Name the campaigns found in the job's log, and the VPKs that lie where the game does not look."""
    for row in addons:
        if row.campaigns:
            titles = ", ".join(f"“{campaign['title']}”" for campaign in row.campaigns)
            run.log(f"{row.path}: {titles}, {len(row.chapters)} maps")
        if any(warning["code"] == "not_loaded" for warning in row.warnings):
            run.log(f"{row.path} is not in left4dead2/addons, so the game does not load it", stream="stderr")


def look(overlay: Overlay, check: Callable[[], None]) -> list[OverlayAddon]:
    """Inspect an overlay that was built before campaigns were recorded, without building it again."""
    finder, listing = Finder(), contents.Listing()
    with Tree(paths.directory(overlay)) as tree:
        for where, node in tree.walk():
            check()
            finder.take(where, node)
            listing.take(where, node)
        contents.record(overlay, listing, tree=tree)
        found = inspect(overlay, finder, tree=tree, check=check)
    rows = record(overlay, found)
    Overlay.objects.filter(pk=overlay.pk).update(is_inspected=True)
    return rows


def _key(row: OverlayAddon) -> Key:
    return key(row.path, Stamp(row.size, row.modified_us))


def _take(row: OverlayAddon, addon: Addon, *, same: Mapping[str, Any]) -> bool:
    """Set the fields of `row`, to those of the `same` content if it was not inspected again; False if unchanged."""
    now = (addon.path, addon.stamp.size, addon.stamp.modified_us)
    is_changed = addon.inspection is not None or (row.path, row.size, row.modified_us) != now
    if addon.inspection is not None:
        row.take(addon.inspection)
    else:
        for name, value in same.items():
            setattr(row, name, value)
    row.path, row.size, row.modified_us = now
    return is_changed
