"""Pages of hosts: their state, and the game versions installed on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import forms, notices
from left4me.core.web.request import is_fragment
from left4me.jobs import queue_reasons
from left4me.jobs.models import Job
from servers import actions, lookups, permissions
from servers.forms import UpdatePolicyForm
from servers.models import Host, HostToken, Server
from servers.state import attention, copies, host_usage
from servers.state import floods as floods_state

RECENT_JOBS = 6


@dataclass(frozen=True, kw_only=True)
class Version:
    """One installed version of the game, as reported by its host."""

    id: str
    kind: str
    build: str
    installed_at: datetime
    is_current: bool
    servers: int  # that run it now


@require_safe
def hosts(request: HttpRequest) -> HttpResponse:
    rows = list(Host.objects.select_related("game_check").annotate(server_count=Count("servers")))
    now = timezone.now()
    reasons = attention.of_hosts(rows, user=signed_in(request), now=now)
    context = {"hosts": [{"row": row, "is_down": row.is_down(now), "attention": reasons[row.pk]} for row in rows]}
    return render(request, "servers/hosts.html", context)


@require_safe
def host(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = get_object_or_404(Host.objects.select_related("game_check"), pk=pk)
    may_operate = permissions.can_operate_host(user)
    context = {
        **_state(row, user),
        "may_operate": may_operate,
        "copies": copies.of_host(row, now=timezone.now()) if may_operate else None,
        "used": host_usage.of(row, user=user),
        "floods": floods_state.of(row, now=timezone.now()),
        "is_own": row.name == settings.LEFT4ME_HOST,
        "token": HostToken.objects.filter(host=row).first(),
    }
    return render(request, "servers/host.html#state" if is_fragment(request) else "servers/host.html", context)


@require_safe
def usage(request: HttpRequest, pk: int) -> HttpResponse:
    """What the host has and who uses it, a part of its page."""
    user = signed_in(request)
    row = get_object_or_404(Host, pk=pk)
    if not is_fragment(request):
        return redirect(row)
    return render(request, "servers/_host_usage.html", {"used": host_usage.of(row, user=user)})


@require_safe
def floods(request: HttpRequest, pk: int) -> HttpResponse:
    """What the firewall of the host has dropped, a part of its page."""
    row = get_object_or_404(Host, pk=pk)
    if not is_fragment(request):
        return redirect(row)
    return render(request, "servers/_host_floods.html", {"floods": floods_state.of(row, now=timezone.now())})


@require_POST
def host_action(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    try:
        actions.request_on_host(host=row, operation=request.POST.get("operation", ""), by=user)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    if is_fragment(request):
        return render(request, "servers/host.html#state", {**_state(row, user), "may_operate": True})
    return redirect(row)


@require_POST
def copy_servers(request: HttpRequest, pk: int) -> HttpResponse:
    """Copy the servers of a worker host to this machine now."""
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    try:
        actions.request_copies(host=row, by=user)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    return redirect(row)


@require_safe
def copies_of(request: HttpRequest, pk: int) -> HttpResponse:
    """The copies of its servers, a part of its page."""
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    if not is_fragment(request):
        return redirect(row)
    context = {"host": row, "copies": copies.of_host(row, now=timezone.now())}
    return render(request, "servers/_host_copies.html", context)


@require_POST
def check_game(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the host to look for a newer build of the game."""
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    try:
        actions.check_game(host=row, by=user)
    except actions.Refused as refusal:
        messages.error(request, str(refusal))
    if is_fragment(request):
        row.refresh_from_db()
        return render(request, "servers/host.html#state", {**_state(row, user), "may_operate": True})
    return redirect(row)


@require_http_methods(["GET", "HEAD", "POST"])
def update_policy(request: HttpRequest, pk: int) -> HttpResponse:
    """What happens by itself when a game update is available."""
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    form = UpdatePolicyForm(request.POST or None, instance=row)
    saved, status = forms.submit(form, lambda: actions.update_host(host=row, by=user, **form.cleaned_data))
    if saved is not None:
        messages.success(request, _("Saved."))
        return redirect(row)
    return render(request, "servers/update_policy.html", {"form": form, "host": row}, status=status)


@require_POST
def take_servers(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the host accept new servers, or none."""
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    accepts = request.POST.get("accepts") == "yes"
    actions.update_host(host=row, by=user, is_enabled=accepts)
    done = _("The host accepts new servers.") if accepts else _("The host accepts no new servers. Its own go on.")
    messages.success(request, done)
    return redirect(row)


@require_POST
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    actions.revoke_token(host=row, by=user)
    messages.success(request, _("Token revoked. The host can no longer download overlays."))
    return redirect(row)


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = lookups.host_to_operate(user, pk)
    try:
        actions.remove_host(host=row, by=user)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
        return redirect(row)
    messages.success(request, _("Host “%s” removed.") % row.name)
    return redirect("servers:hosts")


def _state(host: Host, user: User) -> dict[str, Any]:
    jobs = Job.objects.filter(host=host.name, resource="game").select_related("user")
    job = jobs.live().order_by("pk").first()
    queue_reasons.explain([job] if job else [], user=user)
    recent = list(jobs[:RECENT_JOBS])
    last_failed = bool(recent) and recent[0].state == Job.State.FAILED and not job
    return {
        "host": host,
        "is_down": host.is_down(timezone.now()),
        "check": host.last_check,
        "checks_seconds": settings.LEFT4ME_GAME_CHECK_SECONDS,
        "versions": (versions := _versions(host)),
        "has_older": bool(versions) and any(v.installed_at < _current_at(versions) for v in versions),
        "job": job,
        "jobs": recent,
        "failed_job": recent[0] if last_failed else None,
    }


def _versions(host: Host) -> list[Version]:
    """The newest first."""
    running = Server.objects.filter(host=host).exclude(actual_state__in=[Server.State.STOPPED, Server.State.GAVE_UP])
    counts = dict(running.values_list("game_version").annotate(Count("pk")).order_by())
    versions = [
        Version(
            id=version["id"],
            kind=version["kind"],
            build=version["build"],
            installed_at=datetime.fromisoformat(version["installed_at"]),
            is_current=version["id"] == host.game_version,
            servers=counts.get(version["id"], 0),
        )
        for version in host.facts.get("versions", [])
    ]
    return sorted(versions, key=lambda version: version.installed_at, reverse=True)


def _current_at(versions: list[Version]) -> datetime:
    return next((version.installed_at for version in versions if version.is_current), versions[-1].installed_at)
