"""Periodic tasks of schedules."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from celery import shared_task
from django.utils import timezone

from left4me.core import clock, rows
from left4me.core.concurrency import skipped_while_active
from left4me.schedules import bulk_execution, execution, game_updates, planner
from left4me.schedules.models import BulkAction, Run

logger = logging.getLogger(__name__)

KEPT: Final = timedelta(days=90)
_clock = clock.Watch()


@shared_task(name="left4me.schedules.tick", ignore_result=True)
@skipped_while_active
def tick() -> None:
    """Plan what is due, and carry out what waits. Skipped while the previous round is still active."""
    now = timezone.now()
    if _clock.step() < 0:
        planner.plan_again(now)
    planner.plan_due(now)
    execution.carry_out_due(now)
    game_updates.follow_policies(now)
    bulk_execution.advance_all(now)


@shared_task(name="left4me.schedules.prune", ignore_result=True)
def prune() -> None:
    """Delete runs that ended three months ago."""
    before = timezone.now() - KEPT
    old = Run.objects.filter(ended_at__lt=before, bulk=None)
    logger.info("Deleted %d old runs of schedules", rows.delete_in_steps(old))
    BulkAction.objects.filter(ended_at__lt=before).delete()
