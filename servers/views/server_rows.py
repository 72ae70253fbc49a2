"""Servers as HTML: the rows of the list, and the cards of the dashboard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from left4me.core.web import fragments
from servers import permissions
from servers.lifecycle.status import ServerStatus


@dataclass(frozen=True, kw_only=True)
class _Badge:
    kind: str
    label: str
    severity: str


@dataclass(frozen=True, kw_only=True)
class _Players:
    """What `servers/_live_badge.html` shows."""

    kind: str
    players: int | None
    max_players: int | None
    map: str
    chapter: str
    last_seen_at: Any  # only where its age is shown


@dataclass(frozen=True, kw_only=True)
class _Row:
    """Everything that a row shows. Rows that show the same are rendered once."""

    pk: int
    url: str
    name: str
    blueprint: str
    owner: str  # empty for one's own servers
    tags: tuple[str, ...]
    status: str
    label: str
    attention: tuple[_Badge, ...]
    restart_needed: bool
    live: _Players | None
    spark: Any
    address: str
    operation: str  # the most likely one, or empty


@dataclass(frozen=True, kw_only=True)
class _Card:
    """Everything that a card shows: what a row does, and a picture of the chapter."""

    row: _Row
    port: int
    drawing: str
    preview_url: str


def render_rows(request: HttpRequest, statuses: Iterable[ServerStatus]) -> SafeString:
    """The rows, one after the other."""
    return format_html_join("", "{}", ((render_row(request, status),) for status in statuses))


def render_row(request: HttpRequest, status: ServerStatus) -> SafeString:
    row = _row(status)
    return fragments.render(request, "servers/_row.html", "row", row, keep=_is_timeless(row))


def render_cards(request: HttpRequest, statuses: Iterable[ServerStatus]) -> SafeString:
    """The cards, one after the other."""
    cards = map(_card, statuses)
    return format_html_join(
        "",
        "{}",
        (
            (fragments.render(request, "servers/_card.html", "card", card, keep=_is_timeless(card.row)),)
            for card in cards
        ),
    )


def _is_timeless(row: _Row) -> bool:
    # The age of an old answer grows from one page to the next.
    return row.live is None or row.live.last_seen_at is None


def _card(status: ServerStatus) -> _Card:
    chapter = status.chapter
    return _Card(
        row=_row(status),
        port=status.server.port,
        drawing=chapter.drawing if chapter else "",
        preview_url=chapter.preview_url if chapter else "",
    )


def _row(status: ServerStatus) -> _Row:
    server = status.server
    return _Row(
        pk=server.pk,
        url=server.get_absolute_url(),
        name=server.name,
        blueprint=server.blueprint.name,
        owner="" if status.role == permissions.OWNER else str(server.owner),
        tags=tuple(server.tag_list),
        status=status.status,
        label=str(status.label),
        attention=tuple(
            _Badge(kind=reason.kind, label=str(reason.label), severity=reason.severity) for reason in status.attention
        ),
        restart_needed=status.restart_needed,
        live=_players(status.live),
        spark=status.spark,
        address=f"{server.host.name}:{server.port}",
        operation=status.actions[0] if status.actions else "",
    )


def _players(live: Any) -> _Players | None:
    if live is None:
        return None
    return _Players(
        kind=live.kind,
        players=live.players,
        max_players=live.max_players,
        map=live.map,
        chapter=str(live.chapter or ""),
        last_seen_at=live.last_seen_at if live.kind == "stale" else None,
    )
