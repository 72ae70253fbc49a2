"""The tab of the SourceMod plugins of a server."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web import forms, notices
from left4me.core.web.refusals import Refused
from overlays.plugins import finder
from servers import lookups
from servers.actions import plugins as actions
from servers.hosts import rpc
from servers.models import Server
from servers.plugins.forms import PluginSettingsForm
from servers.views import server_page


@require_safe
def plugins(request: HttpRequest, pk: int) -> HttpResponse:
    """The plugins of its overlays and of its own files, as its next start shows them."""
    server = lookups.server_to_operate(signed_in(request), pk)
    context = {**server_page.frame(request, server, tab="plugins"), **_apart(facts(server))}
    if context["each"].may_edit and "silent" not in context:
        context["files"] = setting_files(server)
    return render(request, "servers/plugins.html", context)


@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Enable or disable a plugin for this server, from its next start on."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    choice = {"enable": True, "disable": False}.get(request.POST.get("operation", ""))
    path = request.POST.get("path", "")
    try:
        actions.switch(server=server, path=path, is_enabled=choice, by=user)
    except Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("Applies at the next start."))
    return redirect("servers:plugins", pk)


@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    """The settings in the cfg file that `file` names, as a form."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    file = request.GET.get("file", "")
    context: dict[str, Any] = {**server_page.frame(request, server, tab="plugins"), "file": file}
    try:
        found = settings_of(server, file)
    except rpc.HostSilent:
        return render(request, "servers/plugin_settings.html", {**context, "silent": True})
    form = PluginSettingsForm(request.POST or None, settings=found["settings"])

    def save() -> dict[str, str]:
        known = actions.known_of(found["settings"])
        return actions.set_values(server=server, file=file, values=form.changes(), known=known, by=user)

    saved, status = forms.submit(form, save)
    if saved is not None:
        messages.success(request, _("Settings saved."))
        return redirect(f"{reverse('servers:plugin_settings', args=[pk])}?{urlencode({'file': file})}")
    context |= {"form": form, "plugin": found["plugin"], "is_own": file in server.plugin_settings}
    context["is_linked"] = file in (server.applied or {}).get("plugin_files", [])
    return render(request, "servers/plugin_settings.html", context, status=status)


@require_POST
def reset_settings(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    actions.reset(server=lookups.server_to_edit(user, pk), file=request.POST.get("file", ""), by=user)
    messages.success(request, _("Applies at the next start."))
    return redirect("servers:plugins", pk)


def settings_of(server: Server, file: str) -> dict[str, Any]:
    """The settings in a file as the host reports them. Raises Http404, and HostSilent."""
    try:
        found: dict[str, Any] = rpc.call(server.host, "plugin_settings", server=server.pk, file=file).facts
    except rpc.NotFound:
        raise Http404(_("This file no longer exists.")) from None
    return found


def facts(server: Server) -> dict[str, Any]:
    """The plugins as the host reports them; or that it did not respond."""
    try:
        found: dict[str, Any] = rpc.call(server.host, "plugins", server=server.pk).facts
    except (rpc.HostSilent, rpc.NotFound):
        return {"silent": True}
    return found


def _apart(found: dict[str, Any]) -> dict[str, Any]:
    """These facts with the optional plugins by themselves, of which a competitive pack brings more than of others."""
    if "silent" in found:
        return found
    # By the path: a worker of an older release does not tell.
    plugins = [{**plugin, "is_optional": finder.is_optional(plugin["path"])} for plugin in found["plugins"]]
    optional = [plugin for plugin in plugins if plugin["is_optional"]]
    return {
        **found,
        "plugins": [plugin for plugin in plugins if not plugin["is_optional"]],
        "optional": optional,
        "optional_running": sum(bool(each["loaded"] and not each["loaded"]["status"]) for each in optional),
    }


def setting_files(server: Server) -> list[dict[str, Any]]:
    """The cfg files with settings as the host reports them; none if it did not respond."""
    try:
        found: list[dict[str, Any]] = rpc.call(server.host, "plugin_files", server=server.pk).facts
    except (rpc.HostSilent, rpc.NotFound):
        return []
    return found
