"""Refreshing workshop items from Steam: those of one overlay on request, and all items in use on schedule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.audit import record
from left4me.jobs import actions as jobs
from left4me.jobs.context import JobContext
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from overlays import builds
from overlays.models import Overlay, OverlayCollection
from overlays.workshop_items import membership
from workshop import metadata, steam
from workshop.models import WorkshopItem

OPERATION = "workshop_refresh"
RESOURCE = "workshop"
_JITTER = 0.1
_NAMED = 20


class NothingToRefresh(Exception):
    """The overlay holds no workshop item and follows no collection."""


def refresh_overlay(*, overlay: Overlay, by: User, api: steam.Steam, now: datetime) -> Job:
    """Refresh the items and collections of one overlay, then request its build.

    Raises NothingToRefresh, jobs.Refused and SteamError; in all cases nothing has changed.
    """
    items = list(WorkshopItem.objects.filter(overlay_links__overlay=overlay))
    collections = list(overlay.collections.all())
    if not items and not collections:
        raise NothingToRefresh(_("This overlay has no workshop items yet. Add some first."))
    followed = {collection: api.collection(collection.steam_id) for collection in collections}
    ids = [item.steam_id for item in items] + [i for listing in followed.values() for i in listing.items]
    steam_items = api.all_items(ids)
    with transaction.atomic():
        known = {item.steam_id for item in items}
        metadata.apply(items, steam_items, now=now)
        # A user who requests a refresh wants refused files tried again; the scheduled refresh does not do that.
        WorkshopItem.objects.filter(pk__in=[item.pk for item in items]).forget_refusals()
        metadata.save({steam_id: item for steam_id, item in steam_items.items() if steam_id not in known}, now=now)
        for collection, listing in followed.items():
            _follow(collection, listing, now=now)
        record.write(action="overlay.refreshed", by=by, target=overlay.resource, items=len(items))
        return builds.request(overlay=overlay, by=by)


def retry_item(*, overlay: Overlay, item: WorkshopItem, by: User, api: steam.Steam, now: datetime) -> Job:
    """Ask Steam about one item again, also if its file was refused, then request the overlay's build.

    Raises jobs.Refused and SteamError; in both cases nothing has changed.
    """
    answers = api.all_items([item.steam_id])
    with transaction.atomic():
        metadata.apply([item], answers, now=now)
        WorkshopItem.objects.filter(pk=item.pk).forget_refusals()
        record.write(action="overlay.item_retried", by=by, target=overlay.resource, item=item.steam_id)
        return builds.request(overlay=overlay, by=by)


@dataclass
class _Summary:
    refreshed: list[int] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    # Errors of requests that Steam did not answer: those items keep their old data, and the job fails.
    unanswered: list[str] = field(default_factory=list)
    overlays: set[int] = field(default_factory=set)

    def line(self) -> str:
        return f"refreshed={len(self.refreshed)} unchanged={len(self.unchanged)} failed={len(self.failed)}"


def refresh_all(run: JobContext, *, now: datetime) -> None:
    """Refresh every item in use, then build the overlays that changed. A failed batch does not stop the others."""
    summary = _Summary()
    with metadata.connect(cancelled=run.cancelled, pause=run.sleep) as api:
        _refresh_items(run, api, summary, now=now)
        _refresh_collections(run, api, summary, now=now)
    affected = Overlay.objects.filter(workshop_links__item__steam_id__in=summary.refreshed)
    summary.overlays.update(affected.values_list("pk", flat=True))
    _build(run, summary)
    for steam_id, problem in list(summary.failed.items())[:_NAMED]:
        run.log(f"workshop {steam_id} failed: {problem}", stream="stderr")
    run.log(f"{summary.line()} overlays={len(summary.overlays)}")
    if summary.unanswered:
        raise Failed("\n".join([summary.line(), *summary.unanswered[:_NAMED]]))


def _refresh_items(run: JobContext, api: steam.Steam, summary: _Summary, *, now: datetime) -> None:
    ids = list(WorkshopItem.objects.exclude(overlay_links=None).order_by("pk").values_list("pk", flat=True))
    done = 0
    for batch in steam.batches(ids):
        run.check()
        items = list(WorkshopItem.objects.filter(pk__in=batch))
        try:
            result = metadata.apply(items, api.items([item.steam_id for item in items]), now=now)
        except steam.SteamError as error:
            summary.unanswered.append(str(error))
            summary.failed.update((item.steam_id, str(error)) for item in items)
        else:
            summary.refreshed += result.changed
            summary.unchanged += result.unchanged
            summary.failed.update(result.failed)
        done += len(batch)
        run.progress(phase="refresh", done=done, total=len(ids), unit="items")


def _refresh_collections(run: JobContext, api: steam.Steam, summary: _Summary, *, now: datetime) -> None:
    by_steam_id: dict[int, list[OverlayCollection]] = {}
    for collection in OverlayCollection.objects.select_related("overlay"):
        by_steam_id.setdefault(collection.steam_id, []).append(collection)
    for steam_id, collections in by_steam_id.items():
        run.check()
        try:
            listing = api.collection(steam_id)
            _add_missing_rows(api, listing.items, now=now)
        except steam.SteamError as error:
            summary.unanswered.append(f"collection {steam_id}: {error}")
            continue
        for collection in collections:
            with transaction.atomic():
                if _follow(collection, listing, now=now):
                    summary.overlays.add(collection.overlay_id)


def _add_missing_rows(api: steam.Steam, ids: Sequence[int], *, now: datetime) -> None:
    known = set(WorkshopItem.objects.filter(steam_id__in=ids).values_list("steam_id", flat=True))
    missing = [steam_id for steam_id in ids if steam_id not in known]
    if missing:
        metadata.save(api.all_items(missing), now=now)


def _follow(collection: OverlayCollection, listing: steam.Collection, *, now: datetime) -> bool:
    """Update the links of a collection. The items of one that was deleted or emptied at Steam stay."""
    if not listing.items:
        collection.last_error = listing.problems.get(collection.steam_id, "the collection is empty")
        collection.save(update_fields=["last_error"])
        return False
    return membership.sync_collection(collection, listing, now=now)


def _build(run: JobContext, summary: _Summary) -> None:
    for overlay in Overlay.objects.filter(pk__in=summary.overlays).order_by("pk"):
        try:
            builds.request(overlay=overlay, by=None)
        except jobs.Refused as refusal:
            run.log(f"overlay {overlay.pk} was not built: {refusal}", stream="stderr")


def request_refresh(*, by: User | None) -> Job:
    """Request a refresh of all items; returns an active one if there is one. Raises jobs.Refused."""
    return jobs.request(operation=OPERATION, resource=RESOURCE, by=by, host=settings.LEFT4ME_HOST)


def is_due(*, now: datetime, every: timedelta) -> bool:
    """Whether the scheduled refresh is due, counted from the last refresh job, so that restarts do not matter.

    The interval is lengthened by up to a tenth, derived from the id of the last job: the same for every caller, but
    different between installations, so that they do not all request Steam in the same minute.
    """
    last = Job.objects.filter(operation=OPERATION, resource=RESOURCE).order_by("-pk").first()
    if last is None:
        return True
    jitter = random.Random(f"{settings.SECRET_KEY}{last.pk}").random() * _JITTER  # noqa: S311 -- spreads load
    return not last.is_live and now >= last.created_at + every * (1 + jitter)
