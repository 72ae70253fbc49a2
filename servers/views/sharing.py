"""Shares of a server, and its RCON password."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core import secrets
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices, undo
from servers import actions, lookups
from servers.forms import ShareForm
from servers.models import ServerShare


@require_POST
def share(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    form = ShareForm(request.POST)
    shared, status = lib_forms.submit(form, lambda: actions.share(server=server, by=user, **form.cleaned_data))
    if shared is not None:
        messages.success(request, _("Server shared with %s.") % shared.user)
        return redirect("servers:edit", server.pk)
    context = {"server": server, "share_form": form, "shares": server.shares.select_related("user")}
    return render(request, "servers/share.html", context, status=status)


@require_POST
def revoke(request: HttpRequest, pk: int, share_pk: int) -> HttpResponse:
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    shared = get_object_or_404(server.shares.select_related("user", "server"), pk=share_pk)
    actions.revoke(share=shared, by=user)
    again = undo.offer("server.share", by=user, server=pk, username=shared.user.username, role=shared.role)
    notices.done(request, _("Stopped sharing with %s.") % shared.user, undo=again)
    if shared.role == ServerShare.Role.OPERATOR:
        messages.info(request, _("RCON password changed. It applies at the next restart."))
    return redirect("servers:edit", server.pk)


@undo.register("server.share")
def share_again(user: User, server: int, username: str, role: str) -> str:
    """Share a server again with a user whose share was removed."""
    row = lookups.server_to_edit(user, server)
    actions.share(server=row, username=username, role=role, by=user)
    return reverse("servers:edit", args=[server])


@require_POST
@never_cache
def password(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the RCON password. POST only, so that no link, prefetch or history entry shows it."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    try:
        shown = actions.show_password(server=server, by=user)
    except secrets.Unreadable as fault:
        messages.error(request, str(fault))
        return redirect("servers:edit", server.pk)
    return render(request, "servers/password.html", {"server": server, "password": shown})


@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    actions.rotate_password(server=server, by=user)
    messages.success(request, _("RCON password changed. It applies at the next restart."))
    return redirect("servers:edit", server.pk)
