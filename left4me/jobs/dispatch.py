"""Sends the Celery tasks of jobs to the queues of their hosts.

A message only asks a worker to claim the job now; it may be late, duplicated or lost. The rows hold the truth, and
every worker sends the tasks of runnable jobs of its host again every few seconds.
"""

from __future__ import annotations

from celery import current_app
from celery.exceptions import CeleryError
from django.conf import settings
from django.db import transaction
from kombu.exceptions import KombuError

from left4me.core.redis import keys, pubsub
from left4me.jobs import operations
from left4me.jobs.models import Job

# Redis delivers messages with the smaller number first. Periodic tasks have 0, the default. New jobs, however many,
# come after them and after jobs that a worker has found runnable: otherwise a slot would stay free until the messages
# of all younger jobs are consumed.
_BEFORE_ALL_OTHERS = 0
_AFTER_PERIODIC_TASKS = 6

# Every worker has this task. It fails jobs whose operation the worker's code does not have.
UNKNOWN_TASK = "jobs.unknown"


def task_name(operation: str) -> str:
    """The name of the Celery task that runs jobs of this operation."""
    return f"jobs.{operation}"


def send_after_commit(job: Job) -> None:
    """After the commit, send the task of a job that was just queued."""
    host, job_id, operation = job.host, job.pk, job.operation
    transaction.on_commit(lambda: send(host, job_id, operation), robust=True)


def send_runnable_after_commit(host: str) -> None:
    """After the commit, send the tasks of the oldest jobs that can then run on `host`."""

    def send_runnable() -> None:
        for job_id, operation in runnable(host, most=settings.LEFT4ME_JOB_SLOTS):
            send(host, job_id, operation, its_turn=True)

    transaction.on_commit(send_runnable, robust=True)


def runnable(host: str, *, most: int) -> list[tuple[int, str]]:
    """The ids and operations of the `most` oldest jobs that no lock blocks; none if `host` cannot be sent messages."""
    if most <= 0 or _is_out_of_reach(host):
        return []
    return list(Job.objects.claimable().on_host(host).order_by("pk").values_list("pk", "operation")[:most])


def send(host: str, job_id: int, operation: str, *, its_turn: bool = False) -> bool:
    """Send the job's task; return False if the broker is down: the host's worker then sends it later.

    Not by `core.redis.hosts.send`, whose messages expire and have no priority; and a failure is noted here, so that
    a flood of requests does not wait for the broker once for each job.
    """
    if _is_out_of_reach(host):
        return False
    try:
        current_app.send_task(
            task_name(operation) if operations.find(operation) is not None else UNKNOWN_TASK,
            args=(job_id,),
            queue=keys.host_queue(host),
            priority=_BEFORE_ALL_OTHERS if its_turn else _AFTER_PERIODIC_TASKS,
            ignore_result=True,
            retry=False,
        )
    except (CeleryError, KombuError, OSError) as error:
        pubsub.note_outage(error)
        return False
    return True


def _is_out_of_reach(host: str) -> bool:
    # The Redis user of a second host may not write to queues of other hosts; their workers find the jobs in the rows.
    is_forbidden = bool(settings.LEFT4ME_WEB_URL) and host != settings.LEFT4ME_HOST
    return is_forbidden or pubsub.is_away()
