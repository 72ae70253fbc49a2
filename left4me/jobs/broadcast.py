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


def progress(job_id: int, progress: dict[str, Any]) -> None:
    pubsub.publish(keys.job_channel(job_id), json.dumps({"progress": progress}))


def stored_progress(job_id: int) -> None:
    signals.send([f"{signals.PROGRESS}:{job_id}"])


def state_after_commit(job: Job, state: str) -> None:
    message = json.dumps({"state": state})
    transaction.on_commit(lambda: pubsub.publish(keys.job_channel(job.pk), message), robust=True)
    change_after_commit(job)


def change_after_commit(job: Job) -> None:
    """Tell open pages that the job changed, and with it what is shown of its resource."""
    signals.send_after_commit(f"{signals.JOB}:{job.pk}", job.resource)


def count_end_after_commit(job: Job) -> None:
    """Count the end for the metrics. Like every counter of Prometheus it may restart from zero, with Redis."""
    host, kind = job.host, f"{job.state} {job.operation}"
    transaction.on_commit(lambda: pubsub.count(keys.ended_jobs(host), kind), robust=True)


def end_after_commit(job: Job, *, end: dict[str, Any]) -> None:
    message = json.dumps({"after": job.last_seq, "end": end})
    transaction.on_commit(lambda: pubsub.publish(keys.job_channel(job.pk), message), robust=True)
    change_after_commit(job)
