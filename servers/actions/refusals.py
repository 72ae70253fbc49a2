"""Refusals of the actions on servers and blueprints."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from left4me.core.web import refusals
from left4me.core.web.refusals import Cure
from servers.models import Blueprint, Server

Refused = refusals.Refused


class Stale(refusals.Stale):
    """The row has changed since the caller read it; `current` is the row as it is now."""

    def __init__(self, current: Blueprint | Server) -> None:
        super().__init__(
            _("Someone else edited this; nothing was overwritten. Save again to overwrite their changes."),
            current=current,
        )


class InUse(refusals.InUse):
    """Servers are linked to the blueprint: `servers` holds (id, name) of each."""

    def __init__(self, servers: list[tuple[int, str]]) -> None:
        self.servers = servers
        super().__init__(
            ngettext(
                "One server uses this blueprint: %(names)s.",
                "%(count)d servers use this blueprint: %(names)s.",
                len(servers),
            )
            % {"count": len(servers), "names": ", ".join(name for _pk, name in servers)},
            cure=Cure(label=_("Open “%s”") % servers[0][1], url=reverse("servers:edit", args=[servers[0][0]])),
            servers=[{"id": pk, "name": name} for pk, name in servers],
        )
