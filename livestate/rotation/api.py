"""The API of rotations, queues, votes, and of what a server plays next."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, changed_fields, require_scope
from livestate.rotation import actions, shown, votes
from livestate.rotation.entries import Maps
from livestate.rotation.models import LONGEST_WAIT, MOST_ROUNDS, SHORTEST_WAIT, Rotation
from servers import lookups
from servers.models import Blueprint

router = Router(tags=["map rotation"])

Sequence = Literal["listed", "shuffled"]
Code = "`campaign:` and the first map of a whole campaign, or `map:` and a single map, such as `campaign:c1m1_hotel`"


class RotationEntryOut(Schema):
    code: str = Field(description=Code)
    kind: Literal["campaign", "map"]
    map: str
    title: str
    availability: Literal["ready", "restart", "gone"] = Field(
        description="restart: added after the start of the server, so that it can be played after the next one"
    )


class RotationSettingsOut(Schema):
    is_on: bool = Field(description="Change to the next campaign when one has ended")
    sequence: Sequence
    repeats: bool = Field(description="Begin again after the last one")
    wait_seconds: int = Field(description="Between the end of a campaign and the change")
    survival_rounds: int = Field(description="After how many rounds of survival the next map comes")


class RotationOut(Schema):
    """A rotation without what servers make of it."""

    settings: RotationSettingsOut | None
    entries: list[RotationEntryOut]


class RotationNoteOut(Schema):
    at: datetime
    code: str
    text: str


class ServerRotationOut(Schema):
    rotation: RotationSettingsOut | None
    source: Literal["none", "server", "blueprint"] = Field(description="Whose rotation the server follows")
    entries: list[RotationEntryOut]
    queue: list[RotationEntryOut] = Field(description="Played before the rotation goes on, each once")
    next: RotationEntryOut | None
    next_from: Literal["queue", "rotation"] | None
    changes_at: datetime | None = Field(description="When the announced change comes; null if none is announced")
    notes: list[RotationNoteOut] = Field(description="What happened last, the newest first")


class RotationIn(Body):
    """What is not given stays; at first, a server's rotation is that of its blueprint."""

    entries: list[str] | None = Field(None, max_length=200, description=Code)
    is_on: bool | None = None
    sequence: Sequence | None = None
    repeats: bool | None = None
    wait_seconds: int | None = Field(None, ge=SHORTEST_WAIT, le=LONGEST_WAIT)
    survival_rounds: int | None = Field(None, ge=1, le=MOST_ROUNDS)


class QueueIn(Body):
    entries: list[str] = Field(max_length=actions.MOST_QUEUED, description=f"{Code}. An empty list clears the queue.")


class NextIn(Body):
    operation: Literal["now", "cancel"] = Field(
        description="now: change at once to what comes next; cancel: take back the announced change"
    )


class VoteOut(Schema):
    at: datetime
    issue: str = Field(description="The game's name of what is voted for")
    title: str
    subject: str = Field(description="The campaign, the difficulty or the player that the vote is about")
    starter: str
    steam_id_64: str | None
    outcome: Literal["open", "passed", "failed", "unknown"]
    yes: int | None
    no: int | None
    voters: int | None

    @staticmethod
    def resolve_steam_id_64(vote: votes.Vote) -> str | None:
        return str(vote.steam_id_64) if vote.steam_id_64 else None


class VotesQuery(Schema):
    limit: int = Field(50, ge=1, le=200)


@router.get("/servers/{id:server_id}/rotation", response=ServerRotationOut, summary="Get what a server plays next")
def get_server_rotation(request: HttpRequest, server_id: int) -> dict[str, Any]:
    """With its queue, and the rotation that it follows."""
    server = lookups.server_or_404(signed_in(request), server_id)
    return shown.as_json(shown.of_server(server, now=timezone.now()))


@router.patch(
    "/servers/{id:server_id}/rotation", response=ServerRotationOut, summary="Change the rotation of one server"
)
def set_server_rotation(request: HttpRequest, server_id: int, given: RotationIn) -> dict[str, Any]:
    """The server then has a rotation of its own."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    changes = changed_fields(given, besides={"entries"})
    actions.set_rotation(of=server, by=user, codes=given.entries, request=request, **changes)
    return shown.as_json(shown.of_server(server, now=timezone.now()))


@router.delete(
    "/servers/{id:server_id}/rotation", response={204: None}, summary="Let a server follow its blueprint's rotation"
)
def remove_server_rotation(request: HttpRequest, server_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.remove_rotation(of=lookups.server_to_edit(user, server_id), by=user, request=request)
    return Status(204, None)


@router.put("/servers/{id:server_id}/map-queue", response=ServerRotationOut, summary="Set the map queue of a server")
def set_queue(request: HttpRequest, server_id: int, given: QueueIn) -> dict[str, Any]:
    """The first one is played next, when the present campaign has ended."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_operate(user, server_id)
    actions.set_queue(server=server, codes=given.entries, by=user, request=request)
    return shown.as_json(shown.of_server(server, now=timezone.now()))


@router.post(
    "/servers/{id:server_id}/next-map", response=ServerRotationOut, summary="Change the map now, or cancel the change"
)
def next_map(request: HttpRequest, server_id: int, given: NextIn) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_operate(user, server_id)
    if given.operation == "now":
        actions.change_now(server=server, by=user, request=request)
    else:
        actions.cancel(server=server, by=user, request=request)
    return shown.as_json(shown.of_server(server, now=timezone.now()))


@router.get("/servers/{id:server_id}/votes", response=list[VoteOut], summary="List votes of players, latest first")
def list_votes(request: HttpRequest, server_id: int, query: Query[VotesQuery]) -> list[votes.Vote]:
    server = lookups.server_or_404(signed_in(request), server_id)
    return votes.of_server(server, actions.chapters_of(server), now=timezone.now(), most=query.limit)


@router.get("/blueprints/{id:blueprint_id}/rotation", response=RotationOut, summary="Get the rotation of a blueprint")
def get_blueprint_rotation(request: HttpRequest, blueprint_id: int) -> dict[str, Any]:
    return _of_blueprint(lookups.blueprint_to_edit(signed_in(request), blueprint_id))


@router.patch(
    "/blueprints/{id:blueprint_id}/rotation", response=RotationOut, summary="Change the rotation of a blueprint"
)
def set_blueprint_rotation(request: HttpRequest, blueprint_id: int, given: RotationIn) -> dict[str, Any]:
    """For all its servers that have none of their own."""
    require_scope(request, "operate")
    user = signed_in(request)
    blueprint = lookups.blueprint_to_edit(user, blueprint_id)
    changes = changed_fields(given, besides={"entries"})
    actions.set_rotation(of=blueprint, by=user, codes=given.entries, request=request, **changes)
    return _of_blueprint(blueprint)


@router.delete(
    "/blueprints/{id:blueprint_id}/rotation", response={204: None}, summary="Remove the rotation of a blueprint"
)
def remove_blueprint_rotation(request: HttpRequest, blueprint_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.remove_rotation(of=lookups.blueprint_to_edit(user, blueprint_id), by=user, request=request)
    return Status(204, None)


def _of_blueprint(blueprint: Blueprint) -> dict[str, Any]:
    row = Rotation.objects.filter(blueprint=blueprint).first()
    listed = shown.shown(row.listed if row else [], Maps(actions.chapters_of(blueprint), None))
    return {"settings": row, "entries": [shown.entry_json(each) for each in listed]}
