"""The API of hosts: every user sees them, admins operate them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Annotated, Any, Literal

from django.db.models import Count
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field, WithJsonSchema

from accounts.models import User
from accounts.permissions import signed_in
from left4me.alerts.attention import Reason
from left4me.core.natural_order import NaturalOrder
from left4me.core.web.api import Body, Window, changed_fields, page_of, require_scope
from left4me.jobs.api import JobOut
from left4me.jobs.models import Job
from servers import actions, lookups
from servers.api import wire
from servers.models import GameCheck, Host
from servers.state import attention, floods, host_usage

router = Router(tags=["hosts"])

# JSON Schema's format "time" needs an offset, and this time is of the zone beside it.
TimeOfDay = Annotated[
    time,
    WithJsonSchema(
        {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$", "examples": ["05:00:00"]}
    ),
]


class GameUpdateOut(Schema):
    """What is known about updates of the host's game."""

    is_available: bool = Field(description="Whether Steam is known to have a newer build that was not rolled back")
    newest_build: str = Field(description="Empty if it was never found out")
    noticed_at: datetime | None
    source: str = Field(description="Who told: steam, server (a running game), simulated")
    checked_at: datetime | None = Field(description="The last check that succeeded")
    next_check_at: datetime | None
    error: str = Field(description="Why the last check failed; then nobody knows whether the game is up to date")


UpdatePolicyName = Literal["tell", "install", "when_empty", "at_time"]


class HostOut(Schema):
    id: int
    name: str
    address: str
    first_port: int
    last_port: int
    is_enabled: bool
    is_down: bool
    silent_since: datetime | None = Field(description="Since when it is offline; null if it never reported")
    release_note: str = Field(description="A note on its release if it differs from the web server's")
    refusal: str = Field(description="Why it accepts no jobs although it is online")
    last_seen_at: datetime | None
    version: str
    game_version: str
    game_update: GameUpdateOut
    update_policy: UpdatePolicyName = Field(description="What happens by itself when a game update is available")
    update_time: TimeOfDay
    update_zone: str
    update_at_once: int = Field(description="Servers that restart for an update at the same time at most")
    servers: int
    attention: list[wire.ReasonOut] = Field(description="Why it needs attention, the worst first")


def _hosts(rows: Sequence[Host], *, user: User, now: datetime) -> list[dict[str, Any]]:
    """A `HostOut` for each row; needs rows with `game_check`, annotated with `server_count`. In one query."""
    reasons = attention.of_hosts(rows, user=user, now=now)
    return [_host_out(row, reasons[row.pk], now=now) for row in rows]


def _host_out(row: Host, reasons: Sequence[Reason], *, now: datetime) -> dict[str, Any]:
    fields = (
        *("name", "address", "first_port", "last_port", "is_enabled", "last_seen_at", "version", "game_version"),
        *("update_policy", "update_time", "update_zone", "update_at_once"),
    )
    return {
        "id": row.pk,
        "is_down": row.is_down(now),
        "silent_since": row.last_seen_at if row.is_down(now) else None,
        "release_note": row.release_note(),
        "refusal": row.refusal,
        "game_update": _game_update(row),
        "servers": row.server_count,  # type: ignore[attr-defined]
        "attention": [wire.reason(each) for each in reasons],
        **{name: getattr(row, name) for name in fields},
    }


def _game_update(row: Host) -> dict[str, Any]:
    check = row.last_check or GameCheck()
    return {
        "is_available": row.update_is_wanted,
        "next_check_at": check.next_at,
        **{name: getattr(check, name) for name in ("newest_build", "noticed_at", "source", "checked_at", "error")},
    }


HostPage = page_of(HostOut, "HostPage")


class HostChange(Body):
    address: str | None = Field(None, max_length=255)
    first_port: int | None = Field(None, ge=1024, le=65535)
    last_port: int | None = Field(None, ge=1024, le=65535)
    is_enabled: bool | None = None
    update_policy: UpdatePolicyName | None = None
    update_time: TimeOfDay | None = None
    update_zone: str | None = Field(None, max_length=64)
    update_at_once: int | None = Field(None, ge=1, le=50)


class HostActionIn(Body):
    operation: Literal["install", "repair_game", "rollback_game", "clean_game"]


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
    folder_bytes: dict[str, int] = Field(
        description="What each folder of its data directory takes, the largest first; measured once a day"
    )
    shares: list[HostShareOut]


class FloodLimitsOut(Schema):
    requests: int = Field(description="Queries a second from one address to one server, and requests to join it")
    requests_in_all: int = Field(description="The same from all addresses together")
    packets: int = Field(description="Packets a second of one player in a game")


class DroppedOut(Schema):
    reason: str = Field(
        description="queries, connections, strangers, storms, players, malformed or rcon, as docs/floods.md explains"
    )
    hour: int = Field(description="Packets of the last hour")
    total: int


class HostFloodsOut(Schema):
    is_loaded: bool = Field(description="Whether the host's firewall rules are loaded, as far as is known")
    is_flooded: bool = Field(description="Whether many packets are dropped now")
    rate: float = Field(description="Packets a second that are dropped now, RCON aside")
    limits: FloodLimitsOut | None = Field(description="Null where floods are not limited")
    dropped: list[DroppedOut]


def _counted() -> Any:
    return (
        Host.objects.select_related("game_check")
        .annotate(server_count=Count("servers"))
        .order_by(NaturalOrder("name"))
    )


def _host(host_id: int) -> Host:
    host: Host | None = _counted().filter(pk=host_id).first()
    if host is None:
        raise Http404
    return host


def _one(host_id: int, user: User) -> dict[str, Any]:
    return _hosts([_host(host_id)], user=user, now=timezone.now())[0]


@router.get("/hosts", response=HostPage, summary="List hosts")
def list_hosts(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    rows, now = _counted(), timezone.now()
    page = rows[window.offset : window.offset + window.limit]
    return {"items": _hosts(list(page), user=signed_in(request), now=now), "count": rows.count()}


@router.get("/hosts/{id:host_id}", response=HostOut, summary="Get a host")
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


@router.get("/hosts/{id:host_id}/floods", response=HostFloodsOut, summary="What a host's firewall has dropped")
def get_host_floods(request: HttpRequest, host_id: int) -> floods.Floods:
    signed_in(request)
    return floods.of(_host(host_id), now=timezone.now())


@router.patch("/hosts/{id:host_id}", response=HostOut, summary="Change a host (admins)")
def change_host(request: HttpRequest, host_id: int, given: HostChange) -> dict[str, Any]:
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
def act_on_host(request: HttpRequest, host_id: int, given: HostActionIn) -> Status[Job]:
    require_scope(request, "admin")
    user = signed_in(request)
    host = lookups.host_to_operate(user, host_id)
    return Status(202, actions.request_on_host(host=host, operation=given.operation, by=user))


@router.post("/hosts/{id:host_id}/game-check", response={202: HostOut}, summary="Look for game updates (admins)")
def check_game(request: HttpRequest, host_id: int) -> Status[dict[str, Any]]:
    """The host asks Steam now; `game_update.checked_at` of the host shows when it has."""
    require_scope(request, "admin")
    user = signed_in(request)
    actions.check_game(host=lookups.host_to_operate(user, host_id), by=user)
    return Status(202, _one(host_id, user))
