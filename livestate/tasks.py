"""Celery tasks: polling the servers of a host, sending orders, refreshing Steam profiles, deleting old history."""

from __future__ import annotations

import logging
import threading

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.core import secrets
from livestate import history, profiles, sweep
from livestate.figures import condensation
from livestate.orders import completion, execution
from servers.gamehost import rcon
from servers.models import Server
from workshop.steam import SteamError

logger = logging.getLogger(__name__)

_asking_steam = threading.Lock()


@shared_task(name="livestate.poll", ignore_result=True)
def poll() -> None:
    """Poll all running servers of this host; skipped while the previous sweep is still running."""
    if not sweep.sweep(settings.LEFT4ME_HOST):
        logger.info("The previous sweep is still running; this one is skipped")


@shared_task(name="livestate.carry_out", ignore_result=True)
def carry_out(order_id: int) -> None:
    """Send an order to a game of this host."""
    execution.carry_out(order_id, now=timezone.now())


@shared_task(name="livestate.learn_commands", ignore_result=True)
def learn_commands(server_id: int) -> None:
    """Store the command names of a running game, for the completion in the console."""
    server = Server.objects.running().filter(pk=server_id).first()
    if server is None or completion.has_commands(server):
        return
    try:
        completion.store(server, execution.known_commands(server))
    except (rcon.RconError, secrets.Unreadable) as error:
        logger.info("The command names of server %s could not be read: %s", server_id, error)


@shared_task(name="livestate.profiles", ignore_result=True)
def refresh_profiles() -> None:
    """Fetch missing and outdated Steam profiles; what fails is tried again at the next run."""
    if not _asking_steam.acquire(blocking=False):
        return
    try:
        if count := profiles.refresh_from_steam():
            logger.info("Requested %s profiles from Steam", count)
    except SteamError as error:
        logger.warning("Steam profiles are not refreshed; players keep the names they joined with: %s", error)
    finally:
        _asking_steam.release()


@shared_task(name="livestate.prune", ignore_result=True)
def prune() -> None:
    """Delete rows older than `LEFT4ME_HISTORY_DAYS`, and condense figures that are older than a day."""
    now, days = timezone.now(), settings.LEFT4ME_HISTORY_DAYS
    deleted = history.prune(now=now, days=days) + condensation.condense(now=now, days=days)
    logger.info("Deleted %s rows of old history", deleted)
