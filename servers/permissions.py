"""Permissions on hosts, blueprints and servers.

`check_can_x` raises Http404 for users who may not see the object, and PermissionDenied for those who may see it only.
"""

from __future__ import annotations

from collections.abc import Collection

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from left4me.core.web.request import Visitor, is_admin
from servers.models import Blueprint, Server, ServerShare

OWNER = "owner"
ADMIN = "admin"
NOBODY = ""


def role_of(user: Visitor, server: Server) -> str:
    """`owner`, `admin`, `operator`, `viewer` or "". Needs a query unless the row has `shared_role`."""
    if not user.is_active:
        return NOBODY
    if server.owner_id == user.pk:
        return OWNER
    if is_admin(user):
        return ADMIN
    if hasattr(server, "shared_role"):
        return str(server.shared_role)
    share = ServerShare.objects.filter(server_id=server.pk, user_id=user.pk).values_list("role", flat=True).first()
    return share or NOBODY


def can_see_server(user: Visitor, server: Server) -> bool:
    """See its state, players and log, but not its password."""
    return role_of(user, server) != NOBODY


def audience(ids: Collection[int]) -> dict[int, Collection[int] | None]:
    """Who may see these servers besides admins, for signals."""
    return _with_shares(ids, ServerShare.objects.all())


def operators(ids: Collection[int]) -> dict[int, Collection[int] | None]:
    """Who may operate these servers besides admins, for signals."""
    return _with_shares(ids, ServerShare.objects.filter(role=ServerShare.Role.OPERATOR))


def blueprint_audience(ids: Collection[int]) -> dict[int, Collection[int] | None]:
    """Who may see these blueprints besides admins, for signals."""
    return {pk: {owner} for pk, owner in Blueprint.objects.filter(pk__in=ids).order_by().values_list("pk", "owner_id")}


def _with_shares(ids: Collection[int], shares: QuerySet[ServerShare]) -> dict[int, Collection[int] | None]:
    # Without their usual order: sorting by name as people do would cost more than finding them.
    rows = Server.objects.filter(pk__in=ids).order_by().values_list("pk", "owner_id")
    found = {pk: {owner_id} for pk, owner_id in rows}
    for server_id, user_id in shares.filter(server_id__in=found).order_by().values_list("server_id", "user_id"):
        found[server_id].add(user_id)
    return dict(found)


def check_can_see_server(user: Visitor, server: Server) -> None:
    if not can_see_server(user, server):
        raise Http404(_("Server not found."))


def can_operate_server(user: Visitor, server: Server) -> bool:
    """Start, stop, restart, kill, initialize, and the console."""
    return role_of(user, server) in {OWNER, ADMIN, ServerShare.Role.OPERATOR}


def check_can_operate_server(user: Visitor, server: Server) -> None:
    check_can_see_server(user, server)
    if not can_operate_server(user, server):
        raise PermissionDenied(_("You are a viewer of this server. Ask its owner for the Operator role."))


def can_edit_server(user: Visitor, server: Server) -> bool:
    """Change, share and delete it; see and rotate its password."""
    return role_of(user, server) in {OWNER, ADMIN}


def check_can_edit_server(user: Visitor, server: Server) -> None:
    check_can_see_server(user, server)
    if not can_edit_server(user, server):
        raise PermissionDenied(_("Only the owner can change this server."))


def can_see_blueprint(user: Visitor, blueprint: Blueprint) -> bool:
    return user.is_active and (blueprint.owner_id == user.pk or is_admin(user))


def check_can_see_blueprint(user: Visitor, blueprint: Blueprint) -> None:
    if not can_see_blueprint(user, blueprint):
        raise Http404(_("Blueprint not found."))


def can_edit_blueprint(user: Visitor, blueprint: Blueprint) -> bool:
    """Everyone who may see a blueprint may change it: its owner, and admins."""
    return can_see_blueprint(user, blueprint)


def check_can_edit_blueprint(user: Visitor, blueprint: Blueprint) -> None:
    check_can_see_blueprint(user, blueprint)


def can_operate_host(user: Visitor) -> bool:
    """Install or update game, and change the host's settings."""
    return is_admin(user)


def check_can_operate_host(user: Visitor) -> None:
    if not can_operate_host(user):
        raise PermissionDenied(_("Only admins can manage hosts."))
