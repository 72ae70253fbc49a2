"""Permissions on bans and their lists, and lookups with them.

Owners and admins manage a list. The list of one server is also open to those who operate that server.
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import User
from left4me.core.web.request import is_admin
from livestate.bans.models import Ban, BanList
from servers import permissions


def can_ban(user: User, ban_list: BanList) -> bool:
    """Add, change and lift bans of the list."""
    if not user.is_active:
        return False
    if ban_list.owner_id == user.pk or is_admin(user):
        return True
    return ban_list.server is not None and permissions.can_operate_server(user, ban_list.server)


def check_can_ban(user: User, ban_list: BanList) -> None:
    if not can_ban(user, ban_list):
        raise PermissionDenied(_("Only the owner of this list can change its bans."))


def can_edit_list(user: User, ban_list: BanList) -> bool:
    """Rename, share and delete the list."""
    return user.is_active and (ban_list.owner_id == user.pk or is_admin(user))


def check_can_edit_list(user: User, ban_list: BanList) -> None:
    if not can_edit_list(user, ban_list):
        raise PermissionDenied(_("Only the owner can change this list."))


def visible_lists(user: User) -> QuerySet[BanList]:
    return BanList.objects.visible_to(user).select_related("owner", "server")


def list_or_404(user: User, pk: int) -> BanList:
    """The list. Raises Http404 for users who may not see it."""
    ban_list = visible_lists(user).filter(pk=pk).first() if user.is_active else None
    if ban_list is None:
        raise Http404(_("Ban list not found."))
    return ban_list


def list_to_ban(user: User, pk: int) -> BanList:
    ban_list = list_or_404(user, pk)
    check_can_ban(user, ban_list)
    return ban_list


def list_to_edit(user: User, pk: int) -> BanList:
    ban_list = list_or_404(user, pk)
    check_can_edit_list(user, ban_list)
    return ban_list


def ban_or_404(user: User, pk: int) -> Ban:
    """The ban. Raises Http404 for users who may not see its list."""
    ban = Ban.objects.visible_to(user).for_pages().filter(pk=pk).first() if user.is_active else None
    if ban is None:
        raise Http404(_("Ban not found."))
    return ban


def ban_to_change(user: User, pk: int) -> Ban:
    ban = ban_or_404(user, pk)
    check_can_ban(user, ban.ban_list)
    return ban
