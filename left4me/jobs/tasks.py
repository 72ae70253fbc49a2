"""The Celery tasks of the job engine: one per operation, and the periodic sweep and pruning."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from celery import Task, bootsteps, shared_task
from celery.exceptions import Ignore, Retry
from celery.worker.consumer import Consumer
from django.conf import settings
from django.utils import timezone

from left4me.core import schema
from left4me.core.processes import process_guard
from left4me.jobs import dispatch, operations, sweep
from left4me.jobs.states import State
from left4me.jobs.worker import JobWorker, NotNow, NotToRun

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_TRIES = 2


class JobFailed(Exception):
    """The job has failed and its row is settled. Raised so that its Celery task fails too."""


class QueuedAgain(Exception):
    """The worker stops or lost its lease: the job is queued again."""


class JobTask(Task):  # type: ignore[type-arg]
    """The Celery task of one operation. Its argument is the id of a job of this operation.

    The row of the job is settled before the task ends; the state of the task only serves Celery's monitoring tools.
    A job that succeeded is SUCCESS, one that failed FAILURE, a cancelled one REVOKED, and one that stays queued RETRY.
    """

    ignore_result = True
    # A job that failed has said why in its own log: Celery logs one line, without a traceback.
    throws = (JobFailed,)

    def __init__(self, name: str, worker: JobWorker, celery_worker: Any) -> None:
        self.name = name
        self._worker = worker
        self._celery_worker = celery_worker

    def run(self, job_id: int) -> str:
        try:
            ending = self._worker.run(job_id)
        except NotNow as reason:
            # The worker sends the task again when the job can run; no message waits in Celery.
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

    def hold(self, request: Any, start: Callable[[], None]) -> bool:
        """Hold a received message until a job slot is free; return False if it is to start now."""
        match request.args:
            case [int(job_id)] if self._worker.receive(job_id):
                # As if it ran: a worker receives nothing more while it has some messages that it did not acknowledge.
                request.acknowledge()
                return self._worker.hold(job_id, start)
        return False

    def _announce_revoked(self) -> None:
        """Send the event that Celery sends for a revoked task; Ignore alone sends none."""
        events = self._celery_worker.consumer.event_dispatcher
        if events is not None and events.enabled:
            events.send("task-revoked", uuid=self.request.id, terminated=False, signum=None, expired=False)


class JobsStep(bootsteps.StartStopStep):
    """Starts and stops the JobWorker with the Celery worker; after its pool, so that it stops before the pool."""

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


class PromptConsumer(Consumer):
    """A consumer that holds the messages of jobs until there is a slot, and is soon back after an outage.

    It tries to reach Redis every two seconds; Celery's own waits up to 30 after a longer outage.
    """

    def __init__(self, on_task_request: Callable[[Any], None], *args: Any, **options: Any) -> None:
        def start_or_hold(request: Any) -> None:
            start = functools.partial(on_task_request, request)
            if not (isinstance(request.task, JobTask) and request.task.hold(request, start)):
                start()

        super().__init__(start_or_hold, *args, **options)

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = functools.partial(conn.ensure_connection, interval_max=_SECONDS_BETWEEN_TRIES)
        return super().ensure_connected(conn)


def _register(celery_worker: Any, worker: JobWorker) -> None:
    """Register a task per operation, before the worker's consumer reads which tasks there are."""
    for name in (*map(dispatch.task_name, operations.names()), dispatch.UNKNOWN_TASK):
        celery_worker.app.register_task(JobTask(name, worker, celery_worker))


@shared_task(name="left4me.jobs.sweep", ignore_result=True)
def sweep_jobs() -> None:
    sweep.settle_abandoned(host=settings.LEFT4ME_HOST, now=timezone.now())


@shared_task(name="left4me.jobs.prune", ignore_result=True)
def prune_jobs() -> None:
    lines, jobs = sweep.prune(
        now=timezone.now(), log_days=settings.LEFT4ME_JOB_LOG_DAYS, job_days=settings.LEFT4ME_JOB_DAYS
    )
    log.info("Deleted %s old log lines and %s rows of old jobs", lines, jobs)
