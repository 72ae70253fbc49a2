"""Celery tasks of every host: noting its demos, and removing those that are too old or too many."""

from __future__ import annotations

import logging
import threading
from typing import Final

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from livestate.demos import recorder, retention

logger = logging.getLogger(__name__)

_looking: Final = threading.Lock()


@shared_task(name="livestate.demos.look", ignore_result=True)
def look() -> None:
    """Note the demos of this host, and keep them within their bounds."""
    _look(with_days=False)


@shared_task(name="livestate.demos.tidy", ignore_result=True)
def tidy() -> None:
    """The same at night, when demos that are too old go as well."""
    _look(with_days=True)


def _look(*, with_days: bool) -> None:
    if not _looking.acquire(blocking=with_days):
        return
    try:
        recorder.note_all(settings.LEFT4ME_HOST)
        if count := retention.enforce(settings.LEFT4ME_HOST, now=timezone.now(), with_days=with_days):
            logger.info("Removed %s demos", count)
    finally:
        _looking.release()
