"""The page for players of a server, which needs no login, and the page on which its owner manages the link."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.permissions import signed_in
from left4me.audit import record
from left4me.core.natural_order import natural_key
from overlays.campaigns import sources
from overlays.campaigns.sources import Source
from servers import lookups
from servers.blueprints import maps
from servers.blueprints.maps import Chapter
from servers.lifecycle import status as server_status
from servers.models import BlueprintOverlay, PlayersLink, Server
from servers.state import live_source


@require_http_methods(["GET", "HEAD", "POST"])
def players_link(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the link of the players' page; create, replace or remove it."""
    user = signed_in(request)
    server = lookups.server_to_edit(user, pk)
    if request.method == "POST":
        removed, _by_model = PlayersLink.objects.filter(server=server).delete()
        if "remove" not in request.POST:
            PlayersLink.objects.create(server=server)
        action = "server.players_link_removed" if "remove" in request.POST else "server.players_link_made"
        record.write(action=action, by=user, target=server.resource, request=request)
        messages.success(request, _message(removed=bool(removed), made="remove" not in request.POST))
        return redirect("servers:players_link", server.pk)
    link = PlayersLink.objects.filter(server=server).first()
    address = request.build_absolute_uri(link.get_absolute_url()) if link else ""
    return render(request, "servers/players_link.html", {"server": server, "address": address})


def _message(*, removed: bool, made: bool) -> str:
    if not made:
        return _("Link disabled.")
    return _("Link reset. The old one no longer works.") if removed else _("Link created.")


@require_safe
@never_cache
@login_not_required
def join(request: HttpRequest, token: str) -> HttpResponse:
    """The players' page: how to connect, and the campaigns to get first."""
    link = get_object_or_404(PlayersLink.objects.select_related("server__host", "server__blueprint"), token=token)
    server = link.server
    live = live_source.of_servers([server], now=timezone.now()).get(server.pk)
    first = maps.start_map(server.blueprint.arguments)
    chapter = server_status.chapter_of(server, live) or maps.playable(server.blueprint_id).get(first)
    needed = _needed(server)
    context = {
        "server": server,
        "needed": needed,
        "total_size": sum(source.size for source in needed),
        "address": server.host.join_address(server.port, site=request.get_host()),
        "chapter": chapter,
        "card_url": _card_url(request, chapter),
        "is_running": server.actual_state == Server.State.RUNNING,
    }
    response = render(request, "servers/join.html", context)
    # Knowing the address is the permission: it must not be sent to Steam or be indexed by search engines.
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response


def _card_url(request: HttpRequest, chapter: Chapter | None) -> str:
    """The picture that chat programs show beside the link; they take no SVG."""
    if chapter is not None and chapter.preview_url:
        return chapter.preview_url
    drawing = (chapter.drawing if chapter else "") or "left4me/campaigns/other.svg"
    return request.build_absolute_uri(static(drawing.removesuffix(".svg") + ".png"))


def _needed(server: Server) -> list[Source]:
    """What players must have, in any overlay of the server's blueprint: each once, by title."""
    links = BlueprintOverlay.objects.filter(blueprint=server.blueprint_id).order_by("position")
    overlay_ids = list(links.values_list("overlay_id", flat=True))
    found = sources.of_overlays(overlay_ids)
    needed: dict[tuple[str, object], Source] = {}
    for overlay_id in overlay_ids:
        for source in found.get(overlay_id, ()):
            if _is_needed(source):
                needed.setdefault(("item", source.item.pk) if source.item else ("file", source.path), source)
    return sorted(needed.values(), key=lambda source: natural_key(source.title))


def _is_needed(source: Source) -> bool:
    """Whether players must have it too: to play its maps, or because a user gave a link for them."""
    if source.addon is None:
        return True
    if not source.addon.is_valid:
        return False
    return bool(source.addon.link) or any(entry["map"] not in maps.stock() for entry in source.addon.chapters)
