"""Deletes entries that are older than a year: of the audit log, and of the history that Django's admin keeps."""

from __future__ import annotations

import logging

from celery import shared_task
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from left4me.audit.models import KEPT, AuditEntry

log = logging.getLogger(__name__)


@shared_task(name="left4me.audit.prune", ignore_result=True)
def prune() -> None:
    now = timezone.now()
    if gone := AuditEntry.objects.prune(now):
        log.info("Deleted %s audit log entries older than one year", gone)
    LogEntry.objects.filter(action_time__lt=now - KEPT).delete()
