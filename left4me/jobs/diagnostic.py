"""The engine's diagnostic operation: tests jobs, logs, progress, cancels and child processes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _

from left4me.jobs.context import JobContext
from left4me.jobs.operations import Failed, Lock, RequestedJob, operation

_LONGEST_CHILD_SECONDS = 3600


def _locks(job: RequestedJob) -> Iterable[Lock]:
    yield Lock(job.resource, exclusive=True)


@operation("diagnostic", title=_("Worker test"), locks=_locks, idempotent=True)
def diagnostic(run: JobContext) -> None:
    """Print `lines`, one every `interval` seconds; `sleep`; run a `child` program for so long; `fail` with a text."""
    lines = int(run.params.get("lines", 3))
    interval = float(run.params.get("interval", 0))
    for number in range(1, lines + 1):
        run.check()
        run.log(f"line {number} of {lines}")
        run.progress(phase="lines", done=number, total=lines, unit="lines")
        if interval:
            run.sleep(interval)
    if seconds := float(run.params.get("sleep", 0)):
        run.log(f"sleeping {seconds:g} s", stream="event")
        run.sleep(seconds)
    if seconds := float(run.params.get("child", 0)):
        script = f"import time; print('child runs', flush=True); time.sleep({seconds!r}); print('child ends')"
        run.command([sys.executable, "-c", script], timeout=_LONGEST_CHILD_SECONDS)
    if text := str(run.params.get("fail", "")):
        raise Failed(text)
