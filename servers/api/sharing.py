"""The API of a server's shares and RCON password."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from ninja import Query, Router, Status

from accounts.permissions import signed_in
from left4me.core import secrets
from left4me.core.web.api import Window, listed, require_scope
from servers import actions, lookups
from servers.api import wire
from servers.models import ServerShare

router = Router(tags=["servers"])


@router.get("/servers/{id:server_id}/shares", response=wire.SharePage, summary="List shares")
def list_shares(request: HttpRequest, server_id: int, window: Query[Window]) -> dict[str, Any]:
    server = lookups.server_to_edit(signed_in(request), server_id)
    return listed(server.shares.select_related("user"), window)


@router.post(
    "/servers/{id:server_id}/shares", response={201: wire.ShareOut}, summary="Share a server, or change a role"
)
def share_server(request: HttpRequest, server_id: int, given: wire.ShareIn) -> Status[ServerShare]:
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    return Status(201, actions.share(server=server, username=given.username, role=given.role, by=user))


@router.delete("/servers/{id:server_id}/shares/{id:share_id}", response={204: None}, summary="Remove a share")
def revoke_share(request: HttpRequest, server_id: int, share_id: int) -> Status[None]:
    require_scope(request, "operate")
    user = signed_in(request)
    share = lookups.server_to_edit(user, server_id).shares.select_related("user", "server").filter(pk=share_id).first()
    if share is None:
        raise Http404
    actions.revoke(share=share, by=user)
    return Status(204, None)


@router.get("/servers/{id:server_id}/rcon-password", response=wire.PasswordOut, summary="Get the RCON password")
def read_password(request: HttpRequest, server_id: int) -> dict[str, str]:
    """Each reading is recorded in the audit log."""
    require_scope(request, "operate")
    user = signed_in(request)
    server = lookups.server_to_edit(user, server_id)
    try:
        return {"rcon_password": actions.show_password(server=server, by=user)}
    except secrets.Unreadable as fault:
        raise actions.Refused(str(fault)) from None


@router.post("/servers/{id:server_id}/rcon-password", response=wire.PasswordOut, summary="Change the RCON password")
def rotate_password(request: HttpRequest, server_id: int) -> dict[str, str]:
    """The new password takes effect at the server's next start."""
    require_scope(request, "operate")
    user = signed_in(request)
    return {"rcon_password": actions.rotate_password(server=lookups.server_to_edit(user, server_id), by=user)}
