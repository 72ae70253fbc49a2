"""Periodic work of overlays."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.jobs import actions as jobs
from overlays.files import uploads
from overlays.workshop_items import cache_cleanup, refresh


@shared_task(name="overlays.refresh_when_due")
def refresh_when_due() -> None:
    """Ask for the global refresh when its time has come; one that was missed while off comes soon after the start."""
    every = timedelta(seconds=settings.LEFT4ME_WORKSHOP_REFRESH_SECONDS)
    if every and refresh.is_due(now=timezone.now(), every=every):
        try:
            refresh.request_refresh(by=None)
        except jobs.Refused:
            # Something final holds the resource; the next tick asks again.
            return


@shared_task(name="overlays.tidy")
def tidy() -> None:
    """Once a day: forget uploads that nobody continues, note what no overlay holds, and delete it when it is time."""
    now = timezone.now()
    uploads.forget_old(now=now)
    cache_cleanup.note_unused(now=now)
    if settings.LEFT4ME_WORKSHOP_CACHE_DAYS:
        cache_cleanup.request_tidy(by=None, older_than_days=settings.LEFT4ME_WORKSHOP_CACHE_DAYS)
