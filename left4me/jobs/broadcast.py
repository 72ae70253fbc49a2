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
    _change_after_commit(job, {"state": state})


def change_after_commit(job: Job) -> None:
    """Tell open pages that the job changed, and with it what is shown of its resource."""
    signals.send_after_commit(f"{signals.JOB}:{job.pk}", job.resource)


def end_after_commit(job: Job, *, end: dict[str, Any]) -> None:
    """Tell viewers and pages, and count the end for the metrics; like every counter of Prometheus it may restart."""
    _change_after_commit(
        job, {"after": job.last_seq, "end": end}, count=[(keys.ended_jobs(job.host), f"{job.state} {job.operation}")]
    )


def _change_after_commit(job: Job, message: dict[str, Any], *, count: Sequence[tuple[str, str]] = ()) -> None:
    first = signals.First(publish=[(keys.job_channel(job.pk), json.dumps(message))], count=count)
    signals.send_after_commit(f"{signals.JOB}:{job.pk}", job.resource, first=first)
