"""Fetching rows as a visitor may see them: the first line of every view, of pages and API alike."""

from __future__ import annotations

from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import User
from servers import permissions
from servers.models import Blueprint, Server


def server(user: User, pk: int) -> Server:
    """The server with its blueprint and the user's role; raises Http404 for who may not see it."""
    found = Server.objects.with_blueprint().with_role(user).filter(pk=pk).first()
    if found is None:
        raise Http404(_("There is no such server."))
    permissions.check_can_see_server(user, found)
    return found


def server_to_operate(user: User, pk: int) -> Server:
    found = server(user, pk)
    permissions.check_can_operate_server(user, found)
    return found


def server_to_edit(user: User, pk: int) -> Server:
    found = server(user, pk)
    permissions.check_can_edit_server(user, found)
    return found


def blueprint(user: User, pk: int) -> Blueprint:
    """The blueprint with its layers; raises Http404 for who may not see it."""
    found = Blueprint.objects.with_layers().select_related("owner").filter(pk=pk).first()
    if found is None:
        raise Http404(_("There is no such blueprint."))
    permissions.check_can_see_blueprint(user, found)
    return found


def blueprint_to_edit(user: User, pk: int) -> Blueprint:
    found = blueprint(user, pk)
    permissions.check_can_edit_blueprint(user, found)
    return found
