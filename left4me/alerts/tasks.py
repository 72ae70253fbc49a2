"""What beat asks for: sending, seeing what is well again, clearing out."""

from __future__ import annotations

import logging
import threading

from celery import shared_task
from django.utils import timezone

from left4me.alerts import delivery, incidents

logger = logging.getLogger(__name__)

_sending = threading.Lock()


@shared_task(name="left4me.alerts.send", ignore_result=True)
def send() -> None:
    """End the incidents that are over and empty the outbox; skipped while the round before is under way."""
    if not _sending.acquire(blocking=False):
        return
    try:
        now = timezone.now()
        incidents.settle(now=now)
        summary = delivery.send(now=now)
        if summary.dropped:
            logger.warning("%d alerts were dropped: nobody took them in time", summary.dropped)
    finally:
        _sending.release()


@shared_task(name="left4me.alerts.prune", ignore_result=True)
def prune() -> None:
    logger.info("Cleared out %d rows of old alerts", delivery.prune(now=timezone.now()))
