"""Runs one claimed job: calls the body of its operation and writes the outcome to the row."""

from __future__ import annotations

import enum
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from django.db import DatabaseError
from django.utils import timezone

from left4me.core import logbook, outages
from left4me.core.concurrency import Cancelled
from left4me.core.lines import Masker, clean
from left4me.core.processes import commands
from left4me.jobs import operations, transitions
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from left4me.jobs.output import logs
from left4me.jobs.output.log_writer import LogWriter
from left4me.jobs.states import State

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

log = logging.getLogger(__name__)

_TRIES_TO_SETTLE = 20
_PAUSE_BETWEEN_TRIES = 0.5
_LONGEST_ERROR = 10_000
_NO_REASON = "It failed without a reason. The log above and the log of the worker may show it."
# The application's own secrets: programs that a job runs do not get them.
_NOT_PASSED_ON = {
    "LEFT4ME_SECRET_KEY",
    "LEFT4ME_OLD_SECRET_KEY",
    "LEFT4ME_SEALING_KEY",
    "LEFT4ME_HOST_TOKEN",
    "DATABASE_URL",
    "REDIS_URL",
    "STEAM_WEB_API_KEY",
}


class Stop(enum.Enum):
    """Why a run shall stop."""

    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease lost"


@dataclass(frozen=True)
class Ending:
    """How a run ended: the state that it wrote to the job, None if another process has settled the job."""

    state: State | None
    error: str = ""


class ActiveRun:
    """A claimed job that runs in this process; the JobContext of its body."""

    def __init__(self, job: Job, writer: LogWriter, *, lease_ends: float) -> None:
        self.job = job
        self.operation = operations.find(job.operation)
        # On the monotonic clock. Later another worker may have taken the job over, so the body must not continue,
        # even if the thread that renews leases is blocked.
        self.lease_ends = lease_ends
        self.stopped_for: Stop | None = None
        self._stop_requested = threading.Event()
        self._mask = Masker(self.operation.secrets(job) if self.operation else ())
        self.output = writer.open(job.pk, self._mask)
        self._writer = writer

    def request_stop(self, why: Stop) -> None:
        """Make `cancelled` return true. A lost lease overrides an earlier reason."""
        if self.stopped_for is None or why is Stop.LEASE_LOST:
            self.stopped_for = why
        self._stop_requested.set()

    @property
    def may_run_again(self) -> bool:
        return self.operation is not None and self.operation.idempotent

    def hide(self, text: str) -> str:
        """Return `text` with the job's secrets masked, for the log of the process."""
        return self._mask(text)

    def close(self) -> None:
        self._writer.close(self.job.pk)

    # --- JobContext ---

    @property
    def job_id(self) -> int:
        return self.job.pk

    @property
    def resource(self) -> str:
        return self.job.resource

    @property
    def host(self) -> str:
        return self.job.host

    @property
    def params(self) -> Mapping[str, Any]:
        params: dict[str, Any] = self.job.params
        return params

    @property
    def attempt(self) -> int:
        return self.job.attempt

    @property
    def resource_id(self) -> int:
        return int(self.job.resource.partition(":")[2])

    def log(self, line: str, stream: Literal["stdout", "stderr", "event"] = "stdout") -> None:
        self.output.write(stream, str(line))

    def progress(self, *, phase: StrOrPromise, done: int, total: int | None = None, unit: StrOrPromise = "") -> None:
        # Phases are often lazy translations; the row and the stream hold plain text.
        self.output.set_progress({"phase": str(phase), "done": done, "total": total, "unit": str(unit)})

    def mask(self, *secrets: str) -> None:
        self._mask.add(secrets)

    def masked(self, text: str) -> str:
        return "\n".join(clean(line, self._mask) for line in text.splitlines())[:_LONGEST_ERROR]

    def cancelled(self) -> bool:
        return self._stop_requested.is_set() or time.monotonic() > self.lease_ends

    def check(self) -> None:
        if self.cancelled():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := min(until, self.lease_ends) - time.monotonic()) > 0:
            self._stop_requested.wait(left)
            self.check()
        self.check()

    def command(self, argv: Sequence[str | Path], *, timeout: float, check: bool = True) -> commands.Finished:
        return commands.run(
            argv,
            timeout=timeout,
            env={name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON},
            on_line=self.log,
            cancelled=self.cancelled,
            check=check,
        )


