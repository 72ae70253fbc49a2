"""Celery tasks: attending to the open matches of a host, and deleting those that ended long ago."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from left4me.core import rows
from left4me.core.concurrency import skipped_while_active
from livestate.matches import watch
from livestate.matches.models import KEPT, Match

logger = logging.getLogger(__name__)


@shared_task(name="livestate.matches.attend", ignore_result=True)
@skipped_while_active
def attend() -> None:
    """Attend to the open matches of this host; skipped while the previous pass still runs."""
    watch.attend(settings.LEFT4ME_HOST, now=timezone.now())


@shared_task(name="livestate.matches.prune", ignore_result=True)
def prune() -> None:
    """Delete matches that ended a year ago."""
    before = timezone.now() - KEPT
    ended = Match.objects.exclude(state__in=Match.OPEN).filter(Q(ended_at__lt=before) | Q(created_at__lt=before))
    logger.info("Deleted %s rows of matches that ended long ago", rows.delete_in_steps(ended))
