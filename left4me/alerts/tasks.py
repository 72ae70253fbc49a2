"""Periodic tasks of alerts."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from left4me.alerts import delivery, incidents
from left4me.core import clock

logger = logging.getLogger(__name__)

_sending = threading.Lock()
_clock = clock.Watch()


@shared_task(name="left4me.alerts.send", ignore_result=True)
def send() -> None:
    """Close recovered incidents and send due deliveries. Skipped while the previous run is still active."""
    if not _sending.acquire(blocking=False):
        return
    try:
        now = timezone.now()
        if step := _clock.step():
            delivery.follow_clock(timedelta(seconds=step))
        incidents.announce_recoveries(now=now)
        summary = delivery.send(now=now)
        if summary.dropped:
            logger.warning("Dropped %d alerts that could not be delivered in time", summary.dropped)
    finally:
        _sending.release()


@shared_task(name="left4me.alerts.prune", ignore_result=True)
def prune() -> None:
    logger.info("Deleted %d rows of old alerts", delivery.prune(now=timezone.now()))
