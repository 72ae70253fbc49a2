"""Why a queued job is not started: its host is unreachable or not ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from left4me.jobs.models import Job
from left4me.jobs.states import State

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

HostHealth = Callable[[], Mapping[str, "StrOrPromise"]]

_host_health: list[HostHealth] = []


def register_host_health(health: HostHealth) -> None:
    """Register the function that returns which hosts run no jobs now, and why: {"two": "silent since …"}."""
    _host_health[:] = [health]


def unhealthy_hosts() -> dict[str, StrOrPromise]:
    """Return what is wrong with hosts, by name; hosts that run jobs are left out. One query."""
    return {name: problem for health in _host_health for name, problem in health().items()}


def explain(jobs: Iterable[Job]) -> None:
    """Set `waiting_for` on `jobs`, with one query if any of them is queued."""
    jobs = list(jobs)
    problems = unhealthy_hosts() if any(job.state == State.QUEUED for job in jobs) else {}
    for job in jobs:
        problem = problems.get(job.host) if job.state == State.QUEUED else None
        job.waiting_for = reason(job.host, problem) if problem else ""


def reason(host: str, problem: StrOrPromise) -> str:
    """Return the sentence that pages and the API show for a job that waits for `host`."""
    return _("waits for host %(host)s, %(fault)s") % {"host": host, "fault": problem}
