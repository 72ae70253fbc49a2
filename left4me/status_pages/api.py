"""Status pages in the JSON API, and the message that an alert channel keeps in Discord."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest
from ninja import Field, Query, Router, Schema, Status

from accounts.permissions import signed_in
from left4me.alerts import permissions as alert_permissions
from left4me.core import names
from left4me.core.web.api import Body, Window, changed_fields, listed, page_of, require_scope
from left4me.core.web.ids import Id
from left4me.status_pages import actions, permissions
from left4me.status_pages.models import MOST_ORIGINS, MOST_SERVERS, StatusMessage, StatusPage

router = Router(tags=["status pages"])


class StatusPageOut(Schema):
    """A status page. `url` needs no sign-in while the page is on; `url` with “.json” is the same for programs."""

    id: int
    owner: str
    title: str
    slug: str
    url: str
    server_ids: list[int]
    shows_players: bool
    shows_history: bool
    shows_join: bool
    embed_origins: list[str]
    is_enabled: bool

    @staticmethod
    def resolve_owner(page: StatusPage) -> str:
        return page.owner.get_username()

    @staticmethod
    def resolve_url(page: StatusPage) -> str:
        return f"{settings.LEFT4ME_PUBLIC_URL}{page.public_path}"

    @staticmethod
    def resolve_server_ids(page: StatusPage) -> list[int]:
        return sorted(server.pk for server in page.servers.all())


StatusPages = page_of(StatusPageOut, "StatusPages")


class StatusPageIn(Body):
    title: str = Field(max_length=names.LONGEST)
    server_ids: list[Id] = Field(min_length=1, max_length=MOST_SERVERS)
    slug: str | None = Field(None, max_length=64, description="Without it, the address is secret")
    shows_players: bool = Field(False, description="Names and Steam pictures")
    shows_history: bool = True
    shows_join: bool = True
    embed_origins: list[str] = Field([], max_length=MOST_ORIGINS, description="Sites that may embed it")
    is_enabled: bool = False


class StatusPageChange(Body):
    """Fields that are left out keep their values."""

    title: str | None = Field(None, max_length=names.LONGEST)
    server_ids: list[Id] | None = Field(None, min_length=1, max_length=MOST_SERVERS)
    slug: str | None = Field(None, max_length=64)
    shows_players: bool | None = None
    shows_history: bool | None = None
    shows_join: bool | None = None
    embed_origins: list[str] | None = Field(None, max_length=MOST_ORIGINS)
    is_enabled: bool | None = None


class StatusMessageOut(Schema):
    """The message that a Discord channel keeps up to date; `message_id` is Discord's, empty until it is posted."""

    status_page_id: int = Field(alias="page_id")
    message_id: str
    sent_at: datetime | None
    last_error: str


class StatusMessageIn(Body):
    status_page_id: Id


@router.get("/status-pages", response=StatusPages, summary="Your status pages; for admins all")
def list_status_pages(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    rows = StatusPage.objects.of(signed_in(request)).select_related("owner").prefetch_related("servers")
    return listed(rows, window)


@router.post("/status-pages", response={201: StatusPageOut}, summary="Create a status page")
def create_status_page(request: HttpRequest, given: StatusPageIn) -> Status[StatusPage]:
    require_scope(request, "operate")
    user = signed_in(request)
    fields = given.model_dump(exclude={"server_ids"}, exclude_none=True)
    return Status(201, actions.create(owner=user, by=user, servers=given.server_ids, **fields))


@router.get("/status-pages/{id:status_page_id}", response=StatusPageOut, summary="One status page")
def get_status_page(request: HttpRequest, status_page_id: int) -> StatusPage:
    return permissions.managed(signed_in(request), status_page_id)


@router.patch("/status-pages/{id:status_page_id}", response=StatusPageOut, summary="Change or switch a status page")
def change_status_page(request: HttpRequest, status_page_id: int, given: StatusPageChange) -> StatusPage:
    require_scope(request, "operate")
    user = signed_in(request)
    page = permissions.managed(user, status_page_id)
    fields = changed_fields(given, besides={"server_ids"})
    return actions.change(page=page, by=user, servers=given.server_ids, **fields)


@router.post("/status-pages/{id:status_page_id}/reset", response=StatusPageOut, summary="Give it a new secret address")
def reset_status_page(request: HttpRequest, status_page_id: int) -> StatusPage:
    require_scope(request, "operate")
    user = signed_in(request)
    return actions.reset_address(page=permissions.managed(user, status_page_id), by=user)


@router.delete("/status-pages/{id:status_page_id}", response={204: None}, summary="Delete a status page")
def delete_status_page(request: HttpRequest, status_page_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.delete(page=permissions.managed(user, status_page_id), by=user)
    return Status(204, None)


@router.get("/alerts/{id:alert_id}/message", response=StatusMessageOut, summary="The status message of a channel")
def get_status_message(request: HttpRequest, alert_id: int) -> StatusMessage:
    channel = alert_permissions.managed(signed_in(request), alert_id)
    message = StatusMessage.objects.filter(channel=channel, is_wanted=True).first()
    if message is None:
        raise Http404
    return message


@router.put("/alerts/{id:alert_id}/message", response=StatusMessageOut, summary="Keep a status message up to date")
def keep_status_message(request: HttpRequest, alert_id: int, given: StatusMessageIn) -> StatusMessage:
    """Posted within seconds through the Discord webhook of the channel, and edited when something changes."""
    require_scope(request, "operate")
    user = signed_in(request)
    channel = alert_permissions.managed(user, alert_id)
    page = permissions.managed(user, given.status_page_id)
    return actions.keep_message(channel=channel, page=page, by=user)


@router.delete("/alerts/{id:alert_id}/message", response={204: None}, summary="Remove the status message in Discord")
def end_status_message(request: HttpRequest, alert_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    actions.end_message(channel=alert_permissions.managed(user, alert_id), by=user)
    return Status(204, None)
