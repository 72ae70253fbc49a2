"""Cleanup of the workshop cache: deletes items that no overlay uses."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from accounts.models import User
from left4me.jobs import actions as jobs
from left4me.jobs.context import JobContext
from left4me.jobs.models import Job
from workshop import cache
from workshop.models import WorkshopItem


def note_unused(*, now: datetime) -> None:
    """Record since when items are not used by any overlay."""
    WorkshopItem.objects.unused().filter(unused_since=None).update(unused_since=now)
    WorkshopItem.objects.exclude(unused_since=None).exclude(overlay_links=None).update(unused_since=None)


def request_tidy(*, by: User | None, older_than_days: int) -> Job:
    """Request a job that deletes items unused for this many days. Raises jobs.Refused."""
    params = {"older_than_days": older_than_days}
    return jobs.request(
        operation="workshop_tidy", resource="workshop", by=by, host=settings.LEFT4ME_HOST, params=params
    )


def tidy(run: JobContext, *, now: datetime) -> None:
    """Delete the files and rows of items that no overlay has used for `older_than_days`."""
    note_unused(now=now)
    since = now - timedelta(days=int(run.params.get("older_than_days", 0)))
    folder = cache.directory()
    count = freed = 0
    for item in WorkshopItem.objects.unused().filter(unused_since__lte=since).order_by("pk"):
        run.check()
        # It may have been added to an overlay since the query; then the foreign key protects its row.
        size = cache.remove(item, folder)
        if size is None:
            run.log(f"workshop {item.steam_id} is in use again; kept")
            continue
        count, freed = count + 1, freed + size
        run.log(f"workshop {item.steam_id} removed “{item}”, {size} bytes")
    usage = cache.usage(folder)
    run.log(f"removed={count} freed={freed} files={usage.files} bytes={usage.size} free={usage.free}")
