"""Messages about jobs over Redis pub/sub: cancels for workers; lines, progress, states and ends for viewers.

Delivery is best effort: workers also read cancels from the rows, and viewers fetch missing lines from the database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from left4me.core.redis import keys, pubsub, signals
from left4me.jobs.models import Job, JobLog


def cancel_after_commit(job: Job) -> None:
    host, job_id = job.host, job.pk
    transaction.on_commit(lambda: pubsub.publish(keys.cancel_channel(host), str(job_id)), robust=True)


def lines_after_commit(job_id: int, rows: Sequence[JobLog]) -> None:
    message = lines_message(rows)
    transaction.on_commit(lambda: pubsub.publish(keys.job_channel(job_id), message), robust=True)


def lines_message(rows: Sequence[JobLog]) -> str:
    """The message for consecutive `rows`. `after` lets a viewer detect that it missed lines."""
    return json.dumps({"after": rows[0].seq - 1, "lines": [row.as_json() for row in rows]}, ensure_ascii=False)


def progress(job_id: int, progress: dict[str, Any], *, is_stored: bool = False) -> None:
    """Publish the progress of a job; once it is stored, tell open pages too."""
    message = json.dumps({"progress": progress})
    if is_stored:
        signals.send(
            [f"{signals.PROGRESS}:{job_id}"], first=signals.First(publish=[(keys.job_channel(job_id), message)])
        )
    else:
        pubsub.publish(keys.job_channel(job_id), message)


def state_after_commit(job: Job, state: str) -> None:
    _change_after_commit(job, [json.dumps({"state": state})])


def change_after_commit(job: Job) -> None:
    """Tell open pages that the job changed, and with it what is shown of its resource."""
    signals.send_after_commit(f"{signals.JOB}:{job.pk}", job.resource)


def end_after_commit(
    job: Job, *, end: dict[str, Any], lines: Sequence[JobLog] = (), progress: dict[str, Any] | None = None
) -> None:
    """Tell viewers and pages of the end, and of the last lines and progress, if they were stored with it.

    The end is counted for the metrics; like every counter of Prometheus it may restart.
    """
    messages = [lines_message(lines)] if lines else []
    names = []
    if progress is not None:
        messages.append(json.dumps({"progress": progress}))
        names.append(f"{signals.PROGRESS}:{job.pk}")
    messages.append(json.dumps({"after": job.last_seq, "end": end}))
    _change_after_commit(job, messages, *names, count=[(keys.ended_jobs(job.host), f"{job.state} {job.operation}")])


def _change_after_commit(
    job: Job, messages: Sequence[str], *names: str, count: Sequence[tuple[str, str]] = ()
) -> None:
    channel = keys.job_channel(job.pk)
    first = signals.First(publish=[(channel, message) for message in messages], count=count)
    signals.send_after_commit(f"{signals.JOB}:{job.pk}", job.resource, *names, first=first)
