"""JSON API of matches and of the modes that a server can load."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, Window, listed, page_of, require_scope
from left4me.core.web.ids import Id
from livestate.matches import actions, state
from livestate.matches import lookups as matches
from livestate.matches.models import LONGEST_EMPTY_MINUTES, MOST_PLAYERS, Match
from overlays.match_modes import LONGEST_CODE, MatchMode
from servers import lookups

router = Router(tags=["matches"])

State = Literal["waiting", "loading", "live", "ending", "ended", "failed", "cancelled"]
Team = Literal["A", "B", ""]


class MatchModeOut(Schema):
    code: str = Field(description="The name of its folder below cfg/cfgogl")
    title: str
    group: str = Field(description="The group in which the pack offers it; empty if it does not")
    game_mode: str = Field(description="Such as versus; empty if its confogl.cfg does not say")
    team_size: int


class MatchOut(Schema):
    id: int
    server_id: int
    mode: str
    mode_title: str
    map: str = Field(description="The map to begin with; empty for the one that was being played")
    wanted_players: int
    loads_when_ready: bool
    empty_minutes: int
    state: State
    phase: Literal["", "ready_up", "round"] = Field(description="Of a live match: who plays gets ready, or plays")
    reason: Literal["", "hand", "empty", "pack", "changed", "server"] = Field(description="Why it ended")
    note: str = Field(description="What the game answered, where that explains the state")
    by: str | None
    ended_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    score: list[int] | None = Field(description="The points of teams A and B; null where the game does not tell them")


class MatchPlayerOut(Schema):
    steam_id_64: str
    name: str
    team: Team = Field(description="Empty where it is not known")
    seconds: float = Field(description="The time on the server during the match")


class MatchCandidateOut(Schema):
    steam_id_64: str
    name: str
    is_ready: bool = Field(description="Whether the player said !ready in chat")
    side: Literal["Survivor", "Infected", ""]


class MatchMapOut(Schema):
    map: str
    began_at: datetime | None
    score: list[int] | None = Field(description="The points of teams A and B on this map")


class MatchDemoOut(Schema):
    title: str
    url: str


class MatchDetailOut(MatchOut):
    online: list[MatchCandidateOut] = Field(description="Who is on the server; empty once the match is over")
    players: list[MatchPlayerOut]
    maps: list[MatchMapOut]
    demos: list[MatchDemoOut]


class MatchIn(Body):
    mode: str = Field(max_length=LONGEST_CODE)
    map: str = Field("", max_length=64, description="Empty for the map that is being played")
    load: Literal["now", "ready", "hand"] = "ready"
    players: int | None = Field(None, ge=1, le=MOST_PLAYERS, description="Left out: full teams of the mode")
    empty_minutes: int = Field(5, ge=1, le=LONGEST_EMPTY_MINUTES)


class MatchQuery(Window):
    q: str = Field("", max_length=matches.LONGEST_SEARCH, description="A mode, a map, or part of a server's name")
    state: Literal["", "open", "over"] = ""
    server: Id | None = None
    player: Id | None = Field(None, description="The Steam ID of somebody who played")


MatchesPage = page_of(MatchOut, "MatchesPage")


@router.get("/servers/{id:server_id}/match-modes", response=list[MatchModeOut], summary="List match modes of a server")
def list_match_modes(request: HttpRequest, server_id: int) -> list[MatchMode]:
    return actions.modes_of(lookups.server_or_404(signed_in(request), server_id))


@router.post("/servers/{id:server_id}/matches", response={201: MatchOut}, summary="Plan a match")
def create_match(request: HttpRequest, server_id: int, given: MatchIn) -> Status[dict[str, Any]]:
    """Its mode is loaded now, when enough players are ready, or by hand with /matches/{id}/load."""
    require_scope(request, "operate")
    user = signed_in(request)
    match = actions.create(
        server=lookups.server_to_operate(user, server_id),
        by=user,
        mode=given.mode,
        map_name=given.map,
        wanted_players=given.players,
        load=given.load,
        empty_minutes=given.empty_minutes,
        request=request,
    )
    return Status(201, _match(match))


@router.get("/matches", response=MatchesPage, summary="List matches, latest first")
def list_matches(request: HttpRequest, query: Query[MatchQuery]) -> dict[str, Any]:
    chosen = matches.Filter(q=query.q.strip(), state=query.state, server=query.server, player=query.player)
    page = listed(chosen.rows(signed_in(request)), query)
    return {**page, "items": [_match(match) for match in page["items"]]}


@router.get("/matches/{id:match_id}", response=MatchDetailOut, summary="Get a match with its players, maps and score")
def get_match(request: HttpRequest, match_id: int) -> dict[str, Any]:
    shown = state.of(matches.match_or_404(signed_in(request), match_id), now=timezone.now())
    return {
        **_match(shown.match),
        "online": [
            {
                "steam_id_64": str(each.player.session.steam_id_64),
                "name": each.player.name,
                "is_ready": each.is_ready,
                "side": each.side,
            }
            for each in shown.candidates
        ],
        "players": [
            {
                "steam_id_64": str(each.row.steam_id_64),
                "name": each.name,
                "team": each.row.team,
                "seconds": each.stayed.total_seconds(),
            }
            for each in shown.participants
        ],
        "maps": [
            {"map": each.name, "began_at": each.began_at, "score": list(each.points) if each.points else None}
            for each in shown.maps
        ],
        "demos": [{"title": demo.title, "url": demo.url} for demo in shown.demos],
    }


@router.post("/matches/{id:match_id}/load", response=MatchOut, summary="Load the mode of a match now")
def load_match(request: HttpRequest, match_id: int) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    match = matches.match_to_operate(user, match_id)
    actions.load(match=match, by=user, request=request)
    return _match(match)


@router.post("/matches/{id:match_id}/end", response=MatchOut, summary="End a match, or cancel one that waits")
def end_match(request: HttpRequest, match_id: int) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    match = matches.match_to_operate(user, match_id)
    actions.end(match=match, by=user, request=request)
    return _match(match)


def _match(match: Match) -> dict[str, Any]:
    names = ("mode", "mode_title", "map", "wanted_players", "loads_when_ready", "empty_minutes", "state", "phase")
    return {
        "id": match.pk,
        "server_id": match.server_id,
        **{name: getattr(match, name) for name in (*names, "reason", "note")},
        "by": match.created_by.get_username() if match.created_by else None,
        "ended_by": match.ended_by.get_username() if match.ended_by else None,
        **{name: getattr(match, name) for name in ("created_at", "started_at", "ended_at")},
        "score": list(match.score) if match.score else None,
    }
