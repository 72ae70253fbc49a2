"""Fetching overlays for a user: raises Http404 if the user may not see it, PermissionDenied if not change it."""

from __future__ import annotations

from django.http import Http404
from django.utils.translation import gettext as _

from left4me.core.statements import Given, select
from left4me.core.web.request import Visitor
from overlays import permissions
from overlays.models import Overlay, OverlayAddon

_overlay = select(lambda: Overlay.objects.select_related("owner").counted().filter(pk=Given("overlay")).order_by())


def overlay_or_404(user: Visitor, pk: int) -> Overlay:
    """The overlay with its owner and `used_by`, the number of blueprints that use it. Raises Http404."""
    overlay = _overlay.first(overlay=pk)
    if overlay is None:
        raise Http404(_("Overlay not found."))
    permissions.check_can_see_overlay(user, overlay)
    return overlay


def overlay_to_edit(user: Visitor, pk: int) -> Overlay:
    """An overlay that the user may change. Raises Http404 and PermissionDenied."""
    overlay = overlay_or_404(user, pk)
    permissions.check_can_edit_overlay(user, overlay)
    return overlay


def overlay_with_files(user: Visitor, pk: int) -> Overlay:
    """An overlay that has a directory tree to browse. Raises Http404."""
    overlay = overlay_or_404(user, pk)
    if overlay.kind == Overlay.Kind.WORKSHOP:
        raise Http404(_("Workshop overlays contain only workshop items. Add files to an overlay of the kind Files."))
    return overlay


def files_to_edit(user: Visitor, pk: int) -> Overlay:
    """An overlay whose files are uploaded and changed by hand. Raises Http404 and PermissionDenied."""
    overlay = overlay_with_files(user, pk)
    permissions.check_can_edit_overlay(user, overlay)
    if overlay.kind != Overlay.Kind.FILES:
        raise Http404(_("A script creates this overlay's files. Edit the script instead."))
    return overlay


def workshop_overlay(user: Visitor, pk: int) -> Overlay:
    """A workshop overlay that the user may see. Raises Http404, also for an overlay of another kind."""
    overlay = overlay_or_404(user, pk)
    if overlay.kind != Overlay.Kind.WORKSHOP:
        raise Http404(_("This overlay is not a workshop overlay."))
    return overlay


def workshop_overlay_to_edit(user: Visitor, pk: int) -> Overlay:
    """A workshop overlay that the user may change. Raises PermissionDenied, and Http404 like `workshop_overlay`."""
    overlay = workshop_overlay(user, pk)
    permissions.check_can_edit_overlay(user, overlay)
    return overlay


def addon_to_edit(user: Visitor, pk: int, addon_id: int) -> OverlayAddon:
    """An addon of an overlay that the user may change. Raises Http404 and PermissionDenied."""
    addon = overlay_to_edit(user, pk).addons.filter(pk=addon_id).first()
    if addon is None:
        raise Http404(_("This file no longer exists."))
    return addon
