"""Renews the leases of the jobs that run in this process, and delivers cancels to them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from datetime import timedelta

import redis
from django.db import close_old_connections
from django.utils import timezone

from left4me.core.redis import keys, pubsub
from left4me.jobs import transitions
from left4me.jobs.execution import ActiveRun, Stop
from left4me.jobs.models import Job
from left4me.jobs.states import State

log = logging.getLogger(__name__)

# A worker renews its leases five times within their length. If it cannot renew, it stops its jobs several seconds
# before the leases expire and other workers may take the jobs over.
LEASE = timedelta(seconds=15)
STOP_WITHOUT_RENEWAL_AFTER = 10.0
_RENEW_EVERY = 3.0
_LOOK_EVERY = 1.0
# A job that continues without its lease could soon run twice. Its thread cannot be killed, so the worker exits.
_EXIT_WHEN_DEAF_FOR = 5.0
_EXIT_STATUS = 70

_PAUSE_AFTER_FAILURE = 1.0


class LeaseKeeper:
    """A thread that renews the leases of `runs`, and reads from the rows which of them shall stop."""

    def __init__(self, worker: str, runs: Mapping[int, ActiveRun], stopped: threading.Event) -> None:
        self._worker = worker
        self._runs = runs
        self._stopped = stopped
        self._renewed_at = float("-inf")

    def start(self) -> None:
        threading.Thread(target=self._keep, name="job-leases", daemon=True).start()

    def _keep(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY):
            runs = list(self._runs.values())
            # An idle worker sends no queries.
            if not runs:
                continue
            try:
                self._look(runs)
            # The database is away or busy: the thread must survive, and the leases may still be renewed in time.
            except Exception:
                log.exception("Could not renew leases")
            close_old_connections()
            self._exit_if_deaf(runs)

    def _look(self, runs: list[ActiveRun]) -> None:
        began = time.monotonic()
        # Cancels are read every second, leases are renewed less often: a renewal is a write.
        if began - self._renewed_at >= _RENEW_EVERY:
            transitions.renew(worker=self._worker, jobs=[run.job_id for run in runs], now=timezone.now(), lease=LEASE)
            self._renewed_at = began
        states = dict(Job.objects.active().filter(worker=self._worker).values_list("pk", "state"))
        for run in runs:
            state = states.get(run.job_id)
            # The row no longer belongs to this worker: the sweep considered it dead, or the row was edited.
            if state is None:
                run.request_stop(Stop.LEASE_LOST)
                continue
            # From the time before the renewal, so that this process never assumes more time than the row grants.
            run.lease_ends = max(run.lease_ends, self._renewed_at + STOP_WITHOUT_RENEWAL_AFTER)
            # The message of the cancel may have been lost; the row has the cancel too.
            if state == State.CANCELLING:
                run.request_stop(Stop.CANCEL)

    def _exit_if_deaf(self, runs: list[ActiveRun]) -> None:
        now = time.monotonic()
        for run in runs:
            # A job that ended since `runs` was listed has left `_runs` and is no reason to exit.
            if run.job_id in self._runs and now > run.lease_ends + _EXIT_WHEN_DEAF_FOR:
                log.critical(
                    "Job %s continues without its lease. The worker exits so that the job runs only once", run.job_id
                )
                os._exit(_EXIT_STATUS)


class CancelListener:
    """A thread that stops those of `runs` whose cancel is published in Redis, sooner than the rows are read."""

    def __init__(self, host: str, runs: Mapping[int, ActiveRun], stopped: threading.Event) -> None:
        self._host = host
        self._runs = runs
        self._stopped = stopped

    def start(self) -> None:
        threading.Thread(target=self._listen, name="job-cancels", daemon=True).start()

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                with pubsub.listen(keys.cancel_channel(self._host)) as messages:
                    for message in messages:
                        if self._stopped.is_set():
                            return
                        # Others are about games (`servers/hosts/disk_watch.py`).
                        run = self._runs.get(int(message)) if message and message.isdigit() else None
                        if run is not None:
                            run.request_stop(Stop.CANCEL)
            except (redis.RedisError, OSError, ValueError) as error:
                # No cancel is lost: the lease keeper reads them from the rows.
                log.warning("Cancellations are delayed: %s", error)
                self._stopped.wait(_PAUSE_AFTER_FAILURE)
