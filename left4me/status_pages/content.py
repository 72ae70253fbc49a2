"""What a status page shows: plain values, made from rows, without anything that its owner did not choose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Max
from django.templatetags.static import static

from left4me.status_pages.models import MOST_SERVERS, StatusPage
from livestate import live
from livestate.campaigns import Chapter, MapTitles
from livestate.figures import sparklines
from livestate.live import Kind, Live
from livestate.models import PlayerSession, Snapshot
from servers.lifecycle import status
from servers.models import Server

_HISTORY: Final = timedelta(hours=24)
_RECENT_CAMPAIGNS: Final = 4


def of(page: StatusPage, *, now: datetime) -> dict[str, Any]:
    """The content of `page` as plain values. The number of queries does not depend on its servers."""
    servers = list(page.shown_servers[:MOST_SERVERS])
    lives = live.of_servers(servers, now=now)
    players = _players(servers) if page.shows_players else {}
    sparks = sparklines.of_servers(servers, now=now) if page.shows_history else {}
    recent = _recent_campaigns(servers, now=now) if page.shows_history else {}
    shown = []
    for current in lives:
        server = current.server
        entry = _server(current, now=now)
        if page.shows_players:
            entry["players"]["names"] = players.get(server.pk, []) if current.is_current else []
        if page.shows_join:
            entry["address"] = _address(server)
        if page.shows_history:
            spark = sparks.get(server.pk)
            entry["history"] = {
                "most_players": spark.highest if spark else 0,
                "campaigns": [title for title in recent.get(server.pk, []) if title != entry["campaign"]],
                "line": spark.line if spark else "",
                "area": spark.area if spark else "",
            }
        shown.append(entry)
    return {
        "title": page.title,
        "running": sum(entry["state"] == "running" for entry in shown),
        "players": sum(entry["players"]["online"] for entry in shown),
        "servers": shown,
    }


def _server(current: Live, *, now: datetime) -> dict[str, Any]:
    snapshot = current.snapshot if current.is_current else None
    chapter = status.chapter_of(current.server, current)
    return {
        "id": current.server.pk,
        "name": current.server.name,
        "state": _state(current, now=now),
        "map": snapshot.map if snapshot else "",
        "campaign": chapter.campaign if chapter else "",
        "chapter": chapter.title if chapter else "",
        "picture": _picture(chapter, "svg"),
        # For programs that take no SVG.
        "card": _picture(chapter, "png"),
        "players": {
            "online": snapshot.players if snapshot else 0,
            "most": snapshot.max_players if snapshot else 0,
        },
    }


def _state(current: Live, *, now: datetime) -> str:
    """One word for visitors: why a server does not run is its owner's business."""
    server = current.server
    if server.host.is_down(now) or server.actual_state == Server.State.UNKNOWN:
        return "unknown"
    if server.actual_state == Server.State.RUNNING:
        if current.kind == Kind.UNHEARD:
            return "starting"
        return "unresponsive" if server.hung_since or current.kind == Kind.STALE else "running"
    return "starting" if server.actual_state == Server.State.STARTING else "stopped"


def _picture(chapter: Chapter | None, kind: str) -> str:
    if chapter is not None and chapter.preview_url:
        return chapter.preview_url
    drawing = (chapter.drawing if chapter else "") or "left4me/campaigns/other.svg"
    return static(drawing.removesuffix("svg") + kind)


def _address(server: Server) -> str:
    return server.host.join_address(server.port, site=urlsplit(settings.LEFT4ME_PUBLIC_URL).netloc)


def _players(servers: Sequence[Server]) -> dict[int, list[dict[str, Any]]]:
    """Name, picture and time of joining of who is online, by server; the longest stay comes first."""
    sessions = PlayerSession.objects.open().filter(server__in=servers).order_by("joined_at", "pk")
    found: dict[int, list[dict[str, Any]]] = {}
    for player in live.with_profiles(list(sessions)):
        entry = {"name": player.name, "avatar": player.avatar_url, "since": player.session.joined_at}
        found.setdefault(player.session.server_id, []).append(entry)
    return found


def _recent_campaigns(servers: Sequence[Server], *, now: datetime) -> dict[int, list[str]]:
    """The titles of the campaigns of the last day, by server; the latest comes first."""
    titles = MapTitles(servers)
    played = Snapshot.objects.during(now - _HISTORY, now).filter(server__in=servers, players__gt=0)
    found: dict[int, list[str]] = {}
    for server_id, name, _last in (
        played.values_list("server_id", "map").annotate(last=Max("last_seen_at")).order_by("-last")
    ):
        chapter = titles.chapter(server_id, name)
        known = found.setdefault(server_id, [])
        if chapter and chapter.campaign and chapter.campaign not in known and len(known) < _RECENT_CAMPAIGNS:
            known.append(chapter.campaign)
    return found
