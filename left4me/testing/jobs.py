"""Runs jobs without a worker."""

from __future__ import annotations

from django.utils import timezone

from left4me.jobs import execution, identity, transitions
from left4me.jobs.execution import ActiveRun
from left4me.jobs.leases import LEASE
from left4me.jobs.models import Job
from left4me.jobs.output.log_writer import LogWriter


def drain(*, host: str, most: int = 100) -> list[Job]:
    """Run what is claimable on `host` in the caller's own thread until nothing is left; return what ran."""
    writer = LogWriter()
    worker = identity.of_this_process(host)
    ran: list[Job] = []
    while len(ran) < most:
        jobs = transitions.claim(host=host, worker=worker, limit=1, now=timezone.now(), lease=LEASE)
        if not jobs:
            break
        run = ActiveRun(jobs[0], writer, lease_ends=float("inf"))
        execution.execute(run)
        run.close()
        ran.append(Job.objects.get(pk=run.job_id))
    return ran
