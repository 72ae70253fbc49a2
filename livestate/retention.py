"""Clears out history that is too old, in steps that never hold the database for long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from livestate.models import Order, PlayerSession, Snapshot, SteamProfile

ROWS_AT_ONCE = 1_000


def prune(*, now: datetime, days: int) -> int:
    """Delete snapshots, stays and orders that ended before, and profiles of people of whom no stay is left."""
    before = now - timedelta(days=days)
    stays = PlayerSession.objects.filter(steam_id_64=OuterRef("pk"))
    return (
        _delete(Snapshot.objects.filter(last_seen_at__lt=before))
        + _delete(PlayerSession.objects.filter(left_at__lt=before))
        + _delete(Order.objects.filter(created_at__lt=before))
        + _delete(SteamProfile.objects.filter(~Exists(stays), fetched_at__lt=before))
    )


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE]):
        deleted += rows.model._default_manager.filter(pk__in=keys).delete()[0]
    return deleted
