"""Lookups of rows with permission checks. Every view of pages and API begins with one."""

from __future__ import annotations

from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.core.statements import Given, select, select_for
from servers import permissions
from servers.models import Blueprint, DeletedServer, Host, Server

_server = select_for(lambda visitor: Server.objects.listed().with_role(visitor).filter(pk=Given("server")).order_by())


def server_or_404(user: User, pk: int) -> Server:
    """The server with its blueprint and the user's role. Raises Http404 for users who may not see it."""
    server = _server.first(user, server=pk)
    if server is None:
        raise Http404(_("Server not found."))
    permissions.check_can_see_server(user, server)
    return server


def server_to_operate(user: User, pk: int) -> Server:
    server = server_or_404(user, pk)
    permissions.check_can_operate_server(user, server)
    return server


def server_to_edit(user: User, pk: int) -> Server:
    server = server_or_404(user, pk)
    permissions.check_can_edit_server(user, server)
    return server


def deleted_server_to_restore(user: User, server_id: int) -> DeletedServer:
    """A deleted server whose files are still kept. Raises Http404 for users who may not see it."""
    rows = DeletedServer.objects.visible_to(user).kept(timezone.now())
    deleted = rows.select_related("host", "owner", "blueprint").filter(pk=server_id).first()
    if deleted is None:
        raise Http404(_("There is no such deleted server."))
    return deleted


_blueprint = select(
    lambda: Blueprint.objects.with_layers().select_related("owner").filter(pk=Given("blueprint")).order_by()
)


def blueprint_or_404(user: User, pk: int) -> Blueprint:
    """The blueprint with its layers. Raises Http404 for users who may not see it."""
    blueprint = _blueprint.first(blueprint=pk)
    if blueprint is None:
        raise Http404(_("Blueprint not found."))
    permissions.check_can_see_blueprint(user, blueprint)
    return blueprint


def blueprint_to_edit(user: User, pk: int) -> Blueprint:
    """A blueprint that the user may change. Raises Http404 and PermissionDenied."""
    blueprint = blueprint_or_404(user, pk)
    permissions.check_can_edit_blueprint(user, blueprint)
    return blueprint


def host_to_operate(user: User, pk: int) -> Host:
    """A host that the user may operate. Raises PermissionDenied and Http404."""
    permissions.check_can_operate_host(user)
    host = Host.objects.filter(pk=pk).first()
    if host is None:
        raise Http404(_("Host not found."))
    return host
