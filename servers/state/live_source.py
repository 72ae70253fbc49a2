"""Players and maps of running games, for pages of servers. The app that polls the games registers as their source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString

from servers.models import Server

# One value for each server, in the given order; `servers/_live_badge.html` shows it.
ReadLive = Callable[[Sequence[Server], datetime], Sequence[Any]]
# The players of one server as HTML, refreshed by itself; the last argument is what `ReadLive` gave for it.
RenderPlayers = Callable[[HttpRequest, Server, Any], SafeString]

# The players of the last day, by server; `servers/_spark.html` draws them. Servers without players are missing.
ReadSparklines = Callable[[Sequence[Server], datetime], Mapping[int, Any]]


@dataclass(frozen=True, kw_only=True)
class _Source:
    read: ReadLive
    render_players: RenderPlayers
    sparklines: ReadSparklines


_sources: list[_Source] = []


def register(*, read: ReadLive, render_players: RenderPlayers, sparklines: ReadSparklines) -> None:
    _sources[:] = [_Source(read=read, render_players=render_players, sparklines=sparklines)]


def of_servers(servers: Sequence[Server], *, now: datetime) -> dict[int, Any]:
    """What is known of each of these servers, by id; empty without a source."""
    return {
        server.pk: live for source in _sources for server, live in zip(servers, source.read(servers, now), strict=True)
    }


def sparklines(servers: Sequence[Server], *, now: datetime) -> dict[int, Any]:
    return {pk: spark for source in _sources for pk, spark in source.sparklines(servers, now).items()}


def players(request: HttpRequest, server: Server, live: Any) -> SafeString:
    return SafeString("".join(source.render_players(request, server, live) for source in _sources))
