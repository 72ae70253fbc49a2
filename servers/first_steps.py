"""The checklist of the dashboard: from an empty installation to a server with friends on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accounts.models import User
from left4me.core.statements import select_for
from left4me.jobs.models import Job
from overlays.models import Overlay
from servers.models import Host, PlayersLink, Server, ServerShare


@dataclass(frozen=True, kw_only=True)
class FirstSteps:
    host: Host | None  # the first host that takes new servers
    installation: Job | None  # the live job that installs its game
    has_content: bool
    server: Server | None
    has_friends: bool

    @property
    def has_game(self) -> bool:
        return self.host is not None and bool(self.host.game_version)

    @property
    def has_started(self) -> bool:
        return self.server is not None and self.server.started_at is not None

    @property
    def are_done(self) -> bool:
        """Content is optional: the stock campaigns need none."""
        return self.has_game and self.has_started and self.has_friends


_owners = select_for(
    lambda visitor: Server.objects.visible_to(visitor).order_by().values_list("owner_id", flat=True)[:2]
)


def of(user: User, *, now: datetime) -> FirstSteps | None:
    """The steps of a user who is at the beginning; None for those who are done or have servers already."""
    owners = _owners.rows(user)
    if len(owners) > 1 or any(owner != user.pk for owner in owners):
        return None
    server = Server.objects.visible_to(user).listed().first()
    host = server.host if server else Host.objects.filter(is_enabled=True).first()
    steps = FirstSteps(
        host=host,
        installation=Job.objects.live().on_host(host.name).filter(operation="install").first() if host else None,
        has_content=Overlay.objects.usable_by(user).filter(file_count__gt=0).exists(),
        server=server,
        has_friends=server is not None
        and (PlayersLink.objects.filter(server=server).exists() or ServerShare.objects.filter(server=server).exists()),
    )
    return None if steps.are_done else steps
