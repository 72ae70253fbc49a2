"""Operations that only tests know, shaped like those of servers and the game."""

from __future__ import annotations

import time
from collections.abc import Iterable

from left4me.core.concurrency import Cancelled
from left4me.jobs.context import JobContext
from left4me.jobs.operations import ALL, Failed, Lock, RequestedJob, operation


def _server_locks(job: RequestedJob) -> Iterable[Lock]:
    return [Lock(job.resource, exclusive=True), Lock("game", exclusive=False)]


def _own_lock(job: RequestedJob) -> Iterable[Lock]:
    return [Lock(job.resource, exclusive=True)]


def _secrets(job: RequestedJob) -> Iterable[str]:
    return ["s3cret-word"]


@operation("test-start", title="Start", locks=_server_locks, idempotent=True, secrets=_secrets)
def start(run: JobContext) -> None:
    run.log("starting with s3cret-word")


@operation("test-stop", title="Stop", locks=_server_locks, supersedes=("test-start",), idempotent=True)
def stop(run: JobContext) -> None:
    run.log("stopping")


@operation("test-kill", title="Kill", locks=_own_lock, supersedes=(ALL,))
def kill(run: JobContext) -> None:
    run.log("killing")


@operation("test-install", title="Install", locks=_own_lock, coalesces_active=True)
def install(run: JobContext) -> None:
    run.log("installing")


@operation("test-delete", title="Delete", locks=_own_lock, cancellable=False, final=True)
def delete(run: JobContext) -> None:
    run.log("deleting")


@operation("test-break", title="Break", locks=_own_lock, secrets=_secrets)
def break_down(run: JobContext) -> None:
    how = run.params.get("how")
    if how == "failed":
        raise Failed("no room for s3cret-word", exit_code=28)
    if how == "command":
        run.command(["sh", "-c", "echo last words >&2; exit 7"], timeout=10)
    if how == "missing":
        run.command(["no-such-program-here"], timeout=10)
    if how == "cancelled":
        raise Cancelled
    raise ZeroDivisionError("by s3cret-word")


def _run_child(run: JobContext) -> None:
    run.command(["sh", "-c", "sleep 600 & echo pid $!; wait"], timeout=600)


operation("test-child", title="Child", locks=_own_lock, idempotent=True)(_run_child)
operation("test-child-once", title="Child once", locks=_own_lock)(_run_child)


@operation("test-deaf", title="Deaf", locks=_own_lock, idempotent=True)
def ignore_the_stop(run: JobContext) -> None:
    run.log(f"attempt {run.attempt}")
    if run.attempt == 1:
        time.sleep(600)
