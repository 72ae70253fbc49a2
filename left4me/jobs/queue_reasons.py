"""Why a queued job is not started: its host is not ready, another job holds what it needs, or others come first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from django.utils.translation import gettext as _

from left4me.core.web.request import Visitor, is_admin
from left4me.jobs import resources
from left4me.jobs.models import Job, JobLock
from left4me.jobs.states import State

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from left4me.core.web.request import Person

HostHealth = Callable[[], Mapping[str, "StrOrPromise"]]

_host_health: list[HostHealth] = []


def register_host_health(health: HostHealth) -> None:
    """Register the function that returns which hosts run no jobs now, and why: {"two": "silent since …"}."""
    _host_health[:] = [health]


def unhealthy_hosts() -> dict[str, StrOrPromise]:
    """Return what is wrong with hosts, by name; hosts that run jobs are left out. One query."""
    return {name: problem for health in _host_health for name, problem in health().items()}


def explain(jobs: Iterable[Job], *, user: Visitor | None = None) -> None:
    """Set `waiting_for` on `jobs`: the trouble of its host, the job that holds what it needs, or its place in line.

    The resource of another job is named where `user` is an admin, or requested that job and still sees it. The number
    of queries does not depend on the number of jobs, and is 0 when none of them is queued.
    """
    jobs = list(jobs)
    queued = [job for job in jobs if job.state == State.QUEUED]
    problems = unhealthy_hosts() if queued else {}
    holders = _holders(queued)
    places = _places({job.host for job in queued if job.pk not in holders})
    named = _named(holders.values(), user)
    labels = resources.labels(job.resource for job in named)
    for job in jobs:
        job.waiting_for = ""
        if job not in queued:
            continue
        if problem := problems.get(job.host):
            job.waiting_for = reason(job.host, problem)
        elif holder := holders.get(job.pk):
            job.waiting_for = _held_by(holder, labels.get(holder.resource))
        elif (place := places.get(job.pk, 1)) > 1:
            job.waiting_for = _("Number %(place)d in the queue of host %(host)s") % {"place": place, "host": job.host}


def _named(holders: Collection[Job], user: Visitor | None) -> list[Job]:
    """Those whose resource the user may be told."""
    if user is None or user.pk is None:
        return []
    if is_admin(user):
        return list(holders)
    own = [job.pk for job in holders if job.user_id == user.pk]
    if not own:
        return []
    seen = set(Job.objects.asked_by(cast("Person", user)).filter(pk__in=own).values_list("pk", flat=True))
    return [job for job in holders if job.pk in seen]


def _holders(queued: Sequence[Job]) -> dict[int, Job]:
    """For each queued job that an older job blocks, by its id, the one that runs, else the oldest."""
    if not queued:
        return {}
    wanted = list(JobLock.objects.filter(job__in=[job.pk for job in queued]))
    others = JobLock.objects.filter(resource__in={lock.resource for lock in wanted}).select_related("job")
    by_resource: dict[str, list[JobLock]] = {}
    for lock in others.order_by("job_id"):
        by_resource.setdefault(lock.resource, []).append(lock)
    found: dict[int, Job] = {}
    for lock in wanted:
        for other in by_resource.get(lock.resource, ()):
            if other.job_id >= lock.job_id:
                break
            if not (other.exclusive or lock.exclusive):
                continue
            known = found.get(lock.job_id)
            if known is None or (other.job.is_active and not known.is_active):
                found[lock.job_id] = other.job
    return found


def _places(hosts: Collection[str]) -> dict[int, int]:
    """The place of each queued job in the queue of its host, beginning with 1."""
    if not hosts:
        return {}
    places: dict[int, int] = {}
    lengths: dict[str, int] = {}
    for pk, host in Job.objects.queued().filter(host__in=hosts).order_by("pk").values_list("pk", "host"):
        places[pk] = lengths[host] = lengths.get(host, 0) + 1
    return places


def _held_by(job: Job, label: resources.Label | None) -> str:
    values = {"title": job.title, "number": job.pk, "name": label.name if label else ""}
    if job.is_active:
        if label:
            return _("Waiting for “%(title)s” of %(name)s (job %(number)d), in progress") % values
        return _("Waiting for “%(title)s” (job %(number)d), in progress") % values
    if label:
        return _("Waiting for “%(title)s” of %(name)s (job %(number)d), queued before it") % values
    return _("Waiting for “%(title)s” (job %(number)d), queued before it") % values


def reason(host: str, problem: StrOrPromise) -> str:
    """Return the sentence that pages and the API show for a job that waits for `host`."""
    return _("Waiting for host %(host)s: %(fault)s") % {"host": host, "fault": problem}
