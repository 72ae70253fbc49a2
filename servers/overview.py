"""What the dashboard says: my servers, what needs attention, what is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.db.models import Count, Q

from accounts.models import User
from left4me.jobs import registry
from left4me.jobs.models import Job
from servers.models import Blueprint, Host, Server
from servers.state import status as server_status
from servers.state.status import Standing

MOST_SERVERS = 12
MOST_JOBS = 8
_LATELY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Overview:
    standings: list[Standing]
    servers: int
    running: int
    troubled: int
    blueprints: int
    jobs: list[Job]
    failed: list[Job]
    silent_hosts: list[Host]

    @cached_property
    def labels(self) -> Mapping[str, registry.Label]:
        """What the jobs are about, by the names people know."""
        return registry.labels(job.resource for job in [*self.jobs, *self.failed])

    @property
    def attention(self) -> list[Standing]:
        return [each for each in self.standings if each.needs_attention]


def of(user: User, *, now: datetime) -> Overview:
    """The dashboard of `user`; as many queries for one server as for many."""
    mine = Server.objects.visible_to(user)
    counts = mine.aggregate(
        servers=Count("pk"),
        running=Count("pk", filter=Q(actual_state=Server.State.RUNNING)),
        troubled=Count("pk", filter=Q(actual_state__in=[Server.State.CRASHED, Server.State.GAVE_UP])),
    )
    first = mine.listed().with_role(user).needing_attention_first()[:MOST_SERVERS]
    jobs = Job.objects.all() if user.is_admin else Job.objects.asked_by(user)
    failed = jobs.filter(state=Job.State.FAILED, finished_at__gte=now - _LATELY)
    return Overview(
        standings=server_status.of(list(first), user=user, now=now),
        blueprints=Blueprint.objects.visible_to(user).count(),
        jobs=list(jobs.live().select_related("user")[:MOST_JOBS]),
        failed=list(failed.select_related("user")[:MOST_JOBS]),
        silent_hosts=[host for host in Host.objects.all() if host.is_down(now)] if user.is_admin else [],
        **counts,
    )
