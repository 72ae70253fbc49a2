"""Keeps the leases of the jobs that run in this process, and passes cancels on to them."""

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

from left4me.core.redis import pubsub
from left4me.jobs import broadcast, transitions
from left4me.jobs.execution import ActiveRun, Stop
from left4me.jobs.models import Job
from left4me.jobs.states import State

log = logging.getLogger(__name__)

# A dead worker's jobs are free after the lease; a living one renews five times in that time. One that cannot renew
# stops its jobs a good while before anybody else may take them.
LEASE = timedelta(seconds=15)
STOP_WITHOUT_RENEWAL_AFTER = 10.0
_RENEW_EVERY = 3.0
_LOOK_EVERY = 1.0
# A job that goes on although it lost its lease could soon run twice: then the whole worker has to go.
_EXIT_WHEN_DEAF_FOR = 5.0
_EXIT_STATUS = 70

_PAUSE_AFTER_FAILURE = 1.0


class LeaseKeeper:
    """One thread that renews the leases of `runs`, and reads from their rows which of them are to stop."""

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
            if not runs:
                continue
            try:
                self._look(runs)
            except Exception:
                log.exception("Leases could not be renewed")
            close_old_connections()
            self._exit_if_deaf(runs)

    def _look(self, runs: list[ActiveRun]) -> None:
        began = time.monotonic()
        if began - self._renewed_at >= _RENEW_EVERY:
            transitions.renew(worker=self._worker, jobs=[run.job_id for run in runs], now=timezone.now(), lease=LEASE)
            self._renewed_at = began
        states = dict(Job.objects.active().filter(worker=self._worker).values_list("pk", "state"))
        for run in runs:
            state = states.get(run.job_id)
            # Not this worker's any more: the sweep took it for dead, or somebody edited the row.
            if state is None:
                run.tell_to_stop(Stop.LEASE_LOST)
                continue
            # Counted from before the renewal, so that this process never believes in more time than the row grants.
            run.lease_ends = max(run.lease_ends, self._renewed_at + STOP_WITHOUT_RENEWAL_AFTER)
            # The cancel's message came to nobody: the row says it too.
            if state == State.CANCELLING:
                run.tell_to_stop(Stop.CANCEL)

    def _exit_if_deaf(self, runs: list[ActiveRun]) -> None:
        now = time.monotonic()
        for run in runs:
            if run.job_id in self._runs and now > run.lease_ends + _EXIT_WHEN_DEAF_FOR:
                log.critical("Job %s goes on without its lease; this worker ends so that it runs once", run.job_id)
                os._exit(_EXIT_STATUS)


class CancelListener:
    """One thread that stops those of `runs` whose cancel is published by Redis, a second before the row is read."""

    def __init__(self, host: str, runs: Mapping[int, ActiveRun], stopped: threading.Event) -> None:
        self._host = host
        self._runs = runs
        self._stopped = stopped

    def start(self) -> None:
        threading.Thread(target=self._listen, name="job-cancels", daemon=True).start()

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                with pubsub.listen(broadcast.cancel_channel(self._host)) as messages:
                    for message in messages:
                        if self._stopped.is_set():
                            return
                        run = self._runs.get(int(message)) if message else None
                        if run is not None:
                            run.tell_to_stop(Stop.CANCEL)
            except (redis.RedisError, OSError, ValueError) as error:
                # Nothing is lost: the lease keeper reads cancels from the rows.
                log.warning("Cancels are not heard at once: %s", error)
                self._stopped.wait(_PAUSE_AFTER_FAILURE)
