"""What beat asks for: sweeps of every host, names of the players, clearing out."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings

from livestate import sweeping

logger = logging.getLogger(__name__)


@shared_task(name="livestate.poll", ignore_result=True)
def poll() -> None:
    """Ask all running servers of this host; skipped while the sweep before is still under way."""
    if not sweeping.sweep(settings.LEFT4ME_HOST):
        logger.info("The sweep before is still under way; this one is left out")
