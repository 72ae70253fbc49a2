"""Why a job waits although it is its turn: the host that has to do it is not fit to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from left4me.jobs import registry
from left4me.jobs.models import Job
from left4me.jobs.states import State

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


def explain(jobs: Iterable[Job]) -> None:
    """Set `waiting_for` on those that wait for their host; one query for all of them, none when none waits."""
    jobs = list(jobs)
    faults = registry.faults_of_hosts() if any(job.state == State.QUEUED for job in jobs) else {}
    for job in jobs:
        fault = faults.get(job.host) if job.state == State.QUEUED else None
        job.waiting_for = words(job.host, fault) if fault else ""


def words(host: str, fault: StrOrPromise) -> str:
    """Why a job of `host` waits, for pages and programs."""
    return _("waits for host %(host)s, %(fault)s") % {"host": host, "fault": fault}
