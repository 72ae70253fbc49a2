"""Completion of console commands: names of the stock game, and names that the running game listed."""

from __future__ import annotations

from django.core.cache import cache

from left4me.core.redis import keys
from servers.blueprints.checks import known
from servers.models import Server

MOST = 20
KEPT_SECONDS = 24 * 3600
# Commands that are not settings, so that the list of settings for server.cfg does not hold them.
_EVERYDAY = (
    *("status", "users", "stats", "version", "maps *", "listid", "listip", "cvarlist", "find", "help"),
    *("kick", "kickid", "banid", "say", "changelevel", "sm version", "meta list"),
    *("sm plugins list", "sm exts list", "sm_say", "sm_kick", "sm_map", "sm_cvar"),
)


def matching(server: Server, text: str) -> list[str]:
    """Names that begin with `text`; those that the running game listed come first."""
    prefix = text.strip().lower()
    if not prefix:
        return list(_EVERYDAY)
    listed: list[str] = cache.get(_key(server)) or []
    names = dict.fromkeys([*listed, *_EVERYDAY, *sorted(known.names())])
    return [name for name in names if name.lower().startswith(prefix)][:MOST]


def has_commands(server: Server) -> bool:
    """Whether the names of the present run of the game are stored."""
    return cache.get(_key(server)) is not None


def store(server: Server, names: list[str]) -> None:
    cache.set(_key(server), names, KEPT_SECONDS)


def _key(server: Server) -> str:
    return f"{keys.CONSOLE_COMMANDS}{server.pk}:{server.started_at and int(server.started_at.timestamp())}"
