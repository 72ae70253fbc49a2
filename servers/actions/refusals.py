"""What an action may answer instead of doing it; each message is for the person who asked."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from left4me.jobs import actions as jobs
from servers.models import Blueprint, Server

Refused = jobs.Refused


class Stale(Refused):
    """Somebody else changed the row since it was read; `current` is how it stands now."""

    def __init__(self, current: Blueprint | Server) -> None:
        self.current = current
        super().__init__(_("Somebody else changed this meanwhile; nothing was overwritten."))


class InUse(Refused):
    """Servers are linked to the blueprint; `servers` holds (id, name) of each."""

    def __init__(self, servers: list[tuple[int, str]]) -> None:
        self.servers = servers
        super().__init__(
            ngettext(
                "One server is made from this blueprint: %(names)s.",
                "%(count)d servers are made from this blueprint: %(names)s.",
                len(servers),
            )
            % {"count": len(servers), "names": ", ".join(name for _pk, name in servers)}
        )
