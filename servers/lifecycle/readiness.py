"""Whether servers answer: a game is ready when RCON does, not when its process exists."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from left4me.core import secrets
from servers.gamehost import rcon
from servers.models import Server

_SIDE_BY_SIDE = 16
# Cheap in every state of the game, hibernation included, and its answer is never empty.
_QUESTION = "sv_cheats"


def answers(server: Server, *, timeout: float = 2.0) -> bool:
    """Return whether the server's RCON answers now; a refused password is an answer no game gives on its own."""
    try:
        rcon.execute("127.0.0.1", server.port, server.live_rcon_password, _QUESTION, timeout=timeout, starting=True)
    except (rcon.RconError, secrets.Unreadable):
        return False
    return True


def ready(servers: Iterable[Server], *, timeout: float = 2.0) -> set[int]:
    """Return the ids of those that answer, asking many at once, so that a silent one delays none."""
    asked = list(servers)
    if not asked:
        return set()
    with ThreadPoolExecutor(max_workers=min(_SIDE_BY_SIDE, len(asked))) as pool:
        heard = pool.map(lambda server: answers(server, timeout=timeout), asked)
        return {server.pk for server, said in zip(asked, heard, strict=True) if said}
