"""What Celery carries for the job engine: wake-ups, the sweep, the daily clearing out."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.jobs import broadcast, sweeping, worker

log = logging.getLogger(__name__)


@shared_task(name=broadcast.WAKE_TASK, ignore_result=True)
def wake() -> None:
    """There is something to claim. The message itself says no more: it may be late, doubled or lost."""
    worker.nudge()


@shared_task(name="left4me.jobs.sweep", ignore_result=True)
def sweep() -> None:
    sweeping.sweep(host=settings.LEFT4ME_HOST, now=timezone.now())
    worker.nudge()


@shared_task(name="left4me.jobs.prune", ignore_result=True)
def prune() -> None:
    lines, jobs = sweeping.prune(
        now=timezone.now(), log_days=settings.LEFT4ME_JOB_LOG_DAYS, job_days=settings.LEFT4ME_JOB_DAYS
    )
    log.info("Cleared out %s old log lines and %s rows of old jobs", lines, jobs)
