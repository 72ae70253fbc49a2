"""The Celery tasks of the job engine: one per operation, the sweep, the daily clearing out."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, bootsteps, shared_task
from celery.exceptions import Ignore, Retry
from django.conf import settings
from django.utils import timezone

from left4me.core import schema
from left4me.core.processes import process_guard
from left4me.jobs import dispatch, registry, sweeping
from left4me.jobs.states import State
from left4me.jobs.worker import JobWorker, NotNow, NotToRun

log = logging.getLogger(__name__)


class JobFailed(Exception):
    """The job has failed, its row is settled and its log says why; Celery's task fails with it."""


class QueuedAgain(Exception):
    """The worker stops, or lost touch with the database: the job is queued again."""


class JobTask(Task):  # type: ignore[type-arg]
    """The Celery task of one operation. Its argument is the id of a job of this operation.

    The row of the job is settled before the task ends, so how the task ends is for those who watch Celery: a job that
    succeeded is SUCCESS, one that failed FAILURE, one that was cancelled REVOKED; one that goes on waiting is RETRY.
    """

    ignore_result = True

    def __init__(self, name: str, worker: JobWorker, celery_worker: Any) -> None:
        self.name = name
        self._worker = worker
        self._celery_worker = celery_worker

    def run(self, job_id: int) -> str:
        try:
            ending = self._worker.run(job_id)
        except NotNow as reason:
            # Its worker sends the task again when the job can run; nothing waits in Celery.
            raise Retry(f"job {job_id} waits: {reason}", exc=reason) from None
        except NotToRun as reason:
            self._announce_revoked()
            raise Ignore(f"job {job_id} is not to run: {reason}") from None
        if ending.state is State.FAILED:
            raise JobFailed(ending.error)
        if ending.state is State.QUEUED:
            raise Retry(f"job {job_id} is queued again", exc=QueuedAgain(f"job {job_id}"))
        if ending.state is not State.SUCCEEDED:
            self._announce_revoked()
            raise Ignore(f"job {job_id} was cancelled, or taken over by another worker")
        return ending.state.value

    def _announce_revoked(self) -> None:
        """Send the event with which Celery itself announces a revoked task: Ignore alone sends none."""
        events = self._celery_worker.consumer.event_dispatcher
        if events is not None and events.enabled:
            events.send("task-revoked", uuid=self.request.id, terminated=False, signum=None, expired=False)


class JobsStep(bootsteps.StartStopStep):
    """Starts and stops the JobWorker with the Celery worker: after its pool, so that it stops before the pool."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        guard = process_guard.guard_this_process()
        self.worker = JobWorker(
            host=settings.LEFT4ME_HOST, slots=settings.LEFT4ME_JOB_SLOTS, guard=guard, refusal=schema.mismatch
        )
        _register(parent, self.worker)

    def start(self, parent: Any) -> None:
        self.worker.start()

    def stop(self, parent: Any) -> None:
        self.worker.stop(within=settings.LEFT4ME_SHUTDOWN_SECONDS)

    def terminate(self, parent: Any) -> None:
        self.worker.stop(within=0)


def _register(celery_worker: Any, worker: JobWorker) -> None:
    """Give the application a task for each operation, before the worker's consumer asks which tasks there are."""
    for name in (*map(dispatch.task_name, registry.names()), dispatch.UNKNOWN_TASK):
        celery_worker.app.register_task(JobTask(name, worker, celery_worker))


@shared_task(name="left4me.jobs.sweep", ignore_result=True)
def sweep() -> None:
    sweeping.sweep(host=settings.LEFT4ME_HOST, now=timezone.now())


@shared_task(name="left4me.jobs.prune", ignore_result=True)
def prune() -> None:
    lines, jobs = sweeping.prune(
        now=timezone.now(), log_days=settings.LEFT4ME_JOB_LOG_DAYS, job_days=settings.LEFT4ME_JOB_DAYS
    )
    log.info("Cleared out %s old log lines and %s rows of old jobs", lines, jobs)
