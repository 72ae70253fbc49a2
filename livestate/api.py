"""JSON API for live state, history and orders."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, Window, page_of, require_scope
from livestate import actions, live
from livestate import history as histories
from livestate.campaigns import Chapter, playable
from livestate.history import Regular, Span, Step
from livestate.live import Kind, Live, ShownPlayer
from livestate.models import Order, PlayerSession
from servers import lookups
from servers.actions import interruptions

router = Router(tags=["live state"])

SpanCode = Literal["24h", "7d", "30d"]
OrderKind = Literal[
    "command", "say", "kick", "map", "difficulty", "mode", "load_plugin", "unload_plugin", "reload_plugin"
]


class PlayerOut(Schema):
    steam_id_64: str = Field(description="A string, because the number exceeds JavaScript's exact integers")
    name: str
    avatar_url: str
    joined_at: datetime
    left_at: datetime | None = Field(description="Null while the player is online")
    min_ping: int | None
    max_ping: int | None


class JoinerOut(Schema):
    name: str
    steam_id_64: str | None = Field(description="Null while Steam has not confirmed the player")


class LiveOut(Schema):
    state: Kind = Field(description="off, unheard (no answer since its start), stale, idle or played")
    players: int | None = Field(description="Human players, including those who are still loading; null without data")
    connecting: list[JoinerOut] = Field(description="The players who are still loading")
    max_players: int | None
    bots: int | None
    map: str | None
    campaign: str | None
    chapter: str | None
    hibernating: bool | None
    last_seen_at: datetime | None
    silent_since: datetime | None = Field(description="Since when the server has not responded; null while it does")
    current: list[PlayerOut]


class PlayableMapOut(Schema):
    map: str
    title: str
    campaign: str = Field(description="Empty for a map that belongs to no campaign")
    modes: list[str] = Field(description="Game modes of its mission; empty for maps of the game itself")


class StepOut(Schema):
    start: datetime
    most: int | None = Field(description="Maximum number of players; null without data")
    mean: float | None
    seen_seconds: float


class MapOut(Schema):
    map: str
    campaign: str | None
    chapter: str | None
    on_seconds: float
    played_seconds: float


class RegularOut(Schema):
    steam_id_64: str
    name: str
    avatar_url: str
    seconds: float
    visits: int


class HistoryOut(Schema):
    span: SpanCode
    start: datetime
    end: datetime
    steps: list[StepOut]
    maps: list[MapOut]
    top_players: list[RegularOut]


PlayersPage = page_of(PlayerOut, "PlayersPage")


class OrderIn(Body):
    kind: OrderKind = "command"
    value: str = Field(
        max_length=1000,
        description="The command, the text, the map, the player's steam_id_64, or the path of a plugin",
    )
    interrupt: str = Field("", max_length=40, description=interruptions.INTERRUPT)


class OrderOut(Schema):
    id: int
    kind: OrderKind | Literal["ban"] = Field(description="ban: of earlier releases; see /bans")
    value: str
    minutes: int
    by: str | None
    state: Literal["queued", "running", "done", "uncertain", "failed"] = Field(
        description="uncertain: the order was sent, but its effect could not be verified"
    )
    output: str
    note: str
    created_at: datetime
    finished_at: datetime | None


OrdersPage = page_of(OrderOut, "OrdersPage")


class HistoryQuery(Schema):
    span: SpanCode = "24h"


@router.get("/servers/{id:server_id}/live", response=LiveOut, summary="Get live state and current players")
def read_live(request: HttpRequest, server_id: int) -> dict[str, Any]:
    server = lookups.server_or_404(signed_in(request), server_id)
    return _live(live.of(server, now=timezone.now()), live.current_players(server))


@router.get("/servers/{id:server_id}/maps", response=list[PlayableMapOut], summary="List available maps")
def list_maps(request: HttpRequest, server_id: int) -> list[Chapter]:
    """Those in the overlays of its blueprint first, then those of the game itself."""
    server = lookups.server_or_404(signed_in(request), server_id)
    return list(playable(server).values())


@router.get(
    "/servers/{id:server_id}/history",
    response=HistoryOut,
    summary="Get history: players over time, maps and top players",
)
def read_history(request: HttpRequest, server_id: int, query: Query[HistoryQuery]) -> dict[str, Any]:
    server = lookups.server_or_404(signed_in(request), server_id)
    history = histories.of(server, span=Span.of(query.span), now=timezone.now())
    return {
        "span": history.span.code,
        "start": history.start,
        "end": history.end,
        "steps": [_step(step) for step in history.steps],
        "maps": [
            {
                "map": played.map,
                "campaign": played.chapter.campaign if played.chapter else None,
                "chapter": played.chapter.title if played.chapter else None,
                "on_seconds": played.time.total_seconds(),
                "played_seconds": played.played.total_seconds(),
            }
            for played in history.maps
        ],
        "top_players": [_regular(regular) for regular in history.regulars],
    }


@router.get("/servers/{id:server_id}/players", response=PlayersPage, summary="List player sessions, latest first")
def list_players(request: HttpRequest, server_id: int, window: Query[Window]) -> dict[str, Any]:
    server = lookups.server_or_404(signed_in(request), server_id)
    rows = PlayerSession.objects.filter(server=server).order_by("-joined_at", "-pk")
    players = live.with_profiles(list(rows[window.offset : window.offset + window.limit]))
    return {"items": [_player(player) for player in players], "count": rows.count()}


@router.get("/servers/{id:server_id}/orders", response=OrdersPage, summary="List commands, latest first")
def list_orders(request: HttpRequest, server_id: int, window: Query[Window]) -> dict[str, Any]:
    server = lookups.server_to_operate(signed_in(request), server_id)
    rows = Order.objects.filter(server=server).select_related("user").order_by("-pk")
    page = rows[window.offset : window.offset + window.limit]
    return {"items": [_order(order) for order in page], "count": rows.count()}


@router.post("/servers/{id:server_id}/orders", response={202: OrderOut}, summary="Send a command to the game")
def give_order(request: HttpRequest, server_id: int, body: OrderIn) -> Status[dict[str, Any]]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_operate(user, server_id)
    order = actions.give_order(
        server=server, by=user, kind=body.kind, value=body.value, request=request, interrupting=body.interrupt
    )
    return Status(202, _order(order))


@router.get("/servers/{id:server_id}/orders/{id:order_id}", response=OrderOut, summary="Get a command")
def read_order(request: HttpRequest, server_id: int, order_id: int) -> dict[str, Any]:
    server = lookups.server_to_operate(signed_in(request), server_id)
    order = Order.objects.filter(server=server, pk=order_id).select_related("user").first()
    if order is None:
        raise Http404
    return _order(order)


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": order.pk,
        "kind": order.kind,
        "value": order.value,
        "minutes": order.minutes,
        "by": order.user.get_username() if order.user else None,
        "state": order.state_at(timezone.now()),
        "output": order.output,
        "note": order.note,
        "created_at": order.created_at,
        "finished_at": order.finished_at,
    }


def _live(current: Live, players: list[ShownPlayer]) -> dict[str, Any]:
    # A snapshot from before the latest start is history, not live state.
    shown = current.snapshot if current.kind not in (Kind.OFF, Kind.UNHEARD) else None
    chapter = current.chapter if shown else None
    return {
        "state": current.kind,
        "players": shown.players if shown else None,
        "connecting": [
            {"name": joiner.name, "steam_id_64": str(joiner.steam_id_64) if joiner.steam_id_64 else None}
            for joiner in current.connecting
        ],
        "max_players": shown.max_players if shown else None,
        "bots": shown.bots if shown else None,
        "map": shown.map if shown else None,
        "campaign": chapter.campaign if chapter else None,
        "chapter": chapter.title if chapter else None,
        "hibernating": shown.hibernating if shown else None,
        "last_seen_at": current.last_seen_at,
        "silent_since": current.silence.since if current.silence else None,
        "current": [_player(player) for player in players],
    }


def _player(player: ShownPlayer) -> dict[str, Any]:
    session = player.session
    return {
        "steam_id_64": str(session.steam_id_64),
        "name": player.name,
        "avatar_url": player.avatar_url,
        "joined_at": session.joined_at,
        "left_at": session.left_at,
        "min_ping": session.min_ping,
        "max_ping": session.max_ping,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "start": step.start,
        "most": step.most if step.seen else None,
        "mean": round(step.mean, 2) if step.seen else None,
        "seen_seconds": round(step.seen.total_seconds(), 1),
    }


def _regular(regular: Regular) -> dict[str, Any]:
    return {
        "steam_id_64": str(regular.player.session.steam_id_64),
        "name": regular.player.name,
        "avatar_url": regular.player.avatar_url,
        "seconds": regular.time.total_seconds(),
        "visits": regular.visits,
    }
