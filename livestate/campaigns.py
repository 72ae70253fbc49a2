"""Titles of maps and campaigns: those of the game itself, and those in the overlays of a server's blueprint."""

from __future__ import annotations

from collections.abc import Iterable

from servers.blueprints import maps
from servers.blueprints.maps import Chapter, stock
from servers.models import Server

__all__ = ["Chapter", "MapTitles", "playable", "stock"]


def playable(server: Server) -> dict[str, Chapter]:
    """Every map that this server can change to, those of its overlays first."""
    return maps.playable(server.blueprint_id)


class MapTitles:
    """Looks up chapters by map for a set of servers. Queries the overlays only for a map that is not stock."""

    def __init__(self, servers: Iterable[Server]) -> None:
        self._blueprints = {server.pk: server.blueprint_id for server in servers}
        self._added: dict[int, dict[str, Chapter]] | None = None

    def chapter(self, server_id: int, name: str) -> Chapter | None:
        """The chapter of this map; None when no mission file describes it."""
        name = name.lower()
        if not name or name in stock():
            return stock().get(name)
        if self._added is None:
            self._added = maps.added(set(self._blueprints.values()))
        chapter = self._added.get(self._blueprints.get(server_id, 0), {}).get(name)
        return chapter if chapter is not None and chapter.campaign else None
