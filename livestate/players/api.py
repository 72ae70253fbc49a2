"""JSON API for players, and for notes about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, Window, listed, page_of, require_scope
from left4me.core.web.ids import Id
from livestate.models import LONGEST_NOTE, PlayerNote
from livestate.players import erasure, notes, permissions, records, search
from livestate.players.erasure import Holdings
from livestate.players.search import Found

router = Router(tags=["players"])


class KnownPlayerOut(Schema):
    steam_id_64: str = Field(description="A string, because the number exceeds JavaScript's exact integers")
    name: str
    avatar_url: str
    is_online: bool
    first_seen_at: datetime | None = Field(description="Null for a player whose visits are all deleted")
    last_seen_at: datetime | None
    seconds: float = Field(description="Time on the servers that you can see")
    visits: int
    servers: list[int]
    is_banned: bool = Field(description="Whether a ban that you may see applies to one of these servers")
    notes: int


class NameOut(Schema):
    name: str
    first_used_at: datetime
    last_used_at: datetime


class KnownPlayerDetailOut(KnownPlayerOut):
    names: list[NameOut]
    bans: list[int] = Field(description="All bans that you may see, also those that ended")


class NoteOut(Schema):
    id: int
    steam_id_64: str
    text: str
    owner: str = Field(description="The user whose operators can read it")
    author: str | None
    created_at: datetime
    changed_at: datetime | None


class NoteIn(Body):
    text: str = Field(max_length=LONGEST_NOTE)
    owner: str | None = Field(None, max_length=150, description="Left out: of the server where the player was last")


class NoteChange(Body):
    text: str = Field(max_length=LONGEST_NOTE)


class ForgottenOut(Schema):
    """How many rows were removed."""

    visits: int
    profiles: int
    notes: int
    orders: int
    bans: int
    votes: int
    matches: int


class ForgetQuery(Schema):
    bans_too: bool = Field(False, description="Remove bans as well; otherwise they stay, without the name")


class PlayerQuery(Window):
    q: str = Field("", max_length=200, description="Part of a name, a SteamID in any form, or a link to a profile")
    show: Literal["", "online", "banned", "noted"] = ""
    server: Id | None = None


KnownPlayersPage = page_of(KnownPlayerOut, "KnownPlayersPage")


@router.get("/players", response=KnownPlayersPage, summary="List players of your servers, those seen last first")
def list_players(request: HttpRequest, query: Query[PlayerQuery]) -> dict[str, Any]:
    user, now = signed_in(request), timezone.now()
    chosen = search.Filter(q=query.q.strip(), show=query.show, server=query.server)
    page = listed(chosen.accounts(user, now=now), query)
    return {**page, "items": [_player(each) for each in search.rows(user, page["items"], now=now)]}


@router.get("/players/{id:steam_id_64}", response=KnownPlayerDetailOut, summary="Get a player")
def get_player(request: HttpRequest, steam_id_64: int) -> dict[str, Any]:
    user = signed_in(request)
    player = permissions.player_or_404(user, steam_id_64)
    (row,) = search.rows(user, [steam_id_64], now=timezone.now())
    names = [
        {"name": each["name_at_join"], "first_used_at": each["first"], "last_used_at": each["last"]}
        for each in records.names(player.visits)
    ]
    return {**_player(row), "name": player.name, "names": names, "bans": [ban.pk for ban in player.bans]}


@router.delete("/players/{id:steam_id_64}", response=ForgottenOut, summary="Forget a player (admins)")
def forget_player(request: HttpRequest, steam_id_64: int, query: Query[ForgetQuery]) -> Holdings:
    require_scope(request, "admin")
    user = signed_in(request)
    permissions.player_to_forget(user, steam_id_64)
    return erasure.forget(steam_id_64, by=user, bans_too=query.bans_too, request=request)


@router.get("/players/{id:steam_id_64}/notes", response=list[NoteOut], summary="List notes about a player")
def list_notes(request: HttpRequest, steam_id_64: int) -> list[dict[str, Any]]:
    return [_note(note) for note in permissions.player_or_404(signed_in(request), steam_id_64).notes]


@router.post("/players/{id:steam_id_64}/notes", response={201: NoteOut}, summary="Add a note about a player")
def add_note(request: HttpRequest, steam_id_64: int, given: NoteIn) -> Status[dict[str, Any]]:
    require_scope(request, "operate")
    user = signed_in(request)
    player = permissions.player_or_404(user, steam_id_64)
    permissions.check_can_write_notes(user)
    owner = permissions.default_note_owner(user, player)
    if given.owner is not None:
        owner = permissions.note_owners(user).filter(username=given.owner).first()
    if owner is None:
        raise ValidationError({"owner": _("You operate no server of a user with this name.")})
    return Status(201, _note(notes.add(steam_id_64=steam_id_64, owner=owner, text=given.text, by=user)))


@router.patch("/notes/{id:note_id}", response=NoteOut, summary="Change a note")
def change_note(request: HttpRequest, note_id: int, given: NoteChange) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    return _note(notes.change(note=permissions.note_to_change(user, note_id), text=given.text, by=user))


@router.delete("/notes/{id:note_id}", response={204: None}, summary="Delete a note")
def delete_note(request: HttpRequest, note_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    notes.delete(note=permissions.note_to_change(user, note_id), by=user)
    return Status(204, None)


def _player(row: Found) -> dict[str, Any]:
    totals = row.totals
    return {
        "steam_id_64": str(row.steam_id_64),
        "name": row.name,
        "avatar_url": row.avatar_url,
        "is_online": totals is not None and totals.is_online,
        "first_seen_at": totals.first if totals else None,
        "last_seen_at": totals.last if totals else None,
        "seconds": totals.time.total_seconds() if totals else 0,
        "visits": totals.visits if totals else 0,
        "servers": [pk for pk, _name in row.servers],
        "is_banned": row.is_banned,
        "notes": row.notes,
    }


def _note(note: PlayerNote) -> dict[str, Any]:
    return {
        "id": note.pk,
        "steam_id_64": str(note.steam_id_64),
        "text": note.text,
        "owner": note.owner.get_username(),
        "author": note.author.get_username() if note.author else None,
        "created_at": note.created_at,
        "changed_at": note.changed_at,
    }
