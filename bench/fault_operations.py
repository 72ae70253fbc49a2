"""Operations that detect when they run twice: each holds a file lock, which the kernel releases when it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from left4me.jobs.context import JobContext
from left4me.jobs.operations import Lock, RequestedJob, operation

EVIDENCE = Path(os.environ["BENCH_EVIDENCE"])
_CHILD = "import sys,time; print('child', flush=True); time.sleep(float(sys.argv[2]))"


def _locks(job: RequestedJob) -> Iterable[Lock]:
    yield Lock(job.resource, exclusive=True)
    if job.resource != "game":
        yield Lock("game", exclusive=False)


def note(what: str) -> None:
    with (EVIDENCE / "journal").open("a") as journal:
        journal.write(what + "\n")


@contextlib.contextmanager
def held(name: str, what: str, run: JobContext) -> Iterator[None]:
    """Hold a file's lock; note it when another run does."""
    with (EVIDENCE / name).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            note(f"{what} {run.job_id} attempt {run.attempt} in {os.getpid()}; held by {file.read()}")
        file.truncate(0)
        file.write(f"{run.job_id} attempt {run.attempt} in {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            # Said, not left to the closing: a child that another thread has just forked holds a copy until it execs.
            fcntl.flock(file, fcntl.LOCK_UN)


def _step(run: JobContext) -> None:
    with held(f"job-{run.job_id}", "twice", run), held(run.resource, "conflict", run):
        note(f"ran {run.job_id}")
        for number in range(5):
            run.log(f"step {number}")
            run.sleep(float(run.params["seconds"]) / 10)
        if run.params.get("child"):
            # `flock` fails at once when a child of an earlier attempt is still alive.
            lock = str(EVIDENCE / f"child-{run.job_id}")
            program = [sys.executable, "-c", _CHILD, os.environ["BENCH_MARK"], str(run.params["seconds"])]
            if run.command(["flock", "-n", "-E", "99", lock, *program], timeout=60, check=False).status == 99:
                note(f"twice {run.job_id} child")
        run.sleep(float(run.params["seconds"]) / 2)


operation("bench-step", title="Step", locks=_locks, idempotent=True)(_step)
operation("bench-once", title="Step once", locks=_locks)(_step)
