"""Periodic work of overlays."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.jobs import actions as jobs
from overlays.items import refreshing


@shared_task(name="overlays.refresh_when_due")
def refresh_when_due() -> None:
    """Ask for the global refresh when its time has come; one that was missed while off comes soon after the start."""
    every = timedelta(seconds=settings.LEFT4ME_WORKSHOP_REFRESH_SECONDS)
    if every and refreshing.is_due(now=timezone.now(), every=every):
        try:
            refreshing.request_refresh(by=None)
        except jobs.Refused:
            # Something final holds the resource; the next tick asks again.
            return
