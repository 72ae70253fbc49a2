"""Celery tasks: applying bans to the running games of a host, and deleting those that ended long ago."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.core import rows
from left4me.core.redis import hosts
from livestate.bans import application
from livestate.bans.models import ENDED_KEPT, Ban
from servers.models import Server

logger = logging.getLogger(__name__)

_MESSAGE_SECONDS = 20

_applying = threading.Lock()
_asked_again = threading.Event()


@shared_task(name="livestate.bans.apply", ignore_result=True)
def apply() -> None:
    """Apply what has changed. A request that comes while a pass runs makes that pass look once more at its end."""
    _asked_again.set()
    while _asked_again.is_set() and _applying.acquire(blocking=False):
        try:
            _asked_again.clear()
            if count := application.apply_due(settings.LEFT4ME_HOST, now=timezone.now()):
                logger.debug("Compared the bans of %s games", count)
        finally:
            _applying.release()


@shared_task(name="livestate.bans.prune", ignore_result=True)
def prune() -> None:
    """Delete bans that ended a year ago."""
    ended = Ban.objects.ended_before(timezone.now() - ENDED_KEPT)
    logger.info("Deleted %s bans that ended long ago", rows.delete_in_steps(ended))


def request_apply(servers: Iterable[Server]) -> None:
    """Tell the hosts of those servers that run to look, after the transaction. A lost message costs five seconds."""
    names = {server.host.name for server in servers if server.actual_state == Server.State.RUNNING}
    for name in sorted(names):
        hosts.send_after_commit(name, apply.name, expires=_MESSAGE_SECONDS)
