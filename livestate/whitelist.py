"""Removes players who may not join a server with a whitelist.

The game itself knows no such list, and no plugin is needed: every poll shows who is on, so somebody who is not listed
is told and removed a few seconds after joining.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from left4me.core import secrets
from livestate.poller import Answered
from servers.game_access import roster
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.models import GameAccess, Server

logger = logging.getLogger(__name__)

# Players read it as the reason why they were disconnected; quotes and semicolons would end the command.
MESSAGE = "Only listed players may join this server"


def enforce(answers: Sequence[Answered], *, now: datetime) -> int:
    """Remove from these servers, as they just answered, who may not be there; returns how many were."""
    populated = {answer.server_id: answer for answer in answers if answer.status.players}
    if not populated:
        return 0
    rules = GameAccess.objects.filter(whitelist=True)
    restricted = Server.objects.filter(pk__in=list(populated)).filter(
        Q(pk__in=rules.filter(server__isnull=False).values("server"))
        | Q(blueprint__in=rules.filter(blueprint__isnull=False).values("blueprint"))
    )
    columns = ("pk", "port", "sealed_rcon_password", "applied_sealed_rcon_password")
    servers = list(restricted.order_by("pk").only(*columns))
    rosters = roster.of([server.pk for server in servers], now=now)
    removed = 0
    for server in servers:
        listed = rosters[server.pk].steam_ids
        for player in populated[server.pk].status.players:
            # Bots have no Steam ID, and that of a player who just connects is not known yet.
            if player.steamid64 is not None and int(player.steamid64) not in listed:
                removed += _remove(server, player.userid, player.steamid64)
    return removed


def _remove(server: Server, userid: int, steam_id: str) -> bool:
    command = f"kickid {userid} {MESSAGE}"
    try:
        this_host.ask_game(server, command, timeout=settings.LEFT4ME_POLL_TIMEOUT_SECONDS)
    except (rcon.RconError, secrets.Unreadable) as error:
        logger.warning("A player who is not listed could not be removed from server %s: %s", server.pk, error)
        return False
    logger.info("%s is not listed for server %s and was removed", steam_id, server.pk)
    return True
