"""Messages about jobs over Redis pub/sub: cancels to workers; lines, progress, states and ends to viewers.

Delivery is best effort: workers read cancels from the rows too, and viewers fetch missing lines from the database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from left4me.core.redis import pubsub
from left4me.jobs.models import Job, JobLog


def channel(job_id: int) -> str:
    """Where a job's lines, progress and end are told."""
    return f"left4me:job:{job_id}"


def cancel_channel(host: str) -> str:
    """Where the workers of a host hear which of their jobs to stop."""
    return f"left4me:cancel:{host}"


def cancel_after_commit(job: Job) -> None:
    host, job_id = job.host, job.pk
    transaction.on_commit(lambda: pubsub.publish(cancel_channel(host), str(job_id)), robust=True)


def lines_after_commit(job_id: int, rows: Sequence[JobLog]) -> None:
    message = lines_message(rows)
    transaction.on_commit(lambda: pubsub.publish(channel(job_id), message), robust=True)


def lines_message(rows: Sequence[JobLog]) -> str:
    return json.dumps({"after": rows[0].seq - 1, "lines": [row.as_json() for row in rows]}, ensure_ascii=False)


def progress(job_id: int, progress: dict[str, Any]) -> None:
    pubsub.publish(channel(job_id), json.dumps({"progress": progress}))


def state_after_commit(job_id: int, state: str) -> None:
    transaction.on_commit(lambda: pubsub.publish(channel(job_id), json.dumps({"state": state})), robust=True)


def ended_key(host: str) -> str:
    """Where the ended jobs of a host are counted, by "state operation". Redis may forget it, as counters may."""
    return f"left4me:jobs-ended:{host}"


def count_end_after_commit(job: Job) -> None:
    host, kind = job.host, f"{job.state} {job.operation}"
    transaction.on_commit(lambda: pubsub.count(ended_key(host), kind), robust=True)


def end_after_commit(job_id: int, *, last_seq: int, end: dict[str, Any]) -> None:
    message = json.dumps({"after": last_seq, "end": end})
    transaction.on_commit(lambda: pubsub.publish(channel(job_id), message), robust=True)
