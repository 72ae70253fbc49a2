"""How servers stand, in the words of a page: the operation under way first, else what was observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import prefetch_related_objects
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.core.web.request import Visitor
from left4me.jobs import waiting
from left4me.jobs.models import Job
from servers import permissions
from servers.lifecycle import pending_changes
from servers.models import Server, ServerShare, blueprints

_UNDER_WAY: dict[str, tuple[str, Promise]] = {
    "initialize": ("initializing", _("initializing")),
    "start": ("starting", _("starting")),
    "restart": ("restarting", _("restarting")),
    "stop": ("stopping", _("stopping")),
    "kill": ("stopping", _("being killed")),
    "delete": ("deleting", _("being deleted")),
}

# What makes sense in each state; the first is the obvious one.
_FITTING: dict[str, tuple[str, ...]] = {
    "unknown": ("start", "stop", "kill"),
    "stopped": ("start", "initialize"),
    "starting": ("stop", "kill"),
    "running": ("stop", "restart", "kill"),
    "restarting": ("stop", "kill"),
    "stopping": ("kill",),
    "initializing": ("start", "stop"),
    "crashed": ("stop", "restart", "kill"),
    "gave_up": ("start", "initialize"),
    "deleting": (),
}


@dataclass(frozen=True, kw_only=True)
class Standing:
    server: Server
    role: str
    job: Job | None  # the live job on it, the running one before waiting ones
    shown: str  # a state of the badge
    label: str | Promise
    has_drifted: bool
    restart_needed: bool
    host_is_down: bool

    @property
    def fitting(self) -> tuple[str, ...]:
        """The operations to offer this viewer, the obvious one first."""
        if self.role not in {permissions.OWNER, permissions.ADMIN, ServerShare.Role.OPERATOR}:
            return ()
        return _FITTING[self.shown]

    @property
    def may_edit(self) -> bool:
        return self.role in {permissions.OWNER, permissions.ADMIN}

    @property
    def needs_attention(self) -> bool:
        troubled = self.server.actual_state in {Server.State.CRASHED, Server.State.GAVE_UP}
        hangs = self.server.hung_since is not None
        return troubled or hangs or self.has_drifted or bool(self.server.last_error)


def of(servers: Sequence[Server], *, user: Visitor, now: datetime) -> list[Standing]:
    """How each of these stands, in three queries for all of them. Wants rows from `listed().with_role(user)`."""
    behind = [server.blueprint for server in servers if pending_changes.can_be_behind(server)]
    prefetch_related_objects(behind, blueprints.layers())
    jobs = _live_jobs(server.resource for server in servers)
    return [_standing(server, jobs.get(server.resource), user=user, now=now) for server in servers]


def _live_jobs(resources: Iterable[str]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for job in Job.objects.live().filter(resource__in=list(resources)).select_related("user").order_by("pk"):
        if job.resource not in found or (job.is_active and not found[job.resource].is_active):
            found[job.resource] = job
    return found


def _standing(server: Server, job: Job | None, *, user: Visitor, now: datetime) -> Standing:
    host_is_down = server.host.is_down(now)
    shown, label = _shown(server, job, host_is_down=host_is_down)
    if job is not None:
        trouble = server.host.trouble(now) if job.state == Job.State.QUEUED else ""
        job.waiting_for = waiting.words(server.host.name, trouble) if trouble else ""
    return Standing(
        server=server,
        role=permissions.role_of(user, server),
        job=job,
        shown=shown,
        label=label,
        has_drifted=job is None and not host_is_down and server.has_drifted,
        restart_needed=pending_changes.restart_needed(server),
        host_is_down=host_is_down,
    )


def _shown(server: Server, job: Job | None, *, host_is_down: bool) -> tuple[str, str | Promise]:
    if job is not None and job.operation in _UNDER_WAY:
        return _UNDER_WAY[job.operation]
    if host_is_down:
        # What a silent host said last is no news.
        return "unknown", _("unknown")
    if server.actual_state == Server.State.UNKNOWN and server.started_at is None:
        return "stopped", _("never started")
    return server.actual_state, Server.State(server.actual_state).label
