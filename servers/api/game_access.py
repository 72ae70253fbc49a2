"""The API of admins, reserved slots and whitelists in the games of servers and blueprints."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web.api import Body, Window, changed_fields, listed, page_of, require_scope
from servers import actions, lookups
from servers.game_access import roster
from servers.models import Blueprint, GameAccess, GameAccessState, GamePerson, Server

router = Router(tags=["game admins"])

GameRole = Literal["admin", "moderator", "reserved", "player", "custom"]


class PersonOut(Schema):
    """A row of the list of a server or blueprint."""

    id: int
    username: str | None
    steam_id: str | None
    name: str
    role: GameRole
    flags: str = Field(description="SourceMod's flags that the role grants")
    immunity: int
    until: datetime | None

    @staticmethod
    def resolve_username(row: GamePerson) -> str | None:
        return row.user.get_username() if row.user else None

    @staticmethod
    def resolve_steam_id(row: GamePerson) -> str | None:
        return str(row.steam_id) if row.steam_id else None

    @staticmethod
    def resolve_flags(row: GamePerson) -> str:
        return row.granted_flags


PersonPage = page_of(PersonOut, "GamePersonPage")


class PersonIn(Body):
    person: str = Field(max_length=200, description="A username, or a Steam ID in any form")
    name: str = Field("", max_length=64, description="What to call the person behind a Steam ID")
    role: GameRole = "admin"
    flags: str = Field("", max_length=26, description="For the role `custom`: SourceMod's flags a to t, and z")
    immunity: int = Field(0, ge=0, le=99)
    until: datetime | None = None


class PersonChange(Body):
    """What is not given stays."""

    name: str | None = Field(None, max_length=64)
    role: GameRole | None = None
    flags: str | None = Field(None, max_length=26, description="For the role `custom`")
    immunity: int | None = Field(None, ge=0, le=99)
    until: datetime | None = Field(None, description="null: without an end")


class RulesOut(Schema):
    team_are_admins: bool = Field(description="The owner and operators of a server are admins in its game")
    whitelist: bool = Field(description="Only listed people may join")
    reserved_slots: int


class RulesIn(Body):
    team_are_admins: bool | None = None
    whitelist: bool | None = None
    reserved_slots: int | None = Field(None, ge=0, le=24)


class EntryOut(Schema):
    """A person as the game of a server knows them."""

    name: str
    username: str
    steam_id: str | None
    role: GameRole
    flags: str
    immunity: int
    source: Literal["server", "blueprint", "team"]
    until: datetime | None
    problem: str = Field(description="Why the person has no rights in the game; empty if they have")

    @staticmethod
    def resolve_steam_id(entry: roster.Entry) -> str | None:
        return str(entry.steam_id) if entry.steam_id else None

    @staticmethod
    def resolve_problem(entry: roster.Entry) -> str:
        return str(entry.problem_text)


class AppliedOut(Schema):
    """What became of the list on the running server."""

    result: Literal["applied", "no_sourcemod", "restart", "failed"]
    detail: str
    at: datetime


class RosterOut(Schema):
    items: list[EntryOut]
    count: int
    rules: RulesOut
    applied: AppliedOut | None


@router.get("/servers/{id:server_id}/admins", response=RosterOut, summary="List who has rights in a server's game")
def get_roster(request: HttpRequest, server_id: int) -> dict[str, Any]:
    """From the server, its blueprint, and the rule about its owner and operators."""
    server = lookups.server_to_operate(signed_in(request), server_id)
    whole = roster.of_one(server, now=timezone.now())
    applied = GameAccessState.objects.filter(server=server).first()
    return {"items": whole.entries, "count": len(whole.entries), "rules": whole.rules, "applied": applied}


@router.get(
    "/servers/{id:server_id}/admins/own", response=PersonPage, summary="List the people of a server's own list"
)
def list_server_people(request: HttpRequest, server_id: int, window: Query[Window]) -> dict[str, Any]:
    server = lookups.server_to_operate(signed_in(request), server_id)
    return listed(GamePerson.objects.of(server).select_related("user"), window)


@router.post("/servers/{id:server_id}/admins", response={201: PersonOut}, summary="List a person for a server")
def set_server_person(request: HttpRequest, server_id: int, given: PersonIn) -> Status[GamePerson]:
    """A person who is listed already gets the new values. Running servers take it over within seconds."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    return Status(201, actions.set_person(of=server, by=user, **given.model_dump()))


