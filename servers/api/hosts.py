"""The API of hosts: every user sees them, admins operate them."""

from __future__ import annotations

from typing import Any

from django.db.models import Count
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.natural_order import NaturalOrder
from left4me.core.web.api import Window, changed_fields, require_scope
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers import actions, lookups
from servers.api import wire
from servers.models import Host
from servers.state import host_usage

router = Router(tags=["hosts"])


class HostShareOut(Schema):
    server: int | None = Field(description="Null for all servers together that you may not see")
    servers: int = Field(description="How many servers these are")
    cpu_percent: float = Field(description="Percent of one core")
    memory_bytes: int
    disk_bytes: int


class HostUsageOut(Schema):
    cores: int | None
    load: float | None = Field(description="Processes that run or wait for a core, on average of the last minute")
    memory_total: int | None
    memory_used: int | None = Field(description="Bytes that are not available to programs")
    disk_total: int | None
    disk_used: int | None
    shares: list[HostShareOut]


def _counted() -> Any:
    return Host.objects.annotate(server_count=Count("servers")).order_by(NaturalOrder("name"))


def _host(host_id: int) -> Host:
    host: Host | None = _counted().filter(pk=host_id).first()
    if host is None:
        raise Http404
    return host


def _one(host_id: int, user: User) -> dict[str, Any]:
    return wire.hosts([_host(host_id)], user=user, now=timezone.now())[0]


@router.get("/hosts", response=wire.HostPage, summary="List hosts")
def list_hosts(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    rows, now = _counted(), timezone.now()
    page = rows[window.offset : window.offset + window.limit]
    return {"items": wire.hosts(list(page), user=signed_in(request), now=now), "count": rows.count()}


@router.get("/hosts/{id:host_id}", response=wire.HostOut, summary="Get a host")
def get_host(request: HttpRequest, host_id: int) -> dict[str, Any]:
    return _one(host_id, signed_in(request))


@router.get("/hosts/{id:host_id}/usage", response=HostUsageOut, summary="What a host has, and who uses it")
def get_host_usage(request: HttpRequest, host_id: int) -> dict[str, Any]:
    used = host_usage.of(_host(host_id), user=signed_in(request))
    shares = [
        {
            "server": share.server.pk if share.server else None,
            "servers": share.servers,
            "cpu_percent": share.cpu_percent,
            "memory_bytes": share.memory_bytes,
            "disk_bytes": share.disk_bytes,
        }
        for share in used.shares
    ]
    return {"shares": shares, **{name: getattr(used, name) for name in HostUsageOut.model_fields if name != "shares"}}


@router.patch("/hosts/{id:host_id}", response=wire.HostOut, summary="Change a host (admins)")
def change_host(request: HttpRequest, host_id: int, given: wire.HostChange) -> dict[str, Any]:
    require_scope(request, "admin")
    user = signed_in(request)
    actions.update_host(host=lookups.host_to_operate(user, host_id), by=user, **changed_fields(given))
    return _one(host_id, user)


@router.delete("/hosts/{id:host_id}", response={204: None}, summary="Remove a host without servers (admins)")
def remove_host(request: HttpRequest, host_id: int) -> Status[None]:
    require_scope(request, "admin")
    user = signed_in(request)
    actions.remove_host(host=lookups.host_to_operate(user, host_id), by=user)
    return Status(204, None)


@router.delete("/hosts/{id:host_id}/token", response={204: None}, summary="Revoke a host's token (admins)")
def revoke_token(request: HttpRequest, host_id: int) -> Status[None]:
    """The host then fetches no content of overlays any more. `left4mectl host add` makes a new one."""
    require_scope(request, "admin")
    user = signed_in(request)
    actions.revoke_token(host=lookups.host_to_operate(user, host_id), by=user)
    return Status(204, None)


@router.post("/hosts/{id:host_id}/actions", response={202: JobOut}, summary="Install the game (admins)")
def act_on_host(request: HttpRequest, host_id: int, given: wire.HostActionIn) -> Status[Job]:
    require_scope(request, "admin")
    user = signed_in(request)
    host = lookups.host_to_operate(user, host_id)
    return Status(202, actions.request_on_host(host=host, operation=given.operation, by=user))
