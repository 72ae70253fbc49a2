"""The content of the dashboard: the user's servers, what needs attention, and the jobs that run or failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count

from accounts.models import User
from left4me.alerts.attention import Subject, worst_first
from left4me.core.statements import Given, Numbers, select_for
from left4me.jobs import resources
from left4me.jobs.models import Job, JobQuerySet
from left4me.jobs.resources import Label
from overlays import attention as overlay_attention
from overlays.models import Overlay
from servers.lifecycle import status as server_status
from servers.lifecycle.status import ServerStatus
from servers.models import Host, Server
from servers.models.servers import ServerQuerySet
from servers.state import attention, criteria
from servers.state.criteria import Criteria

MOST_SERVERS = 12
MOST_JOBS = 8
_RECENTLY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Overview:
    statuses: list[ServerStatus]
    attention: list[Subject]  # the worst first; of servers, those in `statuses`
    needing_attention: int  # the number of all, also of those not in `attention`
    servers: int
    running: int
    jobs: list[Job]
    failed: list[Job]

    @cached_property
    def labels(self) -> Mapping[str, Label]:
        """The display name of each resource that the listed jobs work on."""
        return resources.labels(job.resource for job in [*self.jobs, *self.failed])


def of(user: User, *, now: datetime) -> Overview:
    """The dashboard of `user`. The number of queries does not depend on the number of servers."""
    counts = dict(_counts.rows(user))
    present = Criteria.of(now)
    needed = _needing.rows(user, **vars(present))
    shown = needed[:MOST_SERVERS]
    if len(shown) < MOST_SERVERS:
        shown += _others.rows(user, shown=shown)[: MOST_SERVERS - len(shown)]
    rows = {server.pk: server for server in _listed.rows(user, servers=shown)} if shown else {}
    listed = [rows[pk] for pk in shown if pk in rows]
    statuses = server_status.of(listed, user=user, now=now, with_live=True, with_sparks=True)
    others = [*_hosts(user, now), *_overlays(user, present.faulty_overlays)]
    return Overview(
        statuses=statuses,
        attention=worst_first([*others, *_subjects(statuses)]),
        needing_attention=len(others) + len(needed),
        servers=sum(counts.values()),
        running=counts.get(Server.State.RUNNING, 0),
        jobs=_live_jobs.rows(user),
        failed=_failed_jobs.rows(user, since=now - _RECENTLY),
    )


def needing_attention(user: User, *, now: datetime) -> list[Subject]:
    """Every server, host and overlay that needs the user's attention, the worst first.

    The number of queries does not depend on their number.
    """
    present = Criteria.of(now)
    statuses = server_status.of(_listed_needing.rows(user, **vars(present)), user=user, now=now)
    return worst_first([*_hosts(user, now), *_overlays(user, present.faulty_overlays), *_subjects(statuses)])


def _all_needing(visitor: Any) -> ServerQuerySet:
    rows = criteria.filter_servers(Server.objects.visible_to(visitor), criteria.GIVEN, user=visitor)
    return rows.needing_attention_first()


def _jobs_of(visitor: Any) -> JobQuerySet:
    jobs = Job.objects.all() if visitor.is_admin else Job.objects.asked_by(visitor)
    return jobs.select_related("user")


_counts = select_for(
    lambda visitor: (
        Server.objects.visible_to(visitor)
        .order_by()
        .values("actual_state")
        .annotate(count=Count("pk"))
        .values_list("actual_state", "count")
    )
)
_needing = select_for(lambda visitor: _all_needing(visitor).values_list("pk", flat=True))
_listed_needing = select_for(lambda visitor: _all_needing(visitor).listed().with_role(visitor))
_others = select_for(
    lambda visitor: (
        Server.objects.visible_to(visitor)
        .exclude(pk__in=Numbers("shown"))
        .needing_attention_first()
        .values_list("pk", flat=True)[:MOST_SERVERS]
    )
)
_listed = select_for(
    lambda visitor: (
        Server.objects.visible_to(visitor).filter(pk__in=Numbers("servers")).order_by().listed().with_role(visitor)
    )
)
_live_jobs = select_for(lambda visitor: _jobs_of(visitor).live()[:MOST_JOBS])
_failed_jobs = select_for(
    lambda visitor: _jobs_of(visitor).filter(state=Job.State.FAILED, finished_at__gte=Given("since"))[:MOST_JOBS]
)


def _subjects(statuses: Sequence[ServerStatus]) -> list[Subject]:
    return [
        Subject(
            kind="server",
            id=each.server.pk,
            name=each.server.name,
            url=each.server.get_absolute_url(),
            reasons=each.attention,
        )
        for each in statuses
        if each.attention
    ]


def _hosts(user: User, now: datetime) -> list[Subject]:
    """The hosts, for admins. Other users see a problem of a host on their servers."""
    hosts = list(Host.objects.select_related("game_check")) if user.is_admin else []
    found = attention.of_hosts(hosts, user=user, now=now) if hosts else {}
    return [
        Subject(kind="host", id=host.pk, name=host.name, url=host.get_absolute_url(), reasons=found[host.pk])
        for host in hosts
        if found[host.pk]
    ]


def _overlays(user: User, faulty: Collection[int]) -> list[Subject]:
    """The overlays that the user may change and no server of theirs uses: those are reported with the server."""
    if not faulty:
        return []
    rows = Overlay.objects.filter(pk__in=faulty)
    rows = rows if user.is_admin else rows.filter(owner=user)
    used = rows.filter(in_blueprints__blueprint__servers__in=Server.objects.visible_to(user)).values("pk")
    return overlay_attention.subjects(list(rows.exclude(pk__in=used)), user=user)
