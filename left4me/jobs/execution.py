"""Running one claimed job to its end: what its body is given, and what becomes of what it does."""

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

from left4me.core import logbook
from left4me.core.processes import commands
from left4me.jobs import registry, transitions
from left4me.jobs.lines import Masker, clean
from left4me.jobs.log_writer import LogWriter
from left4me.jobs.models import Job
from left4me.jobs.states import State

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

log = logging.getLogger(__name__)

_TRIES_TO_SETTLE = 20
_PAUSE_BETWEEN_TRIES = 0.5
_LONGEST_ERROR = 10_000
# Programs that a job runs have no use for what opens the application's own doors.
_NOT_PASSED_ON = {
    "LEFT4ME_SECRET_KEY",
    "LEFT4ME_SEALING_KEY",
    "LEFT4ME_HOST_TOKEN",
    "DATABASE_URL",
    "REDIS_URL",
    "STEAM_WEB_API_KEY",
}


class Stop(enum.Enum):
    """Why a run is told to stop."""

    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease lost"


@dataclass(frozen=True)
class Ending:
    """What became of a run: the state in which it left its job, None when somebody else has settled that."""

    state: State | None
    error: str = ""


class ActiveRun:
    """A claimed job in this process. Its body sees it as `registry.Run`."""

    def __init__(self, job: Job, writer: LogWriter, *, lease_ends: float) -> None:
        self.job = job
        self.operation = registry.find(job.operation)
        # On the monotonic clock. Past it another worker may have taken the job over: the body must not go on, also
        # when the thread that renews leases is itself held up.
        self.lease_ends = lease_ends
        self.stopped_for: Stop | None = None
        self._told = threading.Event()
        self._mask = Masker(self.operation.secrets(job) if self.operation else ())
        self.voice = writer.open(job.pk, self._mask)
        self._writer = writer

    def tell_to_stop(self, why: Stop) -> None:
        """Flip the token. A lost lease outweighs whatever was said before."""
        if self.stopped_for is None or why is Stop.LEASE_LOST:
            self.stopped_for = why
        self._told.set()

    @property
    def may_run_again(self) -> bool:
        return self.operation is not None and self.operation.idempotent

    def hide(self, text: str) -> str:
        """`text` without the job's secrets, for the process's own log."""
        return self._mask(text)

    def close(self) -> None:
        self._writer.close(self.job.pk)

    # --- what the body sees ---

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
        self.voice.say(stream, str(line))

    def progress(self, *, phase: StrOrPromise, done: int, total: int | None = None, unit: StrOrPromise = "") -> None:
        # Phases are often translated late; the row and the wire hold plain text.
        self.voice.report({"phase": str(phase), "done": done, "total": total, "unit": str(unit)})

    def mask(self, *secrets: str) -> None:
        self._mask.add(secrets)

    def masked(self, text: str) -> str:
        return "\n".join(clean(line, self._mask) for line in text.splitlines())[:_LONGEST_ERROR]

    def cancelled(self) -> bool:
        return self._told.is_set() or time.monotonic() > self.lease_ends

    def check(self) -> None:
        if self.cancelled():
            raise registry.Cancelled

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := min(until, self.lease_ends) - time.monotonic()) > 0:
            self._told.wait(left)
            self.check()
        self.check()

    def command(
        self,
        argv: Sequence[str | Path],
        *,
        timeout: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        with_pty: bool = False,
        check: bool = True,
    ) -> commands.Finished:
        return commands.run(
            argv,
            timeout=timeout,
            cwd=cwd,
            env={k: v for k, v in os.environ.items() if k not in _NOT_PASSED_ON} if env is None else env,
            on_line=self.log,
            cancelled=self.cancelled,
            with_pty=with_pty,
            check=check,
        )


def execute(run: ActiveRun) -> Ending:
    """Run the body and settle the row. Whatever the body raises ends in the job's state and log."""
    job, began = run.job, time.monotonic()
    named = {"job": job.pk, "operation": job.operation, "resource": job.resource, "host": job.host}
    asked = {"request": job.request_id or None, "user": job.user_id}
    with logbook.bound(hide=run.hide, **named, **asked):
        log.info("Job %s starts: %s %s", *_words(job), extra={"fields": {"attempt": job.attempt}})
        state, exit_code, error = _outcome(run)
        ending = _settle_with_patience(run, state, exit_code, run.masked(error))
        became = ending.state.value if ending.state is not None else ending.error
        took = round((time.monotonic() - began) * 1000)
        fields = {"state": became, "exit_code": exit_code, "ms": took}
        log.info("Job %s ends: %s %s, %s after %d ms", *_words(job), became, took, extra={"fields": fields})
    return ending


def _words(job: Job) -> tuple[int, str, str]:
    return job.pk, job.operation, job.resource


def _settle_with_patience(run: ActiveRun, state: State, exit_code: int | None, error: str) -> Ending:
    """Settle the row, also when the database is away for some seconds."""
    for _ in range(_TRIES_TO_SETTLE):
        try:
            run.voice.flush()
            return _settle(run, state, exit_code, error)
        except DatabaseError:
            log.exception("Job %s has ended, and the database does not take it yet", run.job_id)
            time.sleep(_PAUSE_BETWEEN_TRIES)
    return Ending(None, "left to the sweep, once its lease has run out")


def _outcome(run: ActiveRun) -> tuple[State, int | None, str]:
    if run.operation is None:
        return State.FAILED, 1, f"This worker knows no operation “{run.job.operation}”. Is it older than the web?"
    try:
        run.operation.body(run)
    except registry.Cancelled:
        return State.CANCELLED, None, ""
    except registry.Failed as failure:
        return State.FAILED, failure.exit_code, str(failure)
    except commands.CommandFailed as failure:
        return State.FAILED, failure.status, str(failure)
    except commands.CommandError as failure:
        return State.FAILED, 1, str(failure)
    except Exception as error:
        log.exception("Job %s (%s %s) failed", run.job_id, run.job.operation, run.resource)
        return State.FAILED, 1, f"{type(error).__name__}: {error}"
    return State.SUCCEEDED, 0, ""


def _settle(run: ActiveRun, state: State, exit_code: int | None, error: str) -> Ending:
    now = timezone.now()
    if state is State.CANCELLED and run.stopped_for is not Stop.CANCEL:
        if run.may_run_again:
            why = "The worker stops" if run.stopped_for is Stop.SHUTDOWN else "The worker lost touch"
            if transitions.hand_back(run.job, why=f"{why}. This is queued again.", now=now):
                return Ending(State.QUEUED)
        # A cancel was on its way as well.
        if transitions.finish(run.job, state=State.CANCELLED, now=now):
            return Ending(State.CANCELLED)
        state, exit_code, error = State.FAILED, 1, "The worker was stopped before this was done."
    if not transitions.finish(run.job, state=state, now=now, exit_code=exit_code, error=error):
        log.warning("Job %s was settled by somebody else meanwhile", run.job_id)
        return Ending(None, "settled by somebody else")
    return Ending(state, error)
