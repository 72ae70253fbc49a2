"""Deletes audit entries that are older than a year."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from left4me.audit.models import AuditEntry

log = logging.getLogger(__name__)


@shared_task(name="left4me.audit.prune", ignore_result=True)
def prune() -> None:
    if gone := AuditEntry.objects.prune(timezone.now()):
        log.info("Deleted %s audit log entries older than one year", gone)
