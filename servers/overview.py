"""The content of the dashboard: the user's servers, what needs attention, and the jobs that run or failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.db.models import Count, Q

from accounts.models import User
from left4me.jobs import resources
from left4me.jobs.models import Job
from left4me.jobs.resources import Label
from servers.lifecycle import status as server_status
from servers.lifecycle.status import ServerStatus
from servers.models import Blueprint, Host, Server

MOST_SERVERS = 12
MOST_JOBS = 8
_INSTALL = "install"
_RECENTLY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Overview:
    statuses: list[ServerStatus]
    servers: int
    running: int
    troubled: int
    blueprints: int
    jobs: list[Job]
    failed: list[Job]
    silent_hosts: list[Host]
    gameless_hosts: list[Host]

    @cached_property
    def labels(self) -> Mapping[str, Label]:
        """The display name of each resource that the listed jobs work on."""
        return resources.labels(job.resource for job in [*self.jobs, *self.failed])

    @property
    def missing_games(self) -> list[tuple[Host, str]]:
        """Hosts without the game where no job installs it, with what the last attempt of today failed for."""
        installing = {job.host for job in self.jobs if job.operation == _INSTALL}
        faults = {job.host: job.error for job in reversed(self.failed) if job.operation == _INSTALL}
        return [(host, faults.get(host.name, "")) for host in self.gameless_hosts if host.name not in installing]

    @property
    def attention(self) -> list[ServerStatus]:
        return [status for status in self.statuses if status.needs_attention]


def of(user: User, *, now: datetime) -> Overview:
    """The dashboard of `user`. The number of queries does not depend on the number of servers."""
    visible = Server.objects.visible_to(user)
    counts = visible.aggregate(
        servers=Count("pk"),
        running=Count("pk", filter=Q(actual_state=Server.State.RUNNING)),
        troubled=Count("pk", filter=Q(actual_state__in=[Server.State.CRASHED, Server.State.GAVE_UP])),
    )
    shown = visible.listed().with_role(user).needing_attention_first()[:MOST_SERVERS]
    jobs = Job.objects.all() if user.is_admin else Job.objects.asked_by(user)
    hosts = Host.objects.all() if user.is_admin else []
    failed = jobs.filter(state=Job.State.FAILED, finished_at__gte=now - _RECENTLY)
    return Overview(
        statuses=server_status.of(list(shown), user=user, now=now),
        blueprints=Blueprint.objects.visible_to(user).count(),
        jobs=list(jobs.live().select_related("user")[:MOST_JOBS]),
        failed=list(failed.select_related("user")[:MOST_JOBS]),
        silent_hosts=[host for host in hosts if host.is_down(now)],
        gameless_hosts=[host for host in hosts if not host.game_version and not host.is_down(now)],
        **counts,
    )
