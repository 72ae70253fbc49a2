"""What beat asks for: sweeps of every host, names of the players, clearing out."""

from __future__ import annotations

import logging
import threading

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from left4me.core import secrets
from livestate import completion, profiles, retention, sweep
from livestate.orders import execution
from servers.gamehost import rcon
from servers.models import Server
from workshop.steam import SteamError

logger = logging.getLogger(__name__)

_asking_steam = threading.Lock()


@shared_task(name="livestate.poll", ignore_result=True)
def poll() -> None:
    """Ask all running servers of this host; skipped while the sweep before is still under way."""
    if not sweep.sweep(settings.LEFT4ME_HOST):
        logger.info("The sweep before is still under way; this one is left out")


@shared_task(name="livestate.carry_out", ignore_result=True)
def carry_out(order_id: int) -> None:
    """Tell a game of this host what somebody ordered."""
    execution.carry_out(order_id, now=timezone.now())


@shared_task(name="livestate.learn_commands", ignore_result=True)
def learn_commands(server_id: int) -> None:
    """Keep the names that a running game knows, for the console's completion."""
    server = Server.objects.running().filter(pk=server_id).first()
    if server is None or completion.is_told(server):
        return
    try:
        completion.keep(server, execution.known_commands(server))
    except (rcon.RconError, secrets.Unreadable) as error:
        logger.info("Server %s did not list its commands: %s", server_id, error)


@shared_task(name="livestate.profiles", ignore_result=True)
def refresh_profiles() -> None:
    """Name the players who have come; what Steam does not say now it may say in the next round."""
    if not _asking_steam.acquire(blocking=False):
        return
    try:
        if asked := profiles.refresh_from_steam():
            logger.info("Asked Steam for %s profiles", asked)
    except SteamError as error:
        logger.warning("Players keep the names they joined with: %s", error)
    finally:
        _asking_steam.release()


@shared_task(name="livestate.prune", ignore_result=True)
def prune() -> None:
    deleted = retention.prune(now=timezone.now(), days=settings.LEFT4ME_HISTORY_DAYS)
    logger.info("Cleared out %s rows of old history", deleted)
