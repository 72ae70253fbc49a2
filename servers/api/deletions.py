"""The API of deleted servers: list and restore."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts.permissions import signed_in
from left4me.core.web.api import Window, page_of, require_scope
from servers import actions, lookups
from servers.api import servers, wire
from servers.models import DeletedServer

router = Router(tags=["servers"])


class DeletedServerOut(Schema):
    id: int = Field(description="That of the server, also after a restore")
    name: str
    owner: str
    host: str
    port: int
    deleted_at: datetime
    kept_until: datetime


def _wire(row: DeletedServer) -> dict[str, Any]:
    """A `DeletedServerOut`."""
    own = {name: getattr(row, name) for name in ("name", "port", "deleted_at", "kept_until")}
    return {**own, "id": row.pk, "owner": row.owner.get_username(), "host": row.host.name}


DeletedPage = page_of(DeletedServerOut, "DeletedPage")


@router.get("/servers/deleted", response=DeletedPage, summary="Deleted servers that can be restored")
def list_deleted(request: HttpRequest, window: Query[Window]) -> dict[str, Any]:
    rows = DeletedServer.objects.visible_to(signed_in(request)).kept(timezone.now())
    page = rows.select_related("host", "owner")[window.offset : window.offset + window.limit]
    return {"items": [_wire(row) for row in page], "count": rows.count()}


@router.post("/servers/deleted/{id:server_id}/restore", response={201: wire.ServerOut}, summary="Restore it")
def restore_server(request: HttpRequest, server_id: int) -> Status[dict[str, Any]]:
    """It gets its id back, its port if that is free, its admins, bans and backups, and by a job its own files.

    409 if its blueprint was deleted.
    """
    require_scope(request, "operate")
    user = signed_in(request)
    actions.restore_server(deleted=lookups.deleted_server_to_restore(user, server_id), by=user)
    return Status(201, servers.one(lookups.server_or_404(user, server_id), user))
