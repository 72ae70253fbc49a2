"""The API of the identity of servers: names in the game, groups, tags and the texts for players."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Body, require_scope
from servers import lookups
from servers.actions import identity as actions
from servers.api.wire import READ_VERSION
from servers.identity import cvars, lines, overview, values
from servers.models import Blueprint

router = Router(tags=["blueprints"])


class InheritedOut(Schema):
    value: str
    source: str = Field(description="An overlay, or the launch arguments")


class NamedServerOut(Schema):
    id: int
    name: str
    number: int = Field(description="What {n} becomes")
    hostname: str = Field(description="Its name in the game")
    is_cut: bool = Field(description="Steam's server list shows only the beginning of the name")
    is_applied: bool | None = Field(description="Whether its game has these settings; null if none runs")
    texts_wait: bool = Field(description="Its game shows the texts from its next start on")


class ServerIdentityOut(Schema):
    version: int = Field(description="Of the blueprint")
    settings: dict[str, str | None] = Field(description="By name; null where the blueprint's lines set none")
    motd: str = Field(description="The message of the day: text, a page in HTML, or an address")
    banner: str = Field(description="The banner above the list of players, in the same forms")
    inherited: dict[str, InheritedOut] = Field(description="What holds where the blueprint's lines set none")
    notes: list[str] = Field(description="What the lines do that these settings do not show")
    servers: list[NamedServerOut]


class IdentityIn(Body):
    version: int = Field(description=READ_VERSION)
    settings: dict[str, str | None] = Field(
        default_factory=dict, description="New values by name; null removes the lines; the others stay"
    )
    motd: str | None = None
    banner: str | None = None


@router.get(
    "/blueprints/{id:blueprint_id}/identity", response=ServerIdentityOut, summary="Get the identity of its servers"
)
def get_identity(request: HttpRequest, blueprint_id: int) -> dict[str, Any]:
    """Read from the lines of its server.cfg."""
    return _identity(lookups.blueprint_or_404(signed_in(request), blueprint_id))


@router.patch("/blueprints/{id:blueprint_id}/identity", response=ServerIdentityOut, summary="Change the identity")
def change_identity(request: HttpRequest, blueprint_id: int, given: IdentityIn) -> dict[str, Any]:
    """Changes the lines that set these values, and no others. Running games take them over."""
    require_scope(request, "operate")
    user = signed_in(request)
    texts = {name: text for name in values.FILES if (text := getattr(given, name)) is not None}
    actions.save(
        blueprint=lookups.blueprint_to_edit(user, blueprint_id),
        seen_version=given.version,
        by=user,
        settings=given.settings,
        texts=texts,
    )
    return _identity(lookups.blueprint_or_404(user, blueprint_id))


@router.post(
    "/blueprints/{id:blueprint_id}/identity/apply", response={204: None}, summary="Tell running games the identity"
)
def apply_identity(request: HttpRequest, blueprint_id: int) -> Status[None]:
    """A change does so by itself, if the hosts respond."""
    require_scope(request, "operate")
    actions.apply(lookups.blueprint_to_edit(signed_in(request), blueprint_id))
    return Status(204, None)


def _identity(row: Blueprint) -> dict[str, Any]:
    present = lines.values(row.config)
    return {
        "version": row.version,
        "settings": {name: present.get(name) for name in cvars.BY_NAME},
        "motd": row.motd,
        "banner": row.banner,
        "inherited": {name: vars(each) for name, each in overview.inherited(row).items()},
        "notes": overview.notes(row),
        "servers": [
            {
                "id": each.server.pk,
                "name": each.server.name,
                "number": each.server.number,
                "hostname": each.hostname,
                "is_cut": each.is_cut,
                "is_applied": each.is_applied,
                "texts_wait": each.texts_wait,
            }
            for each in overview.named(row, row.servers.listed())
        ],
    }
