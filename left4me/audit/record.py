"""Writes audit entries."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from left4me.audit.models import AuditEntry
from left4me.core.net.addresses import client_address
from left4me.core.redis import signals
from left4me.core.web.request import Person


def write(
    *,
    action: str,
    by: Person | None,
    target: str = "",
    request: HttpRequest | None = None,
    **details: Any,
) -> AuditEntry:
    """Add an audit entry. `by=None` means the system itself. `details` must never contain a secret.

    Open pages are told that `target` changed, and streams of a user that their rights may have.
    """
    if target:
        kind, _, number = target.partition(":")
        signals.send_after_commit(f"{signals.RIGHTS}:{number}" if kind == "user" else target)
    return AuditEntry.objects.create(
        user=by,  # type: ignore[misc]  # the user model lies above this layer
        actor=by.get_username() if by is not None else "system",
        action=action,
        target=target,
        address=(client_address(request) or None) if request is not None else None,
        details=details,
    )
