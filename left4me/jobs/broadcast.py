"""Messages about jobs over Redis pub/sub: cancels for workers; lines, progress, states and ends for viewers.

Delivery is best effort: workers also read cancels from the rows, and viewers fetch missing lines from the database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from left4me.core.redis import keys, pubsub
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


def state_after_commit(job_id: int, state: str) -> None:
    transaction.on_commit(lambda: pubsub.publish(keys.job_channel(job_id), json.dumps({"state": state})), robust=True)


def count_end_after_commit(job: Job) -> None:
    """Count the end for the metrics. Like every counter of Prometheus it may restart from zero, with Redis."""
    host, kind = job.host, f"{job.state} {job.operation}"
    transaction.on_commit(lambda: pubsub.count(keys.ended_jobs(host), kind), robust=True)


def end_after_commit(job_id: int, *, last_seq: int, end: dict[str, Any]) -> None:
    message = json.dumps({"after": last_seq, "end": end})
    transaction.on_commit(lambda: pubsub.publish(keys.job_channel(job_id), message), robust=True)
