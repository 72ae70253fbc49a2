"""Sends the Celery tasks of jobs to the queues of their hosts.

A message asks a worker to claim the job now and says nothing more: it may be late, doubled or lost. The rows are the
truth, and every worker sends again, every few seconds, the tasks of jobs that could run on its host.
"""

from __future__ import annotations

from collections.abc import Collection

from celery import current_app
from celery.exceptions import CeleryError
from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

from left4me.jobs import registry
from left4me.jobs.models import Job
from left4me.lib import bus

# Redis gives out messages of a smaller number first. Periodic tasks have 0 too, which is the default. A job that was
# just asked for stands behind them, however many there are, and behind those whose turn a worker knows to have come:
# else a slot would stay free until all younger jobs' messages are through.
_BEFORE_ALL_OTHERS = 0
_AFTER_PERIODIC_TASKS = 6

# Every worker knows this task. It fails a job whose operation the worker's code does not have.
UNKNOWN_TASK = "jobs.unknown"


def task_name(operation: str) -> str:
    """The name of the Celery task that runs jobs of this operation."""
    return f"jobs.{operation}"


def send_after_commit(job: Job) -> None:
    host, job_id, operation = job.host, job.pk, job.operation
    transaction.on_commit(lambda: send(host, job_id, operation), robust=True)


def send_runnable_after_commit(host: str) -> None:
    """Send, after the commit, the tasks of the oldest jobs that could then run on `host`."""
    transaction.on_commit(lambda: send_runnable(host, most=settings.LEFT4ME_JOB_SLOTS), robust=True)


def send_runnable(host: str, *, most: int, but: Collection[int] = ()) -> list[int]:
    """Send the tasks of the `most` oldest jobs that no lock holds up on `host`, but not `but`; return what was sent."""
    if most <= 0 or _is_out_of_reach(host):
        return []
    runnable = Job.objects.claimable().on_host(host).order_by("pk").values_list("pk", "operation")[:most]
    return [
        job_id
        for job_id, operation in runnable
        if job_id not in but and send(host, job_id, operation, priority=_BEFORE_ALL_OTHERS)
    ]


def send(host: str, job_id: int, operation: str, *, priority: int = _AFTER_PERIODIC_TASKS) -> bool:
    """Send the job's task; False when the broker is away. The host's worker then sends it itself, once it is back."""
    if _is_out_of_reach(host):
        return False
    name = task_name(operation) if registry.find(operation) is not None else UNKNOWN_TASK
    try:
        current_app.send_task(
            name, args=(job_id,), queue=f"host.{host}", priority=priority, ignore_result=True, retry=False
        )
    except (CeleryError, KombuError, OSError) as error:
        bus.note_outage(error)
        return False
    return True


def _is_out_of_reach(host: str) -> bool:
    # A host beside the web's own cannot write to the queues of others; their workers look at the rows themselves.
    is_closed_to_us = bool(settings.LEFT4ME_WEB_URL) and host != settings.LEFT4ME_HOST
    return is_closed_to_us or bus.is_away()
