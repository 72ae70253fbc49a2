"""The status shown for a server: the running operation if there is one, otherwise the observed state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from left4me.alerts.attention import Reason
from left4me.core.statements import Texts, select
from left4me.core.web.request import Visitor
from left4me.jobs import queue_reasons
from left4me.jobs.models import Job
from servers import permissions
from servers.blueprints import maps
from servers.blueprints.maps import Chapter
from servers.lifecycle import pending_changes
from servers.models import Server, ServerShare, blueprints
from servers.state import attention, live_source, start_retries

STATUS_BY_OPERATION: dict[str, tuple[str, Promise]] = {
    "initialize": ("initializing", _("Verifying files")),
    "start": ("starting", _("Starting")),
    "restart": ("restarting", _("Restarting")),
    "stop": ("stopping", _("Stopping")),
    "kill": ("stopping", _("Force stopping")),
    "restore": ("initializing", _("restoring")),
    "delete": ("deleting", _("Deleting")),
    "move": ("moving", _("Moving")),
}

# A stop usually takes seconds. One that has taken this long may be forced.
STOP_IS_SLOW_AFTER = timedelta(seconds=10)

# The operations that make sense in each status; the first one is the most likely.
ACTIONS_BY_STATUS: dict[str, tuple[str, ...]] = {
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
    "moving": (),
}


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """A server as one user sees it on pages and in the API."""

    server: Server
    role: str
    job: Job | None  # the live job on it; a running one before waiting ones
    status: str  # a key of ACTIONS_BY_STATUS; selects the colour of the badge
    label: str | Promise
    has_drifted: bool
    restart_needed: bool
    host_is_down: bool
    attention: Sequence[Reason]  # the worst first
    stop_is_slow: bool = False
    live: Any = None  # what is known of its players, where a page shows that
    spark: Any = None  # its players of the last day, where a list shows them

    @property
    def chapter(self) -> Chapter | None:
        """The chapter that is played, or with which it would start; None for a map without a title."""
        return chapter_of(self.server, self.live)

    @property
    def actions(self) -> tuple[str, ...]:
        """The operations to offer this user, the most likely one first."""
        if not self.may_operate:
            return ()
        offered = ACTIONS_BY_STATUS[self.status]
        # Only a stop ends the wish for a server that does not run.
        is_wanted = self.server.desired_state == Server.Desired.RUNNING
        return (*offered, "stop") if is_wanted and offered and "stop" not in offered else offered

    @property
    def has_given_up_starting(self) -> bool:
        """Whether so many attempts have failed that no further one is planned."""
        return self.job is None and self.server.failed_starts > len(start_retries.PAUSES)

    @property
    def buttons(self) -> tuple[str, ...]:
        """The actions that the server's page offers: those without a force stop until nothing else helps."""
        needs_force = self.stop_is_slow or self.server.hung_since is not None or self.status == "unknown"
        return self.actions if needs_force else tuple(each for each in self.actions if each != "kill")

    @property
    def may_operate(self) -> bool:
        return self.role in {permissions.OWNER, permissions.ADMIN, ServerShare.Role.OPERATOR}

    @property
    def may_edit(self) -> bool:
        return self.role in {permissions.OWNER, permissions.ADMIN}


def of(
    servers: Sequence[Server], *, user: Visitor, now: datetime, with_live: bool = False, with_sparks: bool = False
) -> list[ServerStatus]:
    """The status of each of these servers, in at most ten queries for all.

    Needs rows from `listed().with_role(user)`.
    """
    if not servers:
        return []
    # Only servers that may need a restart compare their overlays, so only theirs are fetched.
    compared = [server.blueprint for server in servers if pending_changes.can_be_behind(server)]
    prefetch_related_objects(compared, blueprints.layers())
    jobs = _live_jobs(server.resource for server in servers)
    queue_reasons.explain(jobs.values(), user=user)
    reasons = attention.of_servers(servers, busy=jobs, user=user, now=now)
    lives = live_source.of_servers(servers, now=now) if with_live else {}
    sparks = live_source.sparklines(servers, now=now) if with_sparks else {}
    return [
        replace(
            _status(server, jobs.get(server.resource), reasons[server.pk], user=user, now=now),
            live=lives.get(server.pk),
            spark=sparks.get(server.pk),
        )
        for server in servers
    ]


def chapter_of(server: Server, live: Any) -> Chapter | None:
    """The chapter that is played according to `live`, else the chapter of the game's own maps that it starts with."""
    if live is not None and live.is_current and live.snapshot.map:
        played: Chapter | None = live.chapter
        return played
    return maps.stock().get(maps.start_map(server.blueprint.arguments))


_live_on = select(
    lambda: Job.objects.live().filter(resource__in=Texts("resources")).select_related("user").order_by("pk")
)


def _live_jobs(resources: Iterable[str]) -> dict[str, Job]:
    """One live job for each resource that has any: the running one, else the one that has waited longest."""
    jobs: dict[str, Job] = {}
    for job in _live_on.rows(resources=resources):
        if job.resource not in jobs or (job.is_active and not jobs[job.resource].is_active):
            jobs[job.resource] = job
    return jobs


def _status(
    server: Server, job: Job | None, reasons: Sequence[Reason], *, user: Visitor, now: datetime
) -> ServerStatus:
    host_is_down = server.host.is_down(now)
    status, label = _status_and_label(server, job, host_is_down=host_is_down)
    return ServerStatus(
        server=server,
        role=permissions.role_of(user, server),
        job=job,
        status=status,
        label=label,
        has_drifted=job is None and not host_is_down and server.has_drifted,
        restart_needed=pending_changes.restart_needed(server),
        host_is_down=host_is_down,
        stop_is_slow=_stop_is_slow(server, job, now),
        attention=reasons,
    )


def _stop_is_slow(server: Server, job: Job | None, now: datetime) -> bool:
    """Whether a game should have ended by now: since its stop was requested, or since it began to end."""
    if job is not None and job.operation == "stop" and job.state == Job.State.QUEUED:
        return now - job.created_at >= STOP_IS_SLOW_AFTER
    if server.actual_state != Server.State.STOPPING:
        return False
    # A job that ended while the game did not has given up on it.
    return job is None or server.actual_state_at is None or now - server.actual_state_at >= STOP_IS_SLOW_AFTER


def _status_and_label(server: Server, job: Job | None, *, host_is_down: bool) -> tuple[str, str | Promise]:
    if job is not None and job.operation in STATUS_BY_OPERATION:
        return STATUS_BY_OPERATION[job.operation]
    if host_is_down:
        # The last report of a host that is down says nothing about the present.
        return "unknown", _("Unknown")
    if server.actual_state == Server.State.UNKNOWN and server.started_at is None:
        return "stopped", _("Never started")
    return server.actual_state, Server.State(server.actual_state).label
