"""Authorises a host (by token) to download the overlays its own servers use."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from accounts import secrets
from left4me.core.web.asgi import Refusal
from overlays.models import Overlay
from overlays.replication.server import Application
from servers.models import BlueprintOverlay, Host, HostToken
from servers.models.hosts import TOKEN_PREFIX


def host_of(headers: Mapping[str, str]) -> Host | None:
    """The host whose token is in these headers; None without a valid one."""
    scheme, _, raw = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not raw.strip().startswith(TOKEN_PREFIX):
        return None
    token = HostToken.objects.select_related("host").filter(digest=secrets.digest(raw.strip())).first()
    if token is None:
        return None
    token.was_used(timezone.now())
    return token.host


def find(headers: Mapping[str, str], overlay_id: int) -> Overlay:
    """The overlay, if a server of the requesting host uses it. Raises Refusal."""
    host = host_of(headers)
    if host is None:
        raise Refusal(401, "Send this host's token")
    is_used = BlueprintOverlay.objects.filter(overlay=overlay_id, blueprint__servers__host=host).exists()
    overlay = Overlay.objects.filter(pk=overlay_id).exclude(kind=Overlay.Kind.WORKSHOP).first() if is_used else None
    if overlay is None:
        raise Refusal(404, "No server on this host uses this overlay")
    return overlay


application = Application(find)
