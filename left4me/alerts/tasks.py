"""Periodic tasks of alerts."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from left4me.alerts import delivery, incidents
from left4me.core import clock
from left4me.core.concurrency import skipped_while_active

logger = logging.getLogger(__name__)
_clock = clock.Watch()


@shared_task(name="left4me.alerts.send", ignore_result=True)
@skipped_while_active
def send() -> None:
    """Close recovered incidents and send due deliveries. Skipped while the previous run is still active."""
    now = timezone.now()
    if step := _clock.step():
        delivery.follow_clock(timedelta(seconds=step))
    incidents.announce_recoveries(now=now)
    summary = delivery.send(now=now)
    if summary.dropped:
        logger.warning("Dropped %d alerts that could not be delivered in time", summary.dropped)


@shared_task(name="left4me.alerts.prune", ignore_result=True)
def prune() -> None:
    logger.info("Deleted %d rows of old alerts", delivery.prune(now=timezone.now()))
