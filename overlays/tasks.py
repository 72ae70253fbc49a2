"""Periodic Celery tasks of overlays."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.jobs import actions as jobs
from overlays import builds
from overlays.files import remote_archives, trash, uploads
from overlays.workshop_items import cache_cleanup, refresh

logger = logging.getLogger(__name__)


@shared_task(name="overlays.refresh_when_due")
def refresh_when_due() -> None:
    """Request the scheduled refresh of workshop items when it is due, also one missed while left4me was down."""
    every = timedelta(seconds=settings.LEFT4ME_WORKSHOP_REFRESH_SECONDS)
    if every and refresh.is_due(now=timezone.now(), every=every):
        try:
            refresh.request_refresh(by=None)
        except jobs.Refused as refusal:
            # A final operation holds the resource; the next run of this task tries again.
            logger.warning("The scheduled workshop refresh could not start: %s", refusal)


@shared_task(name="overlays.inspect_old")
def inspect_old() -> None:
    """Record the campaigns of overlays that an earlier version of left4me built."""
    builds.request_inspections()


@shared_task(name="overlays.tidy")
def tidy() -> None:
    """Daily: delete abandoned uploads and old deleted files; note unused items, and delete long unused ones."""
    now = timezone.now()
    uploads.delete_abandoned(now=now)
    remote_archives.delete_abandoned(now=now)
    trash.tidy(now=now)
    cache_cleanup.note_unused(now=now)
    if settings.LEFT4ME_WORKSHOP_CACHE_DAYS:
        cache_cleanup.request_tidy(by=None, older_than_days=settings.LEFT4ME_WORKSHOP_CACHE_DAYS)
