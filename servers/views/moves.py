"""The page that moves a server to another host."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import notices
from left4me.core.web.ids import parse_id
from left4me.core.web.refusals import Refused
from servers import lookups
from servers.actions import moves
from servers.models import Server

_WARNINGS = (0, 10, 30, 60, 300)


@require_http_methods(["GET", "HEAD", "POST"])
def move(request: HttpRequest, pk: int) -> HttpResponse:
    """The hosts to which it can move, with what would change there; a POST requests the move."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    if request.method == "POST":
        return _request(request, server, user)
    now = timezone.now()
    previews = [moves.preview(server=server, target=target, now=now) for target in moves.targets(server)]
    context = {
        "server": server,
        "previews": [(each, each.address(site=request.get_host())) for each in previews],
        "is_running": server.desired_state == Server.Desired.RUNNING,
        "warnings": _WARNINGS,
    }
    return render(request, "servers/move.html", context)


def _request(request: HttpRequest, server: Server, user: User) -> HttpResponse:
    # The button that confirms an interruption has the form in its address.
    given = request.POST if "host" in request.POST else request.GET
    target = moves.targets(server).filter(pk=parse_id(given.get("host", "")) or 0).first()
    try:
        if target is None:
            raise Refused(_("This host does not accept new servers. Choose another host."))
        moves.request_move(
            server=server,
            target=target,
            by=user,
            warn_seconds=parse_id(given.get("warn_seconds", "")) or 0,
            interrupting=request.GET.get("interrupt", ""),
        )
    except Refused as refusal:
        notices.refuse(request, refusal)
        return redirect("servers:move", server.pk)
    messages.success(request, _("The server moves to host “%s”.") % target.name)
    return redirect(server)
