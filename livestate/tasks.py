"""What beat asks for: sweeps of every host, names of the players, clearing out."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings

from livestate import sweeping
from servers.models import Host

logger = logging.getLogger(__name__)


@shared_task(name="livestate.poll_hosts", ignore_result=True)
def poll_hosts() -> None:
    """Ask each host to sweep its servers. What a host has not begun before the next round is dropped."""
    for host in Host.objects.all():
        poll.apply_async(queue=host.queue, expires=settings.LEFT4ME_POLL_SECONDS * 0.9)


@shared_task(name="livestate.poll", ignore_result=True)
def poll() -> None:
    if not sweeping.sweep(settings.LEFT4ME_HOST):
        logger.info("The sweep before is still under way; this one is left out")
