"""JSON API for bans and their lists."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core import names
from left4me.core.web.api import Body, Window, changed_fields, listed, page_of, require_scope
from left4me.core.web.ids import Id
from livestate.bans import actions, formats, list_views, permissions, state
from livestate.bans.models import LONGEST_REASON, Ban, BanList
from livestate.bans.views import Filter
from servers import lookups
from servers.models import Server

router = Router(tags=["bans"])

Minutes = Annotated[int, Field(ge=0, le=actions.LONGEST_MINUTES, description="Its length; 0 is permanent")]


class BanOut(Schema):
    id: int
    list_id: int
    target: str = Field(description="A SteamID64, an IPv4 address, or an IPv4 network such as 203.0.113.0/24")
    name: str = Field(description="The player's name at the time of the ban")
    reason: str
    evidence: str
    by: str | None = Field(description="Null for a ban that was made in a game")
    created_at: datetime
    expires_at: datetime | None = Field(description="Null for a permanent ban")
    state: Literal["active", "expired", "lifted"]
    ended_at: datetime | None
    ended_by: str | None


class BanIn(Body):
    """A ban on one list: `list_id`, the own list of `server_id`, or without both your list for all your servers."""

    target: str = Field(max_length=100, description="A SteamID in any form, an IPv4 address or network")
    list_id: Id | None = None
    server_id: Id | None = None
    minutes: Minutes = 0
    name: str = Field("", max_length=128)
    reason: str = Field("", max_length=LONGEST_REASON)
    evidence: str = Field("", max_length=500)


class BanChange(Body):
    """Fields that are left out keep their values. The length counts from the beginning of the ban."""

    minutes: Minutes | None = None
    name: str | None = Field(None, max_length=128)
    reason: str | None = Field(None, max_length=LONGEST_REASON)
    evidence: str | None = Field(None, max_length=500)


class BanProgressOut(Schema):
    server_id: int
    state: Literal["applied", "waiting", "failed", "stopped"]
    reason: str = Field(description="Why the game has not confirmed the ban")


class BanDetailOut(BanOut):
    servers: list[BanProgressOut] = Field(description="What the game of each server has of an active ban")


class BanListOut(Schema):
    id: int
    title: str
    owner: str
    server_id: int | None = Field(description="The one server that it applies to; null for all servers of its owner")
    is_default: bool
    is_shared: bool
    is_subscribed: bool = Field(description="Whether it applies to all your servers because you subscribed to it")
    subscribed_servers: list[int] = Field(description="Your servers that it applies to one by one")
    bans: int = Field(description="Active bans")


class BanListIn(Body):
    name: str = Field(max_length=names.LONGEST)
    is_shared: bool = False


class BanListChange(Body):
    name: str | None = Field(None, max_length=names.LONGEST)
    is_shared: bool | None = None


class SubscriptionQuery(Schema):
    server: Id | None = Field(None, description="One server instead of all your servers")


class BanImportIn(Body):
    content: str = Field(max_length=formats.LARGEST, description="The text of a file of a game, SourceBans or left4me")
    dry_run: bool = Field(False, description="Count only, and add nothing")


class BanImportOut(Schema):
    added: int
    known: int = Field(description="Targets that the list has already")
    ended: int = Field(description="Bans that were lifted or have expired")
    faults: list[str] = Field(description="The first lines that name nothing that can be banned")


BansPage = page_of(BanOut, "BansPage")
BanListsPage = page_of(BanListOut, "BanListsPage")


class BanQuery(Window):
    q: str = Field("", max_length=200, description="Part of the name, the reason or the target")
    state: Literal["active", "expired", "lifted", "all"] = "active"
    server: Id | None = Field(None, description="Only what applies to this server")
    list: Id | None = Field(None, description="Left out: all lists that apply to your servers")


@router.get("/bans", response=BansPage, summary="List bans, latest first")
def list_bans(request: HttpRequest, query: Query[BanQuery]) -> dict[str, Any]:
    chosen = Filter(q=query.q, state=query.state, server=query.server, ban_list=query.list)
    page = listed(chosen.rows(signed_in(request), timezone.now()), query)
    return {**page, "items": [_ban(ban) for ban in page["items"]]}


@router.post("/bans", response={201: BanOut}, summary="Ban a player or an address")
def create_ban(request: HttpRequest, given: BanIn) -> Status[dict[str, Any]]:
    require_scope(request, "operate")
    user = signed_in(request)
    fields = given.model_dump(exclude={"list_id", "server_id"})
    return Status(201, _ban(actions.add(ban_list=_list(user, given), by=user, request=request, **fields)))


@router.get("/bans/{id:ban_id}", response=BanDetailOut, summary="Get a ban, and what games have of it")
def get_ban(request: HttpRequest, ban_id: int) -> dict[str, Any]:
    user = signed_in(request)
    ban = permissions.ban_or_404(user, ban_id)
    progress = state.on_servers(ban, user=user) if ban.is_active else []
    servers = [{"server_id": each.server.pk, "state": each.code, "reason": each.reason} for each in progress]
    return {**_ban(ban), "servers": servers}


@router.patch("/bans/{id:ban_id}", response=BanOut, summary="Change reason, evidence, name or length")
def change_ban(request: HttpRequest, ban_id: int, given: BanChange) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    ban = permissions.ban_to_change(user, ban_id)
    return _ban(actions.change(ban=ban, by=user, **changed_fields(given)))


@router.delete("/bans/{id:ban_id}", response={204: None}, summary="Lift a ban")
def lift_ban(request: HttpRequest, ban_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.lift(ban=permissions.ban_to_change(user, ban_id), by=user)
    return Status(204, None)


@router.get("/banlists", response=BanListsPage, summary="List ban lists: yours, and those that others share")
def list_ban_lists(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    user = signed_in(request)
    actions.default_list(user)
    page = listed(BanList.objects.visible_to(user).values_list("pk", flat=True), window)
    # Bans are counted of the lists that are asked for.
    rows = list_views.counted(permissions.visible_lists(user).filter(pk__in=page["items"]), user)
    return {**page, "items": [_ban_list(each) for each in rows]}


@router.post("/banlists", response={201: BanListOut}, summary="Create a list for all your servers")
def create_ban_list(request: HttpRequest, given: BanListIn) -> Status[dict[str, Any]]:
    require_scope(request, "operate")
    user = signed_in(request)
    made = actions.create_list(owner=user, by=user, **given.model_dump())
    return Status(201, _one_list(user, made.pk))


@router.get("/banlists/{id:list_id}", response=BanListOut, summary="Get a ban list")
def get_ban_list(request: HttpRequest, list_id: int) -> dict[str, Any]:
    user = signed_in(request)
    return _one_list(user, permissions.list_or_404(user, list_id).pk)


@router.patch("/banlists/{id:list_id}", response=BanListOut, summary="Rename or share a ban list")
def change_ban_list(request: HttpRequest, list_id: int, given: BanListChange) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.change_list(ban_list=permissions.list_to_edit(user, list_id), by=user, **changed_fields(given))
    return _one_list(user, list_id)


@router.delete("/banlists/{id:list_id}", response={204: None}, summary="Delete a list with its bans")
def delete_ban_list(request: HttpRequest, list_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.delete_list(ban_list=permissions.list_to_edit(user, list_id), by=user)
    return Status(204, None)


@router.put("/banlists/{id:list_id}/subscription", response={204: None}, summary="Apply a shared list to your servers")
def subscribe(request: HttpRequest, list_id: int, query: Query[SubscriptionQuery]) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    ban_list = permissions.list_or_404(user, list_id)
    actions.subscribe(ban_list=ban_list, by=user, server=_server(user, query))
    return Status(204, None)


@router.delete("/banlists/{id:list_id}/subscription", response={204: None}, summary="End a subscription")
def unsubscribe(request: HttpRequest, list_id: int, query: Query[SubscriptionQuery]) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    ban_list = permissions.list_or_404(user, list_id)
    actions.unsubscribe(ban_list=ban_list, by=user, server=_server(user, query))
    return Status(204, None)


@router.post("/banlists/{id:list_id}/import", response=BanImportOut, summary="Import bans from the text of a file")
def import_bans(request: HttpRequest, list_id: int, given: BanImportIn) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    ban_list = permissions.list_to_ban(user, list_id)
    now = timezone.now()
    reading = formats.read(given.content, now=now)
    new = actions.new_entries(ban_list, reading.entries, now=now)
    if not given.dry_run:
        actions.import_entries(ban_list=ban_list, entries=reading.entries, by=user)
    known = len({entry.target for entry in reading.entries}) - len(new)
    return {"added": len(new), "known": known, "ended": reading.ended, "faults": reading.faults}


@router.get("/banlists/{id:list_id}/export", response=None, summary="Export the active bans of a list as a file")
def export_bans(
    request: HttpRequest,
    list_id: int,
    as_: Annotated[Literal["csv", "users", "addresses"], Query("csv", alias="as")],
) -> HttpResponse:
    return list_views.file_of(permissions.list_or_404(signed_in(request), list_id), as_)


def _list(user: User, given: BanIn) -> BanList:
    if given.list_id is not None:
        return permissions.list_to_ban(user, given.list_id)
    if given.server_id is not None:
        return actions.list_of_server(lookups.server_to_operate(user, given.server_id), by=user)
    return actions.default_list(user)


def _server(user: User, query: SubscriptionQuery) -> Server | None:
    return lookups.server_to_edit(user, query.server) if query.server is not None else None


def _one_list(user: User, pk: int) -> dict[str, Any]:
    return _ban_list(list_views.counted(permissions.visible_lists(user).filter(pk=pk), user).get())


def _ban(ban: Ban) -> dict[str, Any]:
    return {
        "id": ban.pk,
        "list_id": ban.ban_list_id,
        "target": ban.target,
        "name": ban.name,
        "reason": ban.reason,
        "evidence": ban.evidence,
        "by": ban.created_by.get_username() if ban.created_by else None,
        "created_at": ban.created_at,
        "expires_at": ban.expires_at,
        "state": ban.state,
        "ended_at": ban.ended_at,
        "ended_by": ban.ended_by.get_username() if ban.ended_by else None,
    }


def _ban_list(row: Any) -> dict[str, Any]:
    return {
        "id": row.pk,
        "title": row.title,
        "owner": row.owner.get_username(),
        "server_id": row.server_id,
        "is_default": row.is_default,
        "is_shared": row.is_shared,
        "is_subscribed": row.is_subscribed,
        "subscribed_servers": [each.server_id for each in row.singly],
        "bans": row.active_bans,
    }
