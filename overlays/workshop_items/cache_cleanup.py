"""Care of the workshop cache: what no overlay holds, and getting rid of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from accounts.models import User
from left4me.jobs import actions as jobs
from left4me.jobs import registry
from left4me.jobs.models import Job
from workshop import cache
from workshop.models import WorkshopItem


def note_unused(*, now: datetime) -> None:
    """Keep since when items are held by no overlay."""
    WorkshopItem.objects.unused().filter(unused_since=None).update(unused_since=now)
    WorkshopItem.objects.exclude(unused_since=None).exclude(overlay_links=None).update(unused_since=None)


def request_tidy(*, by: User | None, older_than_days: int) -> Job:
    """Ask for the deletion of what has been unused for so long. Raises jobs.Refused."""
    params = {"older_than_days": older_than_days}
    return jobs.request(
        operation="workshop_tidy", resource="workshop", by=by, host=settings.LEFT4ME_HOST, params=params
    )


def tidy(run: registry.Run, *, now: datetime) -> None:
    """Delete files and rows of items that no overlay holds, those that were unused long enough."""
    note_unused(now=now)
    since = now - timedelta(days=int(run.params.get("older_than_days", 0)))
    folder = cache.directory()
    count = freed = 0
    for item in WorkshopItem.objects.unused().filter(unused_since__lte=since).order_by("pk"):
        run.check()
        # Somebody may have added it to an overlay since the list was made; then its row refuses to go.
        size = cache.remove(item, folder)
        if size is None:
            run.log(f"workshop {item.steam_id} is used again and stays")
            continue
        count, freed = count + 1, freed + size
        run.log(f"workshop {item.steam_id} removed “{item}”, {size} bytes")
    usage = cache.usage(folder)
    run.log(f"removed={count} freed={freed} files={usage.files} bytes={usage.size} free={usage.free}")
