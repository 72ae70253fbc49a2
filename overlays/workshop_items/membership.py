"""The workshop items of an overlay: looking up pasted ids, adding and removing items, following collections."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.core.rows import take_turns
from left4me.core.web.refusals import Refused
from left4me.jobs.models import Job
from overlays import builds
from overlays.models import Overlay, OverlayCollection, OverlayWorkshopItem
from workshop import inputs, metadata, steam
from workshop.models import WorkshopItem

# With "auto", Steam tells which of the ids are those of collections.
Mode = Literal["auto", "items", "collection"]
MOST_ITEMS = 5_000
MOST_COLLECTIONS_AT_ONCE = 20


class InvalidInput(Exception):
    """Nothing was added: parts of the input are neither ids nor workshop links."""

    def __init__(self, problems: Sequence[inputs.Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class NotAddable(Refused):
    """Nothing was added; the message says why."""


@dataclass(frozen=True)
class Group:
    """A collection in a preview."""

    steam_id: int
    title: str
    items: tuple[int, ...]


@dataclass(frozen=True)
class Preview:
    """The result of a lookup: the items that can be added, and the reasons why others cannot."""

    addable: Mapping[int, steam.Item]
    groups: tuple[Group, ...]
    refused: Mapping[int, str]
    already: frozenset[int]

    @property
    def new(self) -> list[steam.Item]:
        return [item for steam_id, item in self.addable.items() if steam_id not in self.already]

    @property
    def total_size(self) -> int:
        return sum(item.file_size for item in self.new)


@dataclass(frozen=True)
class Added:
    added: list[int]
    already: list[int]
    refused: dict[int, str] = field(default_factory=dict)
    job: Job | None = None


def look_up(*, overlay: Overlay | None, text: str, api: steam.Steam, mode: Mode = "auto") -> Preview:
    """Look up the pasted ids at Steam; changes nothing. Raises InvalidInput, NotAddable and SteamError.

    `overlay=None` looks them up for an overlay that is yet to be created.
    """
    parsed = inputs.parse(text)
    if parsed.problems:
        raise InvalidInput(parsed.problems)
    if not parsed.ids:
        raise NotAddable(_("Paste at least one workshop ID or link."))
    pasted = {} if mode == "collection" else dict(api.all_items(parsed.ids))
    collections = parsed.ids if mode == "collection" else _collections_among(api, pasted) if mode == "auto" else ()
    groups, refused = _collections(api, collections) if collections else ((), {})
    members = [i for group in groups for i in group.items]
    items = {steam_id: item for steam_id, item in pasted.items() if steam_id not in collections}
    items |= api.all_items([i for i in members if i not in items])
    for steam_id, item in items.items():
        if problem := item.problem or (_("has no file to download") if _is_without_file(item) else ""):
            refused[steam_id] = problem
    already = set(overlay.workshop_links.values_list("item__steam_id", flat=True)) if overlay else set()
    usable = {steam_id: item for steam_id, item in items.items() if steam_id not in refused}
    _check_number(already | set(usable))
    return Preview(usable, tuple(groups), refused, frozenset(already))


def add(*, overlay: Overlay, preview: Preview, by: User, follow: bool, now: datetime) -> Added:
    """Add the items of the preview and request a build; with `follow`, also follow their collections.

    Raises NotAddable and jobs.Refused.
    """
    if not preview.addable:
        reasons = [f"{steam_id}: {reason}" for steam_id, reason in preview.refused.items()]
        raise NotAddable("\n".join([_("None of these can be added:"), *reasons[:50]]))
    with transaction.atomic():
        _check_room(overlay, preview.addable)
        rows = metadata.save(preview.addable, now=now)
        collection_of = _keep_collections(overlay, preview.groups, now=now) if follow else {}
        OverlayWorkshopItem.objects.bulk_create(
            [
                OverlayWorkshopItem(overlay=overlay, item=rows[steam_id], collection=collection_of.get(steam_id))
                for steam_id in preview.addable
                if steam_id not in preview.already
            ],
            ignore_conflicts=True,
            batch_size=500,
        )
        added = [item.steam_id for item in preview.new]
        record.write(action="overlay.items_added", by=by, target=overlay.resource, items=added[:100], count=len(added))
        job = builds.request(overlay=overlay, by=by)
    already = [steam_id for steam_id in preview.addable if steam_id in preview.already]
    return Added(added, already, dict(preview.refused), job)


# The Steam ids of an item and of the collection that brought it, and when it was added.
KeptLink = tuple[int, int | None, datetime]


def kept_links(overlay: Overlay, **chosen: Any) -> list[KeptLink]:
    """What `put_back` needs of the links that are about to be removed."""
    return list(
        overlay.workshop_links.filter(**chosen).values_list("item__steam_id", "collection__steam_id", "added_at")
    )


def put_back(
    *, overlay: Overlay, links: Sequence[KeptLink], by: User, collection: tuple[int, str] | None = None
) -> None:
    """Add removed items again, each at its place; with `collection`, also follow it again. Raises Refused."""
    with transaction.atomic():
        _check_room(overlay, [steam_id for steam_id, *_rest in links])
        if collection is not None:
            steam_id, title = collection
            OverlayCollection.objects.get_or_create(overlay=overlay, steam_id=steam_id, defaults={"title": title})
        collections = {row.steam_id: row for row in overlay.collections.all()}
        rows = []
        for steam_id, brought_by, added_at in links:
            item, _is_new = WorkshopItem.objects.get_or_create(steam_id=steam_id)
            values = {"collection": collections.get(brought_by) if brought_by else None}
            row, _is_new = OverlayWorkshopItem.objects.update_or_create(overlay=overlay, item=item, defaults=values)
            row.added_at = added_at
            rows.append(row)
        OverlayWorkshopItem.objects.bulk_update(rows, ["added_at"], batch_size=500)
        ids = [steam_id for steam_id, *_rest in links]
        record.write(action="overlay.items_added", by=by, target=overlay.resource, items=ids[:100], count=len(ids))
        builds.request(overlay=overlay, by=by)


def remove(*, overlay: Overlay, steam_ids: Iterable[int], by: User) -> int:
    """Remove items from the overlay and request a build; their files stay cached. Returns how many were removed."""
    ids = list(steam_ids)
    with transaction.atomic():
        count, _by_model = overlay.workshop_links.filter(item__steam_id__in=ids).delete()
        if count:
            record.write(action="overlay.items_removed", by=by, target=overlay.resource, items=ids[:100])
            builds.request(overlay=overlay, by=by)
    return count


def unfollow(*, overlay: Overlay, collection: OverlayCollection, by: User, keep_items: bool) -> None:
    """Stop following a collection; its items are removed, or with `keep_items` stay as individually added ones."""
    with transaction.atomic():
        if not keep_items:
            collection.links.all().delete()
            builds.request(overlay=overlay, by=by)
        action = "overlay.collection_removed"
        record.write(action=action, by=by, target=overlay.resource, collection=collection.steam_id)
        collection.delete()


def sync_collection(collection: OverlayCollection, listing: steam.Collection, *, now: datetime) -> bool:
    """Make the collection's links match Steam, as far as the overlay has room. Returns whether links changed.

    Items without a row are left out.
    """
    overlay = collection.overlay
    _take_turns(overlay)
    rows = {item.steam_id: item for item in WorkshopItem.objects.filter(steam_id__in=listing.items)}
    removed, _by_model = collection.links.exclude(item__steam_id__in=listing.items).delete()
    # Items that were added individually, or by another collection, keep their link.
    present = set(overlay.workshop_links.filter(item__in=rows.values()).values_list("item_id", flat=True))
    added = [
        OverlayWorkshopItem(overlay=overlay, item=rows[steam_id], collection=collection)
        for steam_id in listing.items
        if steam_id in rows and rows[steam_id].pk not in present
    ]
    room = max(0, MOST_ITEMS - overlay.workshop_links.count())
    problem = _too_many() if len(added) > room else ""
    OverlayWorkshopItem.objects.bulk_create(added[:room], ignore_conflicts=True, batch_size=500)
    collection.synced_at, collection.last_error = now, problem
    collection.save(update_fields=["synced_at", "last_error"])
    return bool(removed or added[:room])


def _check_room(overlay: Overlay, ids: Collection[int]) -> None:
    """Raises NotAddable if the overlay has no room for these items; it keeps the room until the transaction ends."""
    _take_turns(overlay)
    _check_number({*overlay.workshop_links.values_list("item__steam_id", flat=True), *ids})


def _check_number(steam_ids: Collection[int]) -> None:
    if len(steam_ids) > MOST_ITEMS:
        raise NotAddable(_too_many())


def _too_many() -> str:
    return _("An overlay can contain at most %(most)d items. Split them into several overlays.") % {"most": MOST_ITEMS}


def _take_turns(overlay: Overlay) -> None:
    if overlay.owner_id is not None:
        take_turns(overlay.owner_id)


def _collections_among(api: steam.Steam, items: Mapping[int, steam.Item]) -> tuple[int, ...]:
    """The pasted ids of collections. Steam describes these as files without content, or not at all."""
    candidates = [steam_id for steam_id, item in items.items() if item.problem or _is_without_file(item)]
    found = api.collections_among(candidates) if candidates else frozenset()
    return tuple(steam_id for steam_id in candidates if steam_id in found)


def _collections(api: steam.Steam, ids: Sequence[int]) -> tuple[tuple[Group, ...], dict[int, str]]:
    if len(ids) > MOST_COLLECTIONS_AT_ONCE:
        raise NotAddable(_("At most %(most)d collections can be added at once.") % {"most": MOST_COLLECTIONS_AT_ONCE})
    titles = api.all_items(ids)
    groups: list[Group] = []
    refused: dict[int, str] = {}
    for steam_id in ids:
        listing = api.collection(steam_id)
        refused.update(listing.problems)
        if listing.items:
            groups.append(Group(steam_id, titles[steam_id].title, listing.items))
    return tuple(groups), refused


def _keep_collections(overlay: Overlay, groups: Sequence[Group], *, now: datetime) -> dict[int, OverlayCollection]:
    """Create the rows of followed collections; returns for each item the first collection that contains it."""
    collection_of: dict[int, OverlayCollection] = {}
    for group in groups:
        collection, _is_new = OverlayCollection.objects.update_or_create(
            overlay=overlay, steam_id=group.steam_id, defaults={"title": group.title, "synced_at": now}
        )
        for steam_id in group.items:
            collection_of.setdefault(steam_id, collection)
    return collection_of


def _is_without_file(item: steam.Item) -> bool:
    return not item.file_size and not item.file_url and not item.filename
