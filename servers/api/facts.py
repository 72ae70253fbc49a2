"""The API of observed facts of servers: resource usage and history of states."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Window, page_of
from servers import lookups
from servers.api import wire
from servers.state import usage

router = Router(tags=["servers"])


class UsageOut(Schema):
    at: datetime | None = Field(description="When it was measured; null without recent data from the host")
    cpu_percent: float | None = Field(description="Percent of one core")
    memory_bytes: int | None
    tasks: int | None
    disk_bytes: int | None = Field(description="Of the server's own files, measured once a minute")


class StateChangeOut(Schema):
    at: datetime
    state: wire.State
    detail: str
    last_lines: list[str] = Field(
        description="The last log lines when it crashed, kept crashing or became unresponsive"
    )


StateChangePage = page_of(StateChangeOut, "StateChangePage")


@router.get("/servers/{id:server_id}/resources", response=UsageOut, summary="Get resource usage")
def get_resources(request: HttpRequest, server_id: int) -> dict[str, Any]:
    measured = usage.of_one(lookups.server_or_404(signed_in(request), server_id).pk)
    return {name: getattr(measured, name, None) for name in UsageOut.model_fields}


@router.get(
    "/servers/{id:server_id}/states", response=StateChangePage, summary="List the status history, newest first"
)
def list_states(request: HttpRequest, server_id: int, window: Query[Window]) -> dict[str, Any]:
    changes = lookups.server_or_404(signed_in(request), server_id).state_changes.all()
    return {"items": list(changes[window.offset : window.offset + window.limit]), "count": changes.count()}
