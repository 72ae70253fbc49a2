"""What needs attention in the overlays of servers, as reasons of the servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.utils.translation import gettext as _

from left4me.alerts.attention import Reason
from left4me.core.statements import Numbers, select
from left4me.core.web.request import Visitor
from overlays import attention as overlay_attention
from overlays.models import Overlay
from servers import permissions
from servers.models import BlueprintOverlay, Server

_links = BlueprintOverlay.objects.filter(blueprint__in=Numbers("blueprints")).order_by()
_suspects = select(lambda: overlay_attention.suspects().filter(pk__in=_links.values("overlay")).order_by())


def of(servers: Sequence[Server], user: Visitor) -> tuple[Mapping[int, list[Reason]], Mapping[int, Overlay]]:
    """Of the blueprints that the user may see: the reasons of their overlays, and one that was never built.

    It takes one query when there are none, which is so nearly always.
    """
    visible = {row.blueprint_id for row in servers if permissions.can_see_blueprint(user, row.blueprint)}
    if not visible:
        return {}, {}
    overlays = {overlay.pk: overlay for overlay in _suspects.rows(blueprints=visible)}
    if not overlays:
        return {}, {}
    links = BlueprintOverlay.objects.filter(blueprint__in=visible).order_by("position")
    found = overlay_attention.of_suspects(list(overlays.values()), user=user)
    by_blueprint: dict[int, list[Reason]] = {}
    unbuilt: dict[int, Overlay] = {}
    for blueprint_id, overlay_id in links.filter(overlay__in=overlays).values_list("blueprint_id", "overlay_id"):
        overlay = overlays[overlay_id]
        reasons = [_of_server(overlay, reason) for reason in found.get(overlay_id, ())]
        by_blueprint.setdefault(blueprint_id, []).extend(reasons)
        if overlay.kind != Overlay.Kind.FILES and overlay.built_at is None:
            unbuilt[blueprint_id] = overlay
    return by_blueprint, unbuilt


def _of_server(overlay: Overlay, reason: Reason) -> Reason:
    """The reason of an overlay as one of a server that uses it."""
    text = _("Overlay “%(name)s”: %(text)s") % {"name": overlay.name, "text": reason.text}
    label = _("Overlay: %(label)s") % {"label": reason.label}
    return replace(reason, kind=f"layer_{reason.kind}", label=label, text=text)