@router.patch(
    "/servers/{id:server_id}/admins/{id:person_id}", response=PersonOut, summary="Change a person of a server's list"
)
def change_server_person(request: HttpRequest, server_id: int, person_id: int, given: PersonChange) -> GamePerson:
    require_scope(request, "operate")
    user = signed_in(request)
    return _change(lookups.server_to_edit(user, server_id), person_id, given, by=user)


@router.delete(
    "/servers/{id:server_id}/admins/{id:person_id}", response={204: None}, summary="Take a person off a server's list"
)
def remove_server_person(request: HttpRequest, server_id: int, person_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    return _remove(lookups.server_to_edit(user, server_id), person_id, request)


@router.patch("/servers/{id:server_id}/game-access", response=RulesOut, summary="Change the rules of a server")
def set_server_rules(request: HttpRequest, server_id: int, given: RulesIn) -> GameAccess:
    require_scope(request, "operate")
    user = signed_in(request)
    return actions.set_rules(of=lookups.server_to_edit(user, server_id), by=user, **changed_fields(given))


@router.get(
    "/blueprints/{id:blueprint_id}/admins", response=PersonPage, summary="List the people of a blueprint's list"
)
def list_blueprint_people(request: HttpRequest, blueprint_id: int, window: Query[Window]) -> dict[str, Any]:
    blueprint = lookups.blueprint_to_edit(signed_in(request), blueprint_id)
    return listed(GamePerson.objects.of(blueprint).select_related("user"), window)


@router.post(
    "/blueprints/{id:blueprint_id}/admins", response={201: PersonOut}, summary="List a person for a blueprint"
)
def set_blueprint_person(request: HttpRequest, blueprint_id: int, given: PersonIn) -> Status[GamePerson]:
    """For all servers of the blueprint."""
    require_scope(request, "operate")
    user = signed_in(request)
    blueprint = lookups.blueprint_to_edit(user, blueprint_id)
    return Status(201, actions.set_person(of=blueprint, by=user, **given.model_dump()))


@router.patch(
    "/blueprints/{id:blueprint_id}/admins/{id:entry_id}",
    response=PersonOut,
    summary="Change a person of a blueprint's list",
)
def change_blueprint_person(request: HttpRequest, blueprint_id: int, entry_id: int, given: PersonChange) -> GamePerson:
    require_scope(request, "operate")
    user = signed_in(request)
    return _change(lookups.blueprint_to_edit(user, blueprint_id), entry_id, given, by=user)


@router.delete(
    "/blueprints/{id:blueprint_id}/admins/{id:entry_id}",
    response={204: None},
    summary="Take a person off a blueprint's list",
)
def remove_blueprint_person(request: HttpRequest, blueprint_id: int, entry_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    return _remove(lookups.blueprint_to_edit(user, blueprint_id), entry_id, request)


@router.patch(
    "/blueprints/{id:blueprint_id}/game-access", response=RulesOut, summary="Change the rules of a blueprint"
)
def set_blueprint_rules(request: HttpRequest, blueprint_id: int, given: RulesIn) -> GameAccess:
    require_scope(request, "operate")
    user = signed_in(request)
    return actions.set_rules(of=lookups.blueprint_to_edit(user, blueprint_id), by=user, **changed_fields(given))


def _remove(of: Server | Blueprint, person_id: int, request: HttpRequest) -> Status[None]:
    actions.remove_person(row=_row(of, person_id), by=signed_in(request))
    return Status(204, None)


def _change(of: Server | Blueprint, person_id: int, given: PersonChange, *, by: User) -> GamePerson:
    row = _row(of, person_id)
    kept = {name: getattr(row, name) for name in PersonChange.model_fields}
    # Here alone null is a value of its own: no end.
    end = {"until": given.until} if "until" in given.model_fields_set else {}
    return actions.change_person(row=row, by=by, **(kept | changed_fields(given) | end))


def _row(of: Server | Blueprint, person_id: int) -> GamePerson:
    row = GamePerson.objects.of(of).select_related("user", "server", "blueprint").filter(pk=person_id).first()
    if row is None:
        raise Http404
    return row
