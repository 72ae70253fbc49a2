"""Permissions on overlays. `check_can_x` raises Http404 for users who must not learn that the overlay exists."""

from __future__ import annotations

from collections.abc import Collection

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _

from left4me.core.web.request import Visitor, is_admin
from overlays.models import Overlay


def can_see_overlay(user: Visitor, overlay: Overlay) -> bool:
    """Every active user sees system overlays; other overlays are visible to their owner and to admins."""
    if not user.is_active:
        return False
    return overlay.is_system or overlay.owner_id == user.pk or is_admin(user)


def audience(ids: Collection[int]) -> dict[int, Collection[int] | None]:
    """Who may see these overlays besides admins, for signals: everybody those of the system."""
    rows = Overlay.objects.filter(pk__in=ids).order_by().values_list("pk", "owner_id")
    return {pk: None if owner_id is None else {owner_id} for pk, owner_id in rows}


def check_can_see_overlay(user: Visitor, overlay: Overlay) -> None:
    if not can_see_overlay(user, overlay):
        raise Http404(_("Overlay not found."))


def can_edit_overlay(user: Visitor, overlay: Overlay) -> bool:
    """Includes changing the content, building and deleting."""
    if is_admin(user):
        return True
    return bool(user.is_active and overlay.owner_id is not None and overlay.owner_id == user.pk)


def check_can_edit_overlay(user: Visitor, overlay: Overlay) -> None:
    check_can_see_overlay(user, overlay)
    if not can_edit_overlay(user, overlay):
        raise PermissionDenied(_("Only admins can change system overlays."))


def can_edit_files(user: Visitor, overlay: Overlay) -> bool:
    """Only files overlays: the files of other kinds are made by a build."""
    return overlay.kind == Overlay.Kind.FILES and can_edit_overlay(user, overlay)


def can_make_system_overlay(user: Visitor) -> bool:
    """Includes script overlays, which run code on a host, and choosing a directory."""
    return is_admin(user)


def check_can_make_system_overlay(user: Visitor) -> None:
    if not can_make_system_overlay(user):
        raise PermissionDenied(_("Only admins can create system overlays."))


def can_use_overlay(owner: Visitor, overlay: Overlay) -> bool:
    """Whether a blueprint of `owner` may contain it. Admins may not use other users' overlays either."""
    return overlay.is_system or overlay.owner_id == owner.pk


def can_allow_programs(user: Visitor) -> bool:
    """Whether the user may let an overlay replace programs of the game, which run outside of any plugin's rules."""
    return is_admin(user)


def check_can_allow_programs(user: Visitor) -> None:
    if not can_allow_programs(user):
        raise PermissionDenied(_("Only admins can allow programs of the game."))
