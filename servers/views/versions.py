"""Pages of the versions of a blueprint: what each save changed, and going back."""

from __future__ import annotations

from itertools import zip_longest

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import notices, undo
from left4me.core.web.refusals import Cure
from servers import actions, lookups
from servers.blueprints import versions
from servers.models import Blueprint

PER_PAGE = 20


@require_safe
def list_(request: HttpRequest, pk: int) -> HttpResponse:
    """Every kept version, the newest first, with what it changed."""
    blueprint = lookups.blueprint_or_404(signed_in(request), pk)
    page = Paginator(blueprint.versions.select_related("user"), PER_PAGE).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    older = blueprint.versions.filter(number__lt=rows[-1].number).first() if rows else None
    entries = [
        {
            "version": row,
            "changes": versions.differences(before.content, row.content) if before else [],
            "is_first": before is None,
        }
        for row, before in zip_longest(rows, [*rows[1:], older])
        if row is not None
    ]
    context = {"blueprint": blueprint, "page": page, "entries": entries}
    return render(request, "servers/blueprint_versions.html", context)


@require_safe
def version(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """What restoring a version would change."""
    blueprint = lookups.blueprint_or_404(signed_in(request), pk)
    kept = blueprint.versions.filter(number=number).select_related("user").first()
    if kept is None:
        raise Http404(_("There is no such version."))
    now = versions.content(blueprint, blueprint.layers)
    context = {"blueprint": blueprint, "version": kept, "changes": versions.differences(now, kept.content)}
    return render(request, "servers/blueprint_version.html", context)


@require_POST
def restore(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    user = signed_in(request)
    blueprint = lookups.blueprint_to_edit(user, pk)
    try:
        saved, left_out = actions.restore_version(blueprint=blueprint, number=number, by=user)
    except (actions.Refused, ValidationError) as fault:
        notices.refuse(request, fault)
        return redirect("servers:blueprint_versions", pk)
    _tell_left_out(request, left_out)
    messages.success(request, _("Version %d restored. Servers use it from their next start.") % number)
    return redirect(saved)


def offer_undo(saved: Blueprint, *, by: User) -> Cure | None:
    """The button that brings back the version before the one that was just saved."""
    newest, before = [*saved.versions.all()[:2], None, None][:2]
    if newest is None or before is None or newest.number != saved.version:
        return None
    return undo.offer("blueprint.version", by=by, blueprint=saved.pk, number=before.number, seen=saved.version)


@undo.register("blueprint.version")
def take_back(user: User, blueprint: int, number: int, seen: int) -> str:
    """Restore the version before a change, unless the blueprint was changed again since then."""
    row = lookups.blueprint_to_edit(user, blueprint)
    if row.version != seen:
        raise actions.Stale(row)
    saved, _left_out = actions.restore_version(blueprint=row, number=number, by=user)
    return saved.get_absolute_url()


@require_POST
def undo_and_start(request: HttpRequest, pk: int) -> HttpResponse:
    """Start a server with the version of its blueprint before the present one."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    lookups.blueprint_to_edit(user, server.blueprint_id)
    try:
        left_out = actions.start_without_last_change(server=server, by=user)
    except (actions.Refused, ValidationError) as fault:
        notices.refuse(request, fault)
    else:
        _tell_left_out(request, left_out)
        messages.success(request, _("The last change of the blueprint is undone, and the server starts."))
    return redirect(server)


def _tell_left_out(request: HttpRequest, names: list[str]) -> None:
    if names:
        messages.warning(request, _("Left out, because they were deleted: %s.") % ", ".join(names))
