"""Names to complete a console command from: the stock game's, and those that the running game told."""

from __future__ import annotations

from django.core.cache import cache

from servers.blueprints.checks import known
from servers.models import Server

MOST = 20
KEPT_SECONDS = 24 * 3600
# Commands that are no settings, so that a server.cfg has no use for them.
_EVERYDAY = (
    *("status", "users", "stats", "version", "maps *", "listid", "listip", "cvarlist", "find", "help"),
    *("kick", "kickid", "banid", "removeid", "writeid", "say", "changelevel", "sm version", "meta list"),
    *("sm plugins list", "sm exts list", "sm_say", "sm_kick", "sm_map", "sm_cvar"),
)


def matching(server: Server, text: str) -> list[str]:
    """Names that go on from `text`; those of the present start first, as they are the truth."""
    wanted = text.strip().lower()
    if not wanted:
        return list(_EVERYDAY)
    told: list[str] = cache.get(_key(server)) or []
    names = dict.fromkeys([*told, *_EVERYDAY, *sorted(known.names())])
    return [name for name in names if name.lower().startswith(wanted)][:MOST]


def is_told(server: Server) -> bool:
    """Whether the game that runs now has listed its names already."""
    return cache.get(_key(server)) is not None


def keep(server: Server, names: list[str]) -> None:
    cache.set(_key(server), names, KEPT_SECONDS)


def _key(server: Server) -> str:
    return f"livestate:commands:{server.pk}:{server.started_at and int(server.started_at.timestamp())}"
