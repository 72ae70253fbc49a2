"""Files that several layers of a stack bring: which one the game reads, and which have no effect.

Everything is compared by what builds recorded: no file is read for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from django.utils.translation import gettext as _

from overlays.models import Overlay, OverlayAddon, OverlayContents, OverlayWorkshopItem
from workshop import inspection
from workshop.models import WorkshopContents

LIMIT: Final = 500
_GAME: Final = "left4dead2/"


class Group(NamedTuple):
    """The files for which `winner` wins over `losers`, the higher first."""

    winner: str
    losers: tuple[str, ...]
    paths: list[str]


@dataclass(frozen=True)
class Conflicts:
    """Conflicts grouped by the layers involved; `is_cut` when there are more than are shown."""

    groups: list[Group]
    # Names of one file that differ in letter case only, each as (layer, path), the higher layer first.
    letter_case: list[list[tuple[str, str]]] = field(default_factory=list)
    is_cut: bool = False

    def __bool__(self) -> bool:
        return bool(self.groups or self.letter_case)


@dataclass
class _Names:
    """The owners of one path, by its exact spelling; the higher layer first."""

    by_spelling: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, label: str) -> None:
        owners = self.by_spelling.setdefault(path, [])
        if label not in owners:
            owners.append(label)


def between(overlays: Sequence[Overlay]) -> Conflicts:
    """Compare the files of `overlays`, the highest first, and of the game below them."""
    files = _loose_files(overlays)
    addons = list(_addons(overlays, lambda path: files.get(path.lower())))
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    letter_case = []
    for names in files.values():
        if len(names.by_spelling) > 1:
            letter_case.append([(label, path) for path, owners in names.by_spelling.items() for label in owners])
        for path, owners in names.by_spelling.items():
            if len(owners) > 1:
                groups[owners[0], tuple(owners[1:])].append(path)
    for conflict in inspection.conflicts(addons, limit=LIMIT + 1):
        groups[conflict.winner, conflict.losers].append(conflict.path)
    for label, path, losers in _over_loose_files(addons, files):
        groups[label, losers].append(path)
    return _cut([Group(*key, sorted(paths)) for key, paths in groups.items()], letter_case)


def _loose_files(overlays: Sequence[Overlay]) -> dict[str, _Names]:
    """Who has a file at each path, by the path in lower case."""
    contents = OverlayContents.objects.in_bulk([overlay.pk for overlay in overlays])
    files: dict[str, _Names] = {}
    for overlay in overlays:
        for path in contents[overlay.pk].paths if overlay.pk in contents else ():
            files.setdefault(path.lower(), _Names()).add(path, overlay.name)
    game = _("the game")
    for overlay in overlays:
        for path in contents[overlay.pk].game_paths if overlay.pk in contents else ():
            files.setdefault(path.lower(), _Names()).add(path, game)
    return files


def _addons(overlays: Sequence[Overlay], owners_at: Callable[[str], _Names | None]) -> Iterator[tuple[str, list[str]]]:
    """The VPKs of the stack with the paths inside. An item that several overlays hold counts once."""
    seen: set[int] = set()
    for overlay in overlays:
        for addon in OverlayAddon.objects.filter(overlay=overlay, contents__isnull=False).select_related("contents"):
            owners = owners_at(addon.path)
            # A VPK that a higher layer replaces is not there for the game.
            if owners is None or owners.by_spelling.get(addon.path, [overlay.name])[0] == overlay.name:
                yield f"{overlay.name}: {addon.path.rpartition('/')[2]}", addon.contents.paths
        links = OverlayWorkshopItem.objects.filter(overlay=overlay, linked_version__isnull=False)
        # The game loads addons in the order of their file names, which are their ids.
        for contents in (
            WorkshopContents.objects.filter(item__overlay_links__in=links)
            .select_related("item")
            .order_by("item__steam_id")
            .iterator(chunk_size=50)
        ):
            if contents.item_id not in seen:
                seen.add(contents.item_id)
                yield f"{contents.item} ({contents.item.steam_id})", contents.paths


def _over_loose_files(
    addons: Sequence[tuple[str, list[str]]], files: dict[str, _Names]
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Files in VPKs that are also there as loose files: the game searches its addons first."""
    game = _("the game")
    for label, paths in addons:
        for path in paths:
            names = files.get(_GAME + path)
            if names is None or path in inspection.OWN_FILES:
                continue
            owners = [owner for each in names.by_spelling.values() for owner in each if owner != game]
            if owners:
                yield label, path, tuple(owners)


def _cut(groups: list[Group], letter_case: list[list[tuple[str, str]]]) -> Conflicts:
    shown: list[Group] = []
    left = LIMIT
    for group in groups:
        if left > 0:
            shown.append(group._replace(paths=group.paths[:left]))
        left -= len(group.paths)
    return Conflicts(shown, letter_case[:LIMIT], left < 0 or len(letter_case) > LIMIT)
