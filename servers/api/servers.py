"""The API of servers: list, create, change, operate."""

from __future__ import annotations

from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Query, Router, Status
from pydantic import Field

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web.api import Window, changed_fields, require_scope
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers import actions, lookups, overview
from servers.api import wire
from servers.lifecycle import pending_changes as pending
from servers.lifecycle import status as server_status
from servers.models import Blueprint, Host, Server, StarterBlueprint
from servers.server_filter import ServerFilter

router = Router(tags=["servers"])


class ListQuery(Window):
    q: str = Field("", max_length=100, description="Part of the name")
    state: wire.State | None = None
    owner: str = Field("", max_length=100, description="The user who owns them")
    host: str = Field("", max_length=100)
    tag: str = Field("", max_length=100)
    sort: Literal["", "attention", "host", "started", "created"] = Field("", description="Default: by name")
    attention: bool = Field(False, description="Only servers that need attention")


def one(server: Server, user: User) -> dict[str, Any]:
    return wire.server(server_status.of([server], user=user, now=timezone.now())[0])


@router.get(
    "/servers", response=wire.ServerPage, summary="List servers: yours and those shared with you, or all for admins"
)
def list_servers(request: HttpRequest, window: Query[ListQuery]) -> dict[str, Any]:
    user, now = signed_in(request), timezone.now()
    chosen = ServerFilter(
        q=window.q,
        state=window.state or "",
        owner=window.owner,
        host=window.host,
        tag=window.tag,
        sort=window.sort,
        attention="1" if window.attention else "",
    )
    rows = chosen.rows(user, now=now)
    page = rows.listed().with_role(user)[window.offset : window.offset + window.limit]
    statuses = server_status.of(list(page), user=user, now=now)
    return {"items": [wire.server(status) for status in statuses], "count": rows.count()}


@router.post("/servers/actions", response=list[wire.OutcomeOut], summary="Start, stop or restart several servers")
def act_on_servers(request: HttpRequest, given: wire.ManyActionsIn) -> list[dict[str, Any]]:
    """Answers with a job or a refusal for each; servers that you cannot see are left out."""
    require_scope(request, "operate")
    user = signed_in(request)
    outcomes = actions.request_on_many(ids=given.server_ids, operation=given.operation, by=user)
    return [{"server_id": each.server.pk, "job": each.job, "refusal": each.refusal} for each in outcomes]


@router.get("/attention", response=wire.SubjectPage, summary="What needs your attention, the worst first")
def list_attention(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    """Servers, overlays and, for admins, hosts."""
    found = overview.needing_attention(signed_in(request), now=timezone.now())
    page = found[window.offset : window.offset + window.limit]
    return {"items": [wire.subject(each) for each in page], "count": len(found)}


@router.post("/servers", response={201: wire.ServerCreated}, summary="Create one, with all it needs, and start it")
def create_server(request: HttpRequest, given: wire.ServerIn) -> Status[dict[str, Any]]:
    """From a blueprint or a template. Everything is created or nothing."""
    require_scope(request, "operate")
    user = signed_in(request)
    created = actions.quick_start(
        user=user,
        name=given.name,
        base=_base(user, given),
        host=_host(given.host),
        items=given.items,
        config=wire.text(given.config),
        start_map=given.start_map,
        port=given.port,
        restart_when_hung=given.restart_when_hung,
        tag_list=given.tags,
        start=given.start,
    )
    refused_items = {str(steam_id): reason for steam_id, reason in created.refused.items()}
    return Status(201, one(lookups.server_or_404(user, created.server.pk), user) | {"refused_items": refused_items})


@router.get("/servers/{id:server_id}", response=wire.ServerOut, summary="Get a server")
def get_server(request: HttpRequest, server_id: int) -> dict[str, Any]:
    user = signed_in(request)
    return one(lookups.server_or_404(user, server_id), user)


@router.patch("/servers/{id:server_id}", response=wire.ServerOut, summary="Change it")
def change_server(request: HttpRequest, server_id: int, given: wire.ServerChange) -> dict[str, Any]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    changes = changed_fields(given, besides={"version"})
    if "tags" in changes:
        changes["tag_list"] = changes.pop("tags")
    if blueprint_id := changes.pop("blueprint_id", None):
        changes["blueprint"] = _blueprint(server.owner, blueprint_id)
    seen_version = server.version if given.version is None else given.version
    actions.update_server(server=server, seen_version=seen_version, by=user, **changes)
    return one(lookups.server_or_404(user, server_id), user)


@router.delete("/servers/{id:server_id}", response={202: JobOut}, summary="Delete a server, as a job")
def delete_server(request: HttpRequest, server_id: int) -> Status[Job]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    return Status(202, actions.request(server=server, operation="delete", by=user))


@router.post(
    "/servers/{id:server_id}/actions", response={202: JobOut}, summary="Request an operation: start, stop, restart …"
)
def act_on_server(request: HttpRequest, server_id: int, given: wire.ActionIn) -> Status[Job]:
    """Answers with the job: a new one, or the equal one that waits already."""
    require_scope(request, "operate")
    user = signed_in(request)
    find = lookups.server_to_edit if given.operation == "delete" else lookups.server_to_operate
    server = find(user, server_id)
    job = actions.request(server=server, operation=given.operation, by=user, interrupting=given.interrupt)
    return Status(202, job)


@router.get(
    "/servers/{id:server_id}/changes",
    response=wire.PendingOut,
    summary="List the changes that the next restart applies",
)
def pending_changes(request: HttpRequest, server_id: int) -> dict[str, Any]:
    server = lookups.server_to_edit(signed_in(request), server_id)
    return {"restart_needed": pending.restart_needed(server), "changes": pending.pending(server)}


def _base(user: User, given: wire.ServerIn) -> Blueprint | StarterBlueprint:
    if (given.blueprint_id is None) == (given.template_id is None):
        raise ValidationError({"blueprint_id": _("Give either blueprint_id or template_id.")})
    if given.blueprint_id is not None:
        return _blueprint(user, given.blueprint_id)
    template = StarterBlueprint.objects.filter(pk=given.template_id or 0, is_offered=True).first()
    if template is None:
        raise ValidationError({"template_id": _("Template not found.")})
    return template


def _blueprint(owner: User, pk: int) -> Blueprint:
    blueprint = Blueprint.objects.filter(owner=owner, pk=pk).first()
    if blueprint is None:
        raise ValidationError({"blueprint_id": _("The server's owner has no such blueprint.")})
    return blueprint


def _host(name: str | None) -> Host:
    hosts = Host.objects.filter(is_enabled=True) if name is None else Host.objects.filter(name=name)
    host = hosts.first()
    if host is None:
        raise ValidationError({"host": _("Host not found.")})
    return host
