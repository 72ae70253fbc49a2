"""Servers as a visitor may see them: the first line of every view and of every API operation here."""

from __future__ import annotations

from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import User
from servers import permissions
from servers.models import Server


def server(user: User, pk: int) -> Server:
    """The server with the user's role; raises Http404 for who may not see it."""
    found = Server.objects.with_role(user).select_related("host", "blueprint").filter(pk=pk).first()
    if found is None:
        raise Http404(_("There is no such server."))
    permissions.check_can_see_server(user, found)
    return found


def server_to_operate(user: User, pk: int) -> Server:
    """Raises PermissionDenied as well, for who may look only."""
    found = server(user, pk)
    permissions.check_can_operate_server(user, found)
    return found
