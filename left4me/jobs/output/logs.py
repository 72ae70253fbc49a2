"""Appends lines to the logs of jobs. Lines get their numbers only here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F

from left4me.core.lines import clean
from left4me.jobs import broadcast
from left4me.jobs.models import Job, JobLog

Line = tuple[str, str, datetime]  # stream, text, when


def append(job_id: int, lines: Sequence[Line]) -> list[JobLog]:
    """Number and store `lines`, which must be clean, and publish them after the commit.

    Several processes write to one job (its worker, and the web when it is cancelled). The UPDATE locks the row until
    the commit, so numbers have no gaps and become visible in order.
    """
    if not lines:
        return []
    with transaction.atomic():
        if not Job.objects.filter(pk=job_id).update(last_seq=F("last_seq") + len(lines)):
            return []
        last: int = Job.objects.values_list("last_seq", flat=True).get(pk=job_id)
        first = last - len(lines) + 1
        rows = [
            JobLog(job_id=job_id, seq=seq, stream=stream, line=text, created_at=at)
            for seq, (stream, text, at) in enumerate(lines, first)
        ]
        JobLog.objects.bulk_create(rows)
        broadcast.lines_after_commit(job_id, rows)
    return rows


def event(job_id: int, text: str, *, now: datetime) -> None:
    """Append an event of the job: who requested or stopped it, how it ended."""
    append(job_id, [(JobLog.Stream.EVENT, clean(text), now)])


def first_event(job: Job, text: str, *, now: datetime) -> None:
    """Write the first event of a job that was just created with `last_seq=1` and has no viewers yet."""
    JobLog.objects.create(job=job, seq=1, stream=JobLog.Stream.EVENT, line=clean(text), created_at=now)
