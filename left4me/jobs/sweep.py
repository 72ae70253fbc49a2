"""Settles the jobs of dead workers and deletes old jobs and log lines."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from left4me.core import clock
from left4me.core.rows import delete_in_steps
from left4me.jobs import identity, transitions
from left4me.jobs.leases import LEASE
from left4me.jobs.models import Job, JobLog
from left4me.jobs.states import State

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 5_000
# After a step of the clock, running workers need this long to renew their leases by the new time.
_SECONDS_TO_RENEW = LEASE.total_seconds()

_clock = clock.Watch()
_stepped_at = float("-inf")


def settle_abandoned(*, host: str, now: datetime) -> int:
    """Settle the jobs whose lease has expired, and those of dead workers of `host`; return how many."""
    settled = take_over_dead(host=host, now=now)
    if _leases_tell_nothing():
        return settled
    return settled + sum(_recover(job, now) for job in Job.objects.abandoned(now, lease=LEASE))


def _leases_tell_nothing() -> bool:
    """Whether the clock was set so lately that the leases of running jobs may look expired, or those of dead ones not.

    A running job that is taken for abandoned would run twice.
    """
    global _stepped_at
    if step := _clock.step():
        log.warning("The clock was %s; jobs of stopped workers are settled a little later", clock.in_words(step))
        _stepped_at = time.monotonic()
    return time.monotonic() - _stepped_at < _SECONDS_TO_RENEW


def take_over_dead(*, host: str, now: datetime) -> int:
    """Settle the jobs of `host` whose worker is provably dead, without waiting for the end of their lease."""
    dead = [job for job in Job.objects.active().on_host(host) if identity.is_provably_dead(job.worker)]
    return sum(_recover(job, now) for job in dead)


def _recover(job: Job, now: datetime) -> bool:
    try:
        state = transitions.recover(job, now=now)
    except Exception:
        log.exception("Could not settle job %s of a stopped worker", job.pk)
        return False
    if state is not None:
        log.warning("Job %s lost its worker %s: now %s", job.pk, job.worker, State(state).value)
    return state is not None


def prune(*, now: datetime, log_days: int, job_days: int) -> tuple[int, int]:
    """Delete old log lines and ended jobs, some thousand rows at a time; return how many of each."""
    old_log = JobLog.objects.filter(created_at__lt=now - timedelta(days=log_days))
    ended = Job.objects.filter(pk=OuterRef("job_id"), finished_at__isnull=False)
    lines = delete_in_steps(old_log.filter(Exists(ended)), at_once=_ROWS_AT_ONCE)
    jobs = delete_in_steps(
        Job.objects.ended().filter(finished_at__lt=now - timedelta(days=job_days)), at_once=_ROWS_AT_ONCE
    )
    return lines, jobs
