"""Pages of servers."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.audit import sentences
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices, undo
from left4me.core.web.request import is_fragment
from servers import actions, lookups
from servers.actions import moves
from servers.forms import ServerForm, ShareForm
from servers.lifecycle import pending_changes
from servers.lifecycle import status as server_status
from servers.models import DeletedServer, Server
from servers.state import copies, live_source
from servers.views import facts, server_page, server_rows
from servers.views.new_server import posted

PER_PAGE = 50
_SETTINGS = ("name", "blueprint", "port", "restart_when_hung", "tag_list")


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The overview, which is the first tab."""
    user = signed_in(request)
    server = lookups.server_or_404(user, pk)
    site = request.get_host()
    frame = server_page.frame(request, server, tab=server_page.OVERVIEW)
    context = {
        **frame,
        "address": server.host.join_address(server.port, site=site),
        "tv_address": server.host.join_address(server.tv_port, site=site) if server.tv_port else "",
        "players_now": live_source.players(request, server, frame["live"]),
        **facts.context(user, server),
    }
    return render(request, "servers/detail.html", context)


@require_safe
def state(request: HttpRequest, pk: int) -> HttpResponse:
    """The bar and the tabs, refreshed every few seconds; on the overview also what needs attention."""
    server = lookups.server_or_404(signed_in(request), pk)
    return render(request, "servers/_state.html", server_page.frame(request, server, tab=request.GET.get("tab", "")))


@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    """The tab on which its owner changes, shares and deletes it."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    # The frame shows the stored row; the form writes what was typed into its own.
    context = server_page.frame(request, lookups.server_to_edit(user, pk), tab="settings")
    before = {name: getattr(server, name) for name in _SETTINGS}
    form = ServerForm(posted(request), instance=server, owner=server.owner)

    def update() -> Server:
        values = {name: form.cleaned_data[name] for name in _SETTINGS}
        seen_version = form.cleaned_data["version"] or 0
        return actions.update_server(server=server, seen_version=seen_version, by=user, **values)

    saved, status = lib_forms.submit(form, update)
    if saved is not None:
        kept = before | {"blueprint": before["blueprint"].pk}
        again = undo.offer("server.settings", by=user, server=pk, seen=saved.version, before=kept)
        notices.done(request, _("Settings saved."), undo=again)
        return redirect("servers:edit", saved.pk)
    context |= {"form": form, "shares": server.shares.select_related("user"), "share_form": ShareForm()}
    context["offers_move"] = moves.targets(server).exists()
    context["copy"] = copies.of_server(server)
    return render(request, "servers/settings.html", context, status=status)


@undo.register("server.settings")
def restore_settings(user: User, server: int, seen: int, before: dict[str, Any]) -> str:
    """Save the settings that a server had before a change, unless it was changed again since then."""
    row = lookups.server_to_edit(user, server)
    blueprint = lookups.blueprint_or_404(user, before["blueprint"])
    actions.update_server(server=row, seen_version=seen, by=user, **before | {"blueprint": blueprint})
    return reverse("servers:edit", args=[server])


@require_POST
def action(request: HttpRequest, pk: int) -> HttpResponse:
    """Request an operation and respond at once with the server and its queued job."""
    user = signed_in(request)
    operation = request.POST.get("operation", "")
    server = lookups.server_to_edit(user, pk) if operation == "delete" else lookups.server_to_operate(user, pk)
    try:
        actions.request(server=server, operation=operation, by=user, interrupting=request.GET.get("interrupt", ""))
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    tab = request.POST.get("tab", "")
    if not is_fragment(request):
        return redirect("servers:list" if operation == "delete" else server_page.address_of(server, tab))
    if request.POST.get("from") == "list":
        row = server_status.of([server], user=user, now=timezone.now(), with_live=True, with_sparks=True)[0]
        return HttpResponse(server_rows.render_row(request, row))
    return render(request, "servers/_state.html", server_page.frame(request, server, tab=tab))


@require_POST
def use_port(request: HttpRequest, pk: int) -> HttpResponse:
    """Take the free port that the failed start found, and start the server."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    try:
        actions.use_offered_port(server=server, by=user)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    except ValidationError as fault:
        notices.refuse(request, fault)
    return redirect(server)


@require_safe
def pending(request: HttpRequest, pk: int) -> HttpResponse:
    """The changes that the next start applies."""
    server = lookups.server_to_edit(signed_in(request), pk)
    context = {
        **server_page.frame(request, server, tab="files"),
        "changes": pending_changes.pending(server),
        "needed": pending_changes.restart_needed(server),
    }
    return render(request, "servers/changes.html", context)


@require_safe
def suspects(request: HttpRequest, pk: int) -> HttpResponse:
    """What changed since the server last ran well."""
    user = signed_in(request)
    server, now = lookups.server_to_edit(user, pk), timezone.now()
    found = server_page.after_failure(user, server, server_page.recent_crash(server, now), now)
    context = {**server_page.frame(request, server, tab="history"), **found}
    context["edits"] = sentences.describe(found["suspects"].edits)
    return render(request, "servers/suspects.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for confirmation, then request the operation that removes files and row."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    if request.method == "POST":
        desired_state = server.desired_state
        try:
            actions.request(server=server, operation="delete", by=user)
        except actions.Refused as refusal:
            notices.refuse(request, refusal)
            return redirect(server)
        text = _("Deleting server “%s”… You can restore it for seven days, under “Recently deleted”.")
        again = undo.offer("server.delete", by=user, server=pk, desired_state=desired_state)
        notices.done(request, text % server.name, undo=again)
        return redirect("servers:list")
    return render(request, "servers/delete.html", {"server": server})


@undo.register("server.delete")
def keep(user: User, server: int, desired_state: str) -> str:
    """Keep a server whose deletion waits, or restore it once it is deleted."""
    if row := Server.objects.visible_to(user).listed().with_role(user).filter(pk=server).first():
        actions.cancel_deletion(server=lookups.server_to_edit(user, row.pk), desired_state=desired_state, by=user)
        return row.get_absolute_url()
    deleted_server = lookups.deleted_server_to_restore(user, server)
    return actions.restore_server(deleted=deleted_server, by=user).get_absolute_url()


@require_safe
def deleted(request: HttpRequest) -> HttpResponse:
    """The deleted servers that can be restored."""
    rows = DeletedServer.objects.visible_to(signed_in(request)).kept(timezone.now())
    page = Paginator(rows.select_related("host", "owner", "blueprint"), PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "servers/deleted.html", {"page": page})


@require_POST
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.deleted_server_to_restore(user, pk)
    try:
        server = actions.restore_server(deleted=row, by=user)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
        return redirect("servers:deleted")
    messages.success(request, _("Server “%s” restored.") % server.name)
    return redirect(server)
