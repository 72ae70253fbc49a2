"""Appends lines to the logs of jobs. Lines get their numbers only here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F

from left4me.core import rows
from left4me.core.lines import clean
from left4me.core.statements import Given, update
from left4me.jobs import broadcast
from left4me.jobs.models import Job, JobLog

Line = tuple[str, str, datetime]  # stream, text, when
_FIELDS = ("job", "seq", "stream", "line", "created_at")


def append(job_id: int, lines: Sequence[Line]) -> list[JobLog]:
    """Number and store `lines`, which must be clean, and publish them after the commit.

    Several processes write to one job (its worker, and the web when it is cancelled). The UPDATE locks the row until
    the commit, so numbers have no gaps and become visible in order.
    """
    if not lines:
        return []
    with transaction.atomic():
        for (last,) in _count.rows(job=job_id, lines=len(lines)):
            stored = store(job_id, lines, last=last)
            broadcast.lines_after_commit(job_id, stored)
            return stored
    return []


_count = update(
    lambda: Job.objects.filter(pk=Given("job")), last_seq=F("last_seq") + Given("lines"), returning=["last_seq"]
)


def store(job_id: int, lines: Sequence[Line], *, last: int) -> list[JobLog]:
    """Store `lines`, for which the caller has raised the job's `last_seq` to `last` in this transaction."""
    numbered = list(enumerate(lines, last - len(lines) + 1))
    rows.insert(JobLog, _FIELDS, [(job_id, seq, stream, text, at) for seq, (stream, text, at) in numbered])
    return [
        JobLog(job_id=job_id, seq=seq, stream=stream, line=text, created_at=at) for seq, (stream, text, at) in numbered
    ]


def event(job_id: int, text: str, *, now: datetime) -> None:
    """Append an event of the job: who requested or stopped it, how it ended."""
    append(job_id, [as_event(text, now=now)])


def as_event(text: str, *, now: datetime) -> Line:
    return JobLog.Stream.EVENT.value, clean(text), now


def first_event(job: Job, text: str, *, now: datetime) -> None:
    """Write the first event of a job that was just created with `last_seq=1` and has no viewers yet."""
    store(job.pk, [as_event(text, now=now)], last=1)
