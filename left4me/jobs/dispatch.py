"""Sends the Celery tasks of jobs to the queues of their hosts.

A message asks a worker to claim the job now and says nothing more: it may be late, doubled or lost. The rows are the
truth, and every worker sends again, every few seconds, the tasks of jobs that could run on its host.
"""

from __future__ import annotations

from celery import current_app
from celery.exceptions import CeleryError
from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

from left4me.core.redis import pubsub
from left4me.jobs import registry
from left4me.jobs.models import Job

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

    def send_runnable() -> None:
        for job_id, operation in runnable(host, most=settings.LEFT4ME_JOB_SLOTS):
            send(host, job_id, operation, its_turn=True)

    transaction.on_commit(send_runnable, robust=True)


def runnable(host: str, *, most: int) -> list[tuple[int, str]]:
    """The ids and operations of the `most` oldest jobs that no lock holds up; none when no message would get there."""
    if most <= 0 or _is_out_of_reach(host):
        return []
    return list(Job.objects.claimable().on_host(host).order_by("pk").values_list("pk", "operation")[:most])


def send(host: str, job_id: int, operation: str, *, its_turn: bool = False) -> bool:
    """Send the job's task; False when the broker is away. The host's worker then sends it itself, once it is back."""
    if _is_out_of_reach(host):
        return False
    try:
        current_app.send_task(
            task_name(operation) if registry.find(operation) is not None else UNKNOWN_TASK,
            args=(job_id,),
            queue=f"host.{host}",
            priority=_BEFORE_ALL_OTHERS if its_turn else _AFTER_PERIODIC_TASKS,
            ignore_result=True,
            retry=False,
        )
    except (CeleryError, KombuError, OSError) as error:
        pubsub.note_outage(error)
        return False
    return True


def _is_out_of_reach(host: str) -> bool:
    # A host beside the web's own cannot write to the queues of others; their workers look at the rows themselves.
    is_closed_to_us = bool(settings.LEFT4ME_WEB_URL) and host != settings.LEFT4ME_HOST
    return is_closed_to_us or pubsub.is_away()
