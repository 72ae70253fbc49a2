"""Sharing servers with other users."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.dispatch import receiver
from django.utils.translation import gettext as _

from accounts.actions import deactivated
from accounts.models import User
from accounts.permissions import user_named
from left4me.audit import record
from left4me.core.redis import signals
from servers.actions import servers
from servers.game_access import application
from servers.models import Server, ServerShare


@receiver(deactivated)
def _operator_has_left(user: User, by: User, **_signal: Any) -> None:
    """Give the servers that a deactivated user operated new passwords, as when the share ends."""
    shares = ServerShare.objects.filter(user=user, role=ServerShare.Role.OPERATOR).select_related("server")
    for each in shares:
        servers.rotate_password(server=each.server, by=by)


@transaction.atomic
def share(*, server: Server, username: str, role: str, by: User) -> ServerShare:
    """Share the server with a user as `viewer` or `operator`, or change a share's role.

    A user who is no operator any more makes the server get a new RCON password, as in `revoke`.

    Raises ValidationError, and rate_limit.RateLimited for many unknown names.
    """
    user = user_named(username, by=by)
    if user is None:
        raise ValidationError({"username": _("No user with that name. Check the spelling.")})
    if user.pk == server.owner_id:
        raise ValidationError({"username": _("This user already owns the server.")})
    if role not in ServerShare.Role.values:
        raise ValidationError({"role": _("Choose the role Viewer or Operator.")})
    was_operator = ServerShare.objects.filter(server=server, user=user, role=ServerShare.Role.OPERATOR).exists()
    shared, _created = ServerShare.objects.update_or_create(server=server, user=user, defaults={"role": role})
    record.write(action="server.share", by=by, target=server.resource, user=user.username, role=role)
    application.request(server)
    if was_operator and role != ServerShare.Role.OPERATOR:
        servers.rotate_password(server=server, by=by)
    return shared


@transaction.atomic
def revoke(*, share: ServerShare, by: User) -> None:
    """Delete a share. The user's open streams end at their next check.

    After an operator, the next start uses a new RCON password: plugins can have shown the present one on the console.
    """
    target, name = share.server.resource, share.user.username
    share.delete()
    # Pages that this user has open find that they may not see it any more.
    signals.send_after_commit(target, f"{signals.RIGHTS}:{share.user_id}", also=[share.user_id])
    application.request(share.server)
    record.write(action="server.revoke", by=by, target=target, user=name)
    if share.role == ServerShare.Role.OPERATOR:
        servers.rotate_password(server=share.server, by=by)
