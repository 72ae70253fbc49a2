"""The job runner as a part of `celery worker`: starts with it, and is stopped with it in good order."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from django.conf import settings

from left4me.core import schema
from left4me.core.processes import process_guard
from left4me.jobs.runner import Runner


class _Current:
    runner: Runner | None = None


def nudge() -> None:
    """Let this process's runner look for jobs; nothing happens where there is none."""
    if _Current.runner is not None:
        _Current.runner.nudge()


class RunnerStep(bootsteps.StartStopStep):
    """Started last, so stopped first: while jobs come to their safe point, periodic tasks still run."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        guard = process_guard.guard_this_process()
        self.runner = Runner(
            host=settings.LEFT4ME_HOST, slots=settings.LEFT4ME_JOB_SLOTS, guard=guard, refusal=schema.mismatch
        )

    def start(self, parent: Any) -> None:
        self.runner.start()
        _Current.runner = self.runner

    def stop(self, parent: Any) -> None:
        _Current.runner = None
        self.runner.stop(within=settings.LEFT4ME_SHUTDOWN_SECONDS)

    def terminate(self, parent: Any) -> None:
        _Current.runner = None
        self.runner.stop(within=0)
