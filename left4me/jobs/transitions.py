"""Every change of a job's state: each one conditional UPDATE, so that of two who try, one wins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from left4me.jobs import alerting, broadcast, dispatch, logs, registry
from left4me.jobs.models import Job, JobLock, JobQuerySet
from left4me.jobs.states import ENDED, TRANSITIONS, State

_RUNS_BEFORE_GIVING_UP = 2


def claim(
    *, host: str, worker: str, limit: int, now: datetime, lease: timedelta, only: int | None = None
) -> list[Job]:
    """Take up to `limit` jobs that may run now, oldest first; of these the job `only`, when one is named.

    The number of queries does not grow with the queue.
    """
    candidates = Job.objects.claimable().on_host(host).order_by("pk").values_list("pk", flat=True)[:limit]
    # Another worker of this host may have seen the same candidates: the UPDATE decides.
    claimed = [
        pk
        for pk in list(candidates)
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
    for pk in claimed:
        broadcast.state_after_commit(pk, State.RUNNING)
    return list(Job.objects.filter(pk__in=claimed).order_by("pk")) if claimed else []


def renew(*, worker: str, jobs: Iterable[int], now: datetime, lease: timedelta) -> None:
    """Extend the lease of those of `jobs` that `worker` holds."""
    Job.objects.active().filter(pk__in=jobs, worker=worker).update(lease_expires_at=now + lease)


def finish(job: Job, *, state: State, now: datetime, exit_code: int | None = None, error: str = "") -> bool:
    """End a job as the worker that runs it; False when it is no longer this worker's to end."""
    held = _held_by_its_worker(job)
    return _end(held, job, state=state, now=now, exit_code=exit_code, error=error, keeps_slot=True)


def hand_back(job: Job, *, why: str, now: datetime) -> bool:
    """Queue a running job again as the worker that runs it; it keeps its place as the older one."""
    with transaction.atomic():
        # The attempt does not count: the job did nothing wrong.
        moved = _release(_held_by_its_worker(job), attempt=F("attempt") - 1)
        if moved:
            logs.event(job.pk, why, now=now)
            broadcast.state_after_commit(job.pk, State.QUEUED)
            dispatch.send_after_commit(job)
    return moved


def stop(job: Job, *, why: str, now: datetime) -> State | None:
    """Cancel a job that waits, ask one that runs to stop; return its new state, None when it could not be moved."""
    rows = Job.objects.filter(pk=job.pk)
    with transaction.atomic():
        if _end(rows.filter(state=State.QUEUED), job, state=State.CANCELLED, now=now, why=why):
            return State.CANCELLED
        operation = registry.find(job.operation)
        if operation is not None and not operation.cancellable:
            return None
        if not _move(rows, to=State.CANCELLING):
            return None
        logs.event(job.pk, why, now=now)
        broadcast.state_after_commit(job.pk, State.CANCELLING)
        broadcast.cancel_after_commit(job)
        return State.CANCELLING


def recover(job: Job, *, now: datetime) -> State | None:
    """Settle a job whose worker is gone; return its new state, None when somebody else has settled it."""
    held = _held_by_its_worker(job)
    if job.state == State.CANCELLING:
        why = "The worker died while this was being cancelled."
        return State.CANCELLED if _end(held, job, state=State.CANCELLED, now=now, why=why) else None
    operation = registry.find(job.operation)
    if operation is not None and operation.idempotent and job.attempt < _RUNS_BEFORE_GIVING_UP:
        with transaction.atomic():
            if not _release(held):
                return None
            logs.event(job.pk, "The worker died. This is queued again.", now=now)
            broadcast.state_after_commit(job.pk, State.QUEUED)
            dispatch.send_after_commit(job)
        return State.QUEUED
    error = "The worker died."
    return State.FAILED if _end(held, job, state=State.FAILED, now=now, error=error, exit_code=1) else None


def _held_by_its_worker(job: Job) -> JobQuerySet:
    """The row, if the run that `job` was read from still holds it: the fence against a worker that came back late."""
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
    assert state in ENDED  # noqa: S101 -- a slip of the caller, not an input
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
        # The worker that ran it looks for itself what its host can run next, once the slot is free.
        for host in hosts - {job.host} if keeps_slot else hosts:
            dispatch.send_runnable_after_commit(host)
        row = Job.objects.get(pk=job.pk)
        alerting.job_has_ended(row, now=now)
        broadcast.count_end_after_commit(row)
        broadcast.end_after_commit(job.pk, last_seq=row.last_seq, end=end_of(row))
    return True


def _waiting_for(resources: Iterable[str]) -> Iterable[str]:
    waiting = Job.objects.queued().filter(locks__resource__in=list(resources))
    return waiting.order_by().values_list("host", flat=True).distinct()


def end_of(job: Job) -> dict[str, Any]:
    """What viewers are told when a job has ended."""
    return {"id": job.pk, "state": job.state, "exit_code": job.exit_code, "error": job.error}