def execute(run: ActiveRun) -> Ending:
    """Run the body and settle the row. Every exception of the body ends up in the job's state and log."""
    job, started_at = run.job, time.monotonic()
    job_fields = {"job": job.pk, "operation": job.operation, "resource": job.resource, "host": job.host}
    request_fields = {"request": job.request_id or None, "user": job.user_id}
    with logbook.bound(hide=run.hide, **job_fields, **request_fields):
        log.info("Job %s started: %s %s", *_summary(job), extra={"fields": {"attempt": job.attempt}})
        state, exit_code, error = _run_body(run)
        ending = _settle_with_retries(run, state, exit_code, run.masked(error))
        result = ending.state.value if ending.state is not None else ending.error
        milliseconds = round((time.monotonic() - started_at) * 1000)
        fields = {"state": result, "exit_code": exit_code, "ms": milliseconds}
        log.info(
            "Job %s finished: %s %s, %s after %d ms", *_summary(job), result, milliseconds, extra={"fields": fields}
        )
    return ending


def _summary(job: Job) -> tuple[int, str, str]:
    return job.pk, job.operation, job.resource


def _settle_with_retries(run: ActiveRun, state: State, exit_code: int | None, error: str) -> Ending:
    """Settle the row, also if the database is unavailable for some seconds."""
    for _ in range(_TRIES_TO_SETTLE):
        try:
            return _settle(run, state, exit_code, error)
        except DatabaseError:
            log.exception("Could not store the result of job %s yet", run.job_id)
            time.sleep(_PAUSE_BETWEEN_TRIES)
    return Ending(None, "left to the sweep, after its lease expires")


def _run_body(run: ActiveRun) -> tuple[State, int | None, str]:
    # The worker's code may be older than that of the web which queued the job.
    if run.operation is None:
        return (
            State.FAILED,
            1,
            f"The worker does not know “{run.job.operation}”. Upgrade left4me on its host, then retry the job.",
        )
    try:
        run.operation.body(run)
    # Whether it was a cancel, a shutdown or a lost lease is decided in `_settle`.
    except Cancelled:
        return State.CANCELLED, None, ""
    # The body itself explains the failure to the operator.
    except Failed as failure:
        return State.FAILED, failure.exit_code, str(failure) or _NO_REASON
    # A program that the body did not handle: its exit status is the most useful exit code.
    except commands.CommandFailed as failure:
        return State.FAILED, failure.status, str(failure) or _NO_REASON
    # A program that could not be started or exceeded its timeout has no exit status.
    except commands.CommandError as failure:
        return State.FAILED, 1, str(failure)
    # A defect of the body: the operator sees the exception, the log of the process has the traceback.
    except Exception as error:
        log.exception("Job %s (%s %s) failed", run.job_id, run.job.operation, run.resource)
        return State.FAILED, 1, outages.described(error)
    return State.SUCCEEDED, 0, ""


def _settle(run: ActiveRun, state: State, exit_code: int | None, error: str) -> Ending:
    now = timezone.now()

    def finish(lines: Sequence[logs.Line] = (), progress: dict[str, Any] | None = None) -> bool:
        return transitions.finish(
            run.job, state=state, now=now, exit_code=exit_code, error=error, lines=lines, progress=progress
        )

    # The body stopped because of a shutdown or a lost lease, which no user asked for.
    if state is State.CANCELLED and run.stopped_for is not Stop.CANCEL:
        run.output.flush()
        # An idempotent job starts again on another worker, or on this one after its restart.
        if run.may_run_again:
            why = (
                "The worker is shutting down" if run.stopped_for is Stop.SHUTDOWN else "The worker lost its connection"
            )
            if transitions.hand_back(run.job, why=f"{why}. The job is queued again.", now=now):
                return Ending(State.QUEUED)
        # Succeeds only if the row is CANCELLING: a cancel arrived as well, and is granted.
        if finish():
            return Ending(State.CANCELLED)
        # Any other job may be half done and must not run twice, so it fails.
        state, exit_code, error = State.FAILED, 1, "The worker was stopped before the job finished. Retry the job."
    # The fence: the row was taken over after this worker lost its lease, and its new owner settles it.
    if not run.output.write_last(finish):
        run.output.flush()
        log.warning("Job %s was settled by another process", run.job_id)
        return Ending(None, "settled by another process")
    return Ending(state, error)
