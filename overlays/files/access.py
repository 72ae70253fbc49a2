"""The first line of every view of an overlay's files."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from accounts.permissions import signed_in
from overlays import permissions
from overlays.models import Overlay


def visible(request: HttpRequest, pk: int) -> Overlay:
    """An overlay whose tree can be looked at. Raises Http404."""
    overlay = get_object_or_404(Overlay.objects.select_related("owner"), pk=pk)
    permissions.check_can_see_overlay(signed_in(request), overlay)
    if overlay.kind == Overlay.Kind.WORKSHOP:
        raise Http404(_("A workshop overlay holds only links to workshop items."))
    return overlay


def editable(request: HttpRequest, pk: int) -> Overlay:
    """An overlay whose files this user may change. Raises Http404 and PermissionDenied."""
    overlay = visible(request, pk)
    permissions.check_can_edit_overlay(signed_in(request), overlay)
    if overlay.kind != Overlay.Kind.FILES:
        raise Http404(_("A script makes this overlay's files: change the script."))
    return overlay


def can_change_files(request: HttpRequest, overlay: Overlay) -> bool:
    return overlay.kind == Overlay.Kind.FILES and permissions.can_edit_overlay(signed_in(request), overlay)
