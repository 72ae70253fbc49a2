"""Making up for what was lost: jobs of dead workers, wake-ups that never arrived, and what is too old to keep."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet

from left4me.jobs import identity, transitions
from left4me.jobs.models import Job, JobLog, JobQuerySet
from left4me.jobs.states import State

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 5_000


def sweep(*, host: str, now: datetime) -> int:
    """Settle the jobs of dead workers; return how many were settled."""
    settled = sum(_recover(job, now) for job in Job.objects.abandoned(now))
    settled += take_over_dead(host=host, now=now)
    return settled


def take_over_dead(*, host: str, now: datetime) -> int:
    """Settle jobs of `host` whose worker is provably dead, without waiting for their lease."""
    dead = [job for job in Job.objects.active().on_host(host) if identity.is_provably_dead(job.worker)]
    return sum(_recover(job, now) for job in dead)


def _recover(job: Job, now: datetime) -> bool:
    try:
        state = transitions.recover(job, now=now)
    except Exception:
        log.exception("Job %s of a dead worker could not be settled", job.pk)
        return False
    if state is not None:
        log.warning("Job %s lost its worker %s: now %s", job.pk, job.worker, State(state).value)
    return state is not None


def prune(*, now: datetime, log_days: int, job_days: int) -> tuple[int, int]:
    """Delete log lines and ended jobs that are too old, a few thousand rows at a time; return how many of each."""
    old_log = JobLog.objects.filter(created_at__lt=now - timedelta(days=log_days))
    ended = Job.objects.filter(pk=OuterRef("job_id"), finished_at__isnull=False)
    lines = _delete_in_steps(old_log.filter(Exists(ended)))
    jobs = _delete_in_steps(Job.objects.ended().filter(finished_at__lt=now - timedelta(days=job_days)))
    return lines, jobs


def _delete_in_steps(rows: JobQuerySet | QuerySet[JobLog]) -> int:
    """Delete `rows` without holding the database's one writer, or the memory, for all of them at once."""
    deleted = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:_ROWS_AT_ONCE]):
        deleted += rows.model._default_manager.filter(pk__in=keys).delete()[0]
    return deleted
