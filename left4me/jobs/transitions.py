"""Every change of a job's state. Each is one conditional UPDATE, so of two concurrent changes one succeeds."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from left4me.core.statements import Given, Selection, Statement, delete, select, update
from left4me.jobs import broadcast, dispatch, failure_alerts, operations
from left4me.jobs.models import Job, JobLock, JobLog, JobQuerySet
from left4me.jobs.output import logs
from left4me.jobs.states import ACTIVE, ENDED, TRANSITIONS, State

_RUNS_BEFORE_GIVING_UP = 2


def claim(
    *, host: str, worker: str, limit: int, now: datetime, lease: timedelta, only: int | None = None
) -> list[Job]:
    """Claim up to `limit` jobs that can run now, oldest first; only the job `only` of these, if it is given.

    It is one statement, whatever the length of the queue.
    """
    given: dict[str, Any] = {} if only is None else {"only": only}
    claimed = _claim(limit, is_one=only is not None).rows(
        host=host, worker=worker, now=now, lease_expires_at=now + lease, **given
    )
    for job in claimed:
        broadcast.state_after_commit(job, State.RUNNING)
    return sorted(claimed, key=lambda job: job.pk)


@functools.cache
def _claim(limit: int, *, is_one: bool) -> Statement[Job]:
    oldest = Job.objects.claimable().filter(host=Given("host")).order_by("pk").values("pk")[:limit]
    # Another worker of this host may find the same jobs; the condition on the state decides who gets one.
    jobs = Job.objects.queued().filter(pk__in=oldest)
    return update(
        lambda: jobs.filter(pk=Given("only")) if is_one else jobs,
        state=State.RUNNING,
        worker=Given("worker"),
        lease_expires_at=Given("lease_expires_at"),
        started_at=Given("now"),
        attempt=F("attempt") + 1,
    )


def renew(*, worker: str, jobs: Iterable[int], now: datetime, lease: timedelta) -> None:
    """Extend the lease of those of `jobs` that `worker` holds."""
    Job.objects.active().filter(pk__in=jobs, worker=worker).update(lease_expires_at=now + lease)


def finish(
    job: Job,
    *,
    state: State,
    now: datetime,
    exit_code: int | None = None,
    error: str = "",
    lines: Sequence[logs.Line] = (),
    progress: dict[str, Any] | None = None,
) -> bool:
    """End a job, called by the worker that runs it; return False if the job no longer belongs to that run.

    `lines` and `progress` are what the run has not written yet: most jobs write less than they cost, and end with it.
    """
    lines = [*lines, *([logs.as_event(error, now=now)] if error else [])]
    given: dict[str, Any] = {} if progress is None else {"progress": progress}
    with transaction.atomic():
        ended = _finish(state, has_progress=progress is not None).rows(
            job=job.pk,
            worker=job.worker,
            attempt=job.attempt,
            now=now,
            exit_code=exit_code,
            error=error,
            lines=len(lines),
            **given,
        )
        for row in ended:
            stored = logs.store(row.pk, lines, last=row.last_seq) if lines else []
            # The worker sends its host's next jobs itself, after it has released the slot.
            _has_ended(row, now=now, lines=stored, progress=progress)
    return bool(ended)


@functools.cache
def _finish(state: State, *, has_progress: bool) -> Statement[Job]:
    assert state in ENDED  # noqa: S101 -- a programming error, not an input
    changes: dict[str, Any] = {"progress": Given("progress")} if has_progress else {}
    held = Job.objects.active().filter(pk=Given("job"), worker=Given("worker"), attempt=Given("attempt"))
    return update(
        lambda: held.filter(state__in=_sources(state)),
        state=state,
        finished_at=Given("now"),
        worker="",
        lease_expires_at=None,
        exit_code=Given("exit_code"),
        error=Given("error"),
        last_seq=F("last_seq") + Given("lines"),
        **changes,
    )


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
    return rows.filter(state__in=_sources(to)).update(state=to, **fields) > 0


def _sources(to: State) -> list[State]:
    return [old for old, new in TRANSITIONS if new == to]


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
        _has_ended(Job.objects.get(pk=job.pk), now=now)
        dispatch.send_runnable_after_commit(job.host)
    return True


def _has_ended(
    job: Job, *, now: datetime, lines: Sequence[JobLog] = (), progress: dict[str, Any] | None = None
) -> None:
    """Free what the job held, in the transaction that ends it, and tell all who wait for that or look at the job."""
    for (host,) in _hosts_that_wait.rows(job=job.pk, host=job.host):
        dispatch.send_runnable_after_commit(host)
    _free.run(job=job.pk)
    failure_alerts.job_has_ended(job, now=now)
    broadcast.end_after_commit(job, end=end_of(job), lines=lines, progress=progress)


_locks = JobLock.objects.filter(job_id=Given("job"))
_free = delete(lambda: _locks)
# Other hosts: those of resources with a number, as the others belong to the host of the job.
_hosts_that_wait: Selection[tuple[str]] = select(
    lambda: (
        Job.objects.queued()
        .filter(locks__resource__in=_locks.filter(resource__contains=":").values("resource"))
        .exclude(host=Given("host"))
        .order_by()
        .values_list("host")
        .distinct()
    )
)


def end_of(job: Job) -> dict[str, Any]:
    """The data of the `end` event."""
    return {"id": job.pk, "state": job.state, "exit_code": job.exit_code, "error": job.error}
