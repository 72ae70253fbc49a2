"""Stores Steam's metadata of workshop items in rows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings

from left4me.core.net import fetch
from workshop import steam
from workshop.models import WorkshopItem

_FROM_STEAM = ("title", "filename", "file_url", "file_size", "time_updated", "preview_url")
_STATE = ("steam_error", "steam_result", "refreshed_at")
_ROWS_AT_ONCE = 500


@dataclass
class RefreshResult:
    """The result of a refresh: Steam ids by outcome."""

    changed: list[int] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


def content_hosts() -> fetch.AllowedHosts:
    """The hosts from which workshop files may be downloaded."""
    return fetch.AllowedHosts.parse(settings.LEFT4ME_STEAM_CONTENT_HOSTS)


@contextlib.contextmanager
def connect(
    *, cancelled: Callable[[], bool] | None = None, pause: Callable[[float], None] | None = None
) -> Iterator[steam.Steam]:
    """A Steam client configured by the settings. `pause` waits between calls and may raise to cancel."""
    base = settings.LEFT4ME_STEAM_API_URL
    with fetch.Client(hosts=fetch.AllowedHosts().with_origin(base), cancelled=cancelled) as client:
        yield steam.Steam(base_url=base, client=client, api_key=settings.STEAM_WEB_API_KEY, pause=pause or time.sleep)


def save(steam_items: Mapping[int, steam.Item], *, now: datetime) -> dict[int, WorkshopItem]:
    """Create or update the rows of the usable items; returns them by Steam id."""
    usable = {steam_id: item for steam_id, item in steam_items.items() if not item.problem}
    WorkshopItem.objects.bulk_create(
        [_fill(WorkshopItem(steam_id=steam_id), item, now=now) for steam_id, item in usable.items()],
        update_conflicts=True,
        unique_fields=["steam_id"],
        update_fields=[*_FROM_STEAM, *_STATE],
        batch_size=_ROWS_AT_ONCE,
    )
    return {item.steam_id: item for item in WorkshopItem.objects.filter(steam_id__in=usable)}


def apply(items: Sequence[WorkshopItem], steam_items: Mapping[int, steam.Item], *, now: datetime) -> RefreshResult:
    """Store Steam's metadata of known items.

    Cached files and `last_downloaded_at` do not change: only a build downloads.
    """
    result = RefreshResult()
    for item in items:
        answer = steam_items[item.steam_id]
        if answer.problem:
            # The cached file stays in use: an item that is hidden today may be visible again tomorrow.
            result.failed[item.steam_id] = answer.problem
            item.steam_error, item.steam_result, item.refreshed_at = answer.problem, answer.result, now
            if not item.download_error:
                item.last_error = item.standing_error
            continue
        before = (item.time_updated, item.file_size, item.file_url)
        _fill(item, answer, now=now)
        is_changed = before != (item.time_updated, item.file_size, item.file_url)
        (result.changed if is_changed else result.unchanged).append(item.steam_id)
        if not item.download_error:
            item.last_error = ""
    fields = [*_FROM_STEAM, "last_error", *_STATE]
    WorkshopItem.objects.bulk_update(items, fields, batch_size=_ROWS_AT_ONCE)
    return result


def _fill(row: WorkshopItem, item: steam.Item, *, now: datetime) -> WorkshopItem:
    for name in _FROM_STEAM:
        setattr(row, name, getattr(item, name))
    row.steam_error, row.steam_result, row.refreshed_at = "", item.result, now
    return row
