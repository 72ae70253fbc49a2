"""Checks whether servers are ready: a game is ready when RCON answers, not when its process exists."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from left4me.core import secrets
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.models import Server

_MOST_AT_ONCE = 16
# Cheap in every state of the game, also in hibernation, and its answer is never empty.
_COMMAND = "sv_cheats"


def answers(server: Server, *, timeout: float = 2.0) -> bool:
    """Return whether the server's RCON answers now. False also when it refuses the password."""
    try:
        this_host.ask_game(server, _COMMAND, timeout=timeout, starting=True)
    except (rcon.RconError, secrets.Unreadable):
        return False
    return True


def ready(servers: Iterable[Server], *, timeout: float = 2.0) -> set[int]:
    """Return the ids of the servers that answer. Many are checked at once: a silent one does not delay the others."""
    servers = list(servers)
    if not servers:
        return set()
    with ThreadPoolExecutor(max_workers=min(_MOST_AT_ONCE, len(servers))) as pool:
        results = pool.map(lambda server: answers(server, timeout=timeout), servers)
        return {server.pk for server, is_ready in zip(servers, results, strict=True) if is_ready}
