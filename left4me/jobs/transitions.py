"""Every change of a job's state. Each is one conditional UPDATE, so of two concurrent changes one succeeds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from left4me.jobs import broadcast, dispatch, failure_alerts, operations
from left4me.jobs.models import Job, JobLock, JobQuerySet, oldest_claimable
from left4me.jobs.output import logs
from left4me.jobs.states import ACTIVE, ENDED, TRANSITIONS, State

_RUNS_BEFORE_GIVING_UP = 2


def claim(
    *, host: str, worker: str, limit: int, now: datetime, lease: timedelta, only: int | None = None
) -> list[Job]:
    """Claim up to `limit` jobs that can run now, oldest first; only the job `only` of these, if it is given.

    The number of queries does not depend on the length of the queue.
    """
    candidates = oldest_claimable(host, most=limit)
    # Another worker of this host may have read the same candidates; the conditional UPDATE decides who gets a job.
    claimed = [
        pk
        for pk, _operation in candidates
        if only in (None, pk)
        and _move(
            Job.objects.filter(pk=pk),
            to=State.RUNNING,
            worker=worker,
            lease_expires_at=now + lease,
            started_at=now,
            attempt=F("attempt") + 1,
        )
    ]
    jobs = list(Job.objects.filter(pk__in=claimed).order_by("pk")) if claimed else []
    for job in jobs:
        broadcast.state_after_commit(job, State.RUNNING)
    return jobs


def renew(*, worker: str, jobs: Iterable[int], now: datetime, lease: timedelta) -> None:
    """Extend the lease of those of `jobs` that `worker` holds."""
    Job.objects.active().filter(pk__in=jobs, worker=worker).update(lease_expires_at=now + lease)


def finish(job: Job, *, state: State, now: datetime, exit_code: int | None = None, error: str = "") -> bool:
    """End a job, called by the worker that runs it; return False if the job no longer belongs to that run."""
    held = _held_by_its_worker(job)
    return _end(held, job, state=state, now=now, exit_code=exit_code, error=error, keeps_slot=True)


def hand_back(job: Job, *, why: str, now: datetime) -> bool:
    """Queue a running job again, called by the worker that runs it. It keeps its place in the queue."""
    with transaction.atomic():
        # The attempt is not counted: the worker stopped, the job did not fail.
        moved = _release(_held_by_its_worker(job), attempt=F("attempt") - 1)
        if moved:
            logs.event(job.pk, why, now=now)
            broadcast.state_after_commit(job, State.QUEUED)
            dispatch.send_after_commit(job)
    return moved


def stop(job: Job, *, why: str, now: datetime) -> State | None:
    """Cancel a queued job, or ask a running one to stop; return the new state, None if it did not change."""
    rows = Job.objects.filter(pk=job.pk)
    with transaction.atomic():
        # A queued job ends at once.
        if _end(rows.filter(state=State.QUEUED), job, state=State.CANCELLED, now=now, why=why):
            return State.CANCELLED
        # It runs, and its operation must not be interrupted.
        operation = operations.find(job.operation)
        if operation is not None and not operation.cancellable:
            return None
        # It has ended, or is being cancelled already.
        if not _move(rows, to=State.CANCELLING):
            return None
        logs.event(job.pk, why, now=now)
        broadcast.state_after_commit(job, State.CANCELLING)
        broadcast.cancel_after_commit(job)
        return State.CANCELLING


def abandon(job: Job, *, why: str, now: datetime) -> bool:
    """End a job without asking the worker that may be running it; return False if the job has ended before.

    For jobs of a machine that no longer exists. A worker that still runs notices that the job is no longer its own.
    """
    rows = Job.objects.filter(pk=job.pk)
    waiting, active = rows.filter(state=State.QUEUED), rows.filter(state__in=ACTIVE)
    return _end(waiting, job, state=State.CANCELLED, now=now, why=why) or _end(
        active, job, state=State.FAILED, now=now, error=why, exit_code=1
    )


def recover(job: Job, *, now: datetime) -> State | None:
    """Settle a job whose worker is dead; return the new state, None if another process has settled it."""
    held = _held_by_its_worker(job)
    # Its user no longer wants it.
    if job.state == State.CANCELLING:
        why = "The worker stopped while it cancelled this job."
        return State.CANCELLED if _end(held, job, state=State.CANCELLED, now=now, why=why) else None
    # A job that may have killed its workers itself is not tried for ever.
    operation = operations.find(job.operation)
    if operation is not None and operation.idempotent and job.attempt < _RUNS_BEFORE_GIVING_UP:
        with transaction.atomic():
            if not _release(held):
                return None
            logs.event(job.pk, "The worker stopped unexpectedly. The job is queued again.", now=now)
            broadcast.state_after_commit(job, State.QUEUED)
            dispatch.send_after_commit(job)
        return State.QUEUED
    # It may be half done, and is not safe to repeat.
    error = "The worker stopped unexpectedly. Retry the job."
    return State.FAILED if _end(held, job, state=State.FAILED, now=now, error=error, exit_code=1) else None


def _held_by_its_worker(job: Job) -> JobQuerySet:
    """The row, if it still belongs to the run that `job` was read in: the fence against a worker that resumes late."""
    return Job.objects.active().filter(pk=job.pk, worker=job.worker, attempt=job.attempt)


def _move(rows: JobQuerySet, *, to: State, **fields: Any) -> bool:
    sources = [old for old, new in TRANSITIONS if new == to]
    return rows.filter(state__in=sources).update(state=to, **fields) > 0


def _release(rows: JobQuerySet, **fields: Any) -> bool:
    return _move(rows, to=State.QUEUED, worker="", lease_expires_at=None, started_at=None, progress=None, **fields)


def _end(
    rows: JobQuerySet,
    job: Job,
    *,
    state: State,
    now: datetime,
    exit_code: int | None = None,
    error: str = "",
    why: str = "",
    keeps_slot: bool = False,
) -> bool:
    assert state in ENDED  # noqa: S101 -- a programming error, not an input
    with transaction.atomic():
        ended = _move(
            rows, to=state, finished_at=now, worker="", lease_expires_at=None, exit_code=exit_code, error=error
        )
        if not ended:
            return False
        for text in filter(None, (why, error)):
            logs.event(job.pk, text, now=now)
        freed = list(JobLock.objects.filter(job=job.pk).values_list("resource", flat=True))
        JobLock.objects.filter(job=job.pk).delete()
        hosts = {job.host, *_waiting_for(freed)}
        # The worker that ran it sends its host's next jobs itself, after it has released the slot.
        for host in hosts - {job.host} if keeps_slot else hosts:
            dispatch.send_runnable_after_commit(host)
        row = Job.objects.get(pk=job.pk)
        failure_alerts.job_has_ended(row, now=now)
        broadcast.end_after_commit(row, end=end_of(row))
    return True


def _waiting_for(resources: Iterable[str]) -> Iterable[str]:
    waiting = Job.objects.queued().filter(locks__resource__in=list(resources))
    return waiting.order_by().values_list("host", flat=True).distinct()


def end_of(job: Job) -> dict[str, Any]:
    """The data of the `end` event."""
    return {"id": job.pk, "state": job.state, "exit_code": job.exit_code, "error": job.error}
