"""The page of the backups of the whole machine, for admins. They are restored by a command, as root."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import signed_in
from left4me.backups import actions, machine
from left4me.backups.views import newest_job
from left4me.core.web import notices
from left4me.core.web.refusals import Refused
from left4me.core.web.request import is_fragment
from servers import permissions
from servers.hosts import rpc


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    permissions.check_can_operate_host(user)
    host = machine.host()
    can_back_up = host is not None and host.backups_machine
    context: dict[str, Any] = {**newest_job("machine", "back_up_machine", user=user), "can_back_up": can_back_up}
    if host is not None and can_back_up:
        try:
            context["backups"] = machine.of(host)
        except (rpc.HostSilent, rpc.NotFound):
            context["silent"] = True
    return render(request, "backups/machine.html#state" if is_fragment(request) else "backups/machine.html", context)


@require_POST
def create(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    permissions.check_can_operate_host(user)
    try:
        actions.request_of_machine(host=machine.host(), by=user)
    except Refused as refusal:
        notices.refuse(request, refusal)
    return redirect("backups:machine")
