"""The worker's engine: claims jobs of its host, runs them in its slots, keeps their leases, hears their cancels."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import redis
from django.db import close_old_connections
from django.utils import timezone

from left4me.core.redis import pubsub
from left4me.jobs import broadcast, execution, identity, sweeping, transitions
from left4me.jobs.execution import ActiveRun, Stop
from left4me.jobs.log_writer import LogWriter
from left4me.jobs.models import Job
from left4me.jobs.states import State

log = logging.getLogger(__name__)

# A dead worker's jobs are free after the lease; a living one renews five times in that time. One that cannot renew
# stops its jobs a good while before anybody else may take them.
LEASE = timedelta(seconds=15)
_RENEW_EVERY = 3.0
_STOP_WITHOUT_RENEWAL_AFTER = 10.0
_LOOK_EVERY = 1.0
# A job that goes on although it lost its lease could soon run twice: then the whole worker has to go.
_EXIT_WHEN_DEAF_FOR = 5.0
_EXIT_STATUS = 70

_PUMP_EVERY = 3.0
_ASK_EVERY = 10.0
_PAUSE_AFTER_FAILURE = 1.0


class Runner:
    """Runs the jobs of one host in `slots` threads until it is stopped."""

    def __init__(
        self, *, host: str, slots: int, guard: int | None = None, refusal: Callable[[], str] = lambda: ""
    ) -> None:
        """`refusal` says why this worker must not take jobs now; empty when it may."""
        self.host = host
        self.slots = slots
        self.worker = identity.of_this_process(host, guard=guard)
        self._runs: dict[int, ActiveRun] = {}
        self._ready: queue.SimpleQueue[ActiveRun | None] = queue.SimpleQueue()
        self._nudged = threading.Event()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._idle = threading.Condition()
        self._writer = LogWriter()
        self._refusal = refusal
        self._refused = ""
        self._asked_at = float("-inf")

    def start(self) -> None:
        """Take over what a dead predecessor left, then begin to claim."""
        self._writer.start()
        bodies = [
            (self._dispatch, "job-dispatch"),
            (self._keep_leases, "job-leases"),
            (self._hear_cancels, "job-cancels"),
        ]
        bodies += [(self._work, f"job-slot-{number}") for number in range(1, self.slots + 1)]
        for body, name in bodies:
            threading.Thread(target=body, name=name, daemon=True).start()

    def nudge(self) -> None:
        """Look for claimable jobs now."""
        self._nudged.set()

    def stop(self, *, within: float) -> None:
        """Claim nothing more and let jobs come to a safe point: at once those that may run again, others `within`."""
        self._stopping.set()
        self._nudged.set()
        for run in self._snapshot():
            if run.operation is not None and run.operation.idempotent:
                run.tell_to_stop(Stop.SHUTDOWN)
        if not self._wait_until_idle(within):
            for run in self._snapshot():
                run.tell_to_stop(Stop.SHUTDOWN)
            self._wait_until_idle(2.0)
        self._stopped.set()
        for _ in range(self.slots):
            self._ready.put(None)
        self._writer.stop()

    def _snapshot(self) -> list[ActiveRun]:
        return list(self._runs.values())

    def _wait_until_idle(self, seconds: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: not self._runs, timeout=seconds)

    # --- claiming ---

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            try:
                sweeping.take_over_dead(host=self.host, now=timezone.now())
                break
            except Exception:
                log.exception("What a predecessor left could not be looked at")
                self._stopping.wait(_PAUSE_AFTER_FAILURE)
        while not self._stopping.is_set():
            try:
                self._claim()
            except Exception:
                log.exception("Nothing could be claimed")
                self._stopping.wait(_PAUSE_AFTER_FAILURE)
            close_old_connections()
            # A lost wake-up costs no more than this wait.
            self._nudged.wait(timeout=_PUMP_EVERY)
            self._nudged.clear()

    def _may_claim(self) -> bool:
        if time.monotonic() - self._asked_at > _ASK_EVERY:
            refusal = self._refusal()
            if refusal != self._refused:
                log.error("%s", refusal) if refusal else log.warning("This worker takes jobs again")
            self._refused, self._asked_at = refusal, time.monotonic()
        return not self._refused

    def _claim(self) -> None:
        free = self.slots - len(self._runs)
        if free <= 0 or not self._may_claim():
            return
        claimed_at = time.monotonic()
        for job in transitions.claim(host=self.host, worker=self.worker, limit=free, now=timezone.now(), lease=LEASE):
            try:
                run = ActiveRun(job, self._writer, lease_ends=claimed_at + _STOP_WITHOUT_RENEWAL_AFTER)
            except Exception as error:
                # Its app cannot name its secrets, so nothing of it may be logged.
                log.exception("Job %s cannot begin", job.pk)
                why = f"It could not begin: {type(error).__name__}."
                transitions.finish(job, state=State.FAILED, now=timezone.now(), exit_code=1, error=why)
                continue
            self._runs[job.pk] = run
            self._ready.put(run)

    # --- working ---

    def _work(self) -> None:
        while (run := self._ready.get()) is not None:
            try:
                execution.execute(run)
            except Exception:
                log.exception("Job %s could not be settled; the sweep will", run.job_id)
            finally:
                run.close()
                close_old_connections()
                with self._idle:
                    self._runs.pop(run.job_id, None)
                    self._idle.notify_all()
                # The slot is free, and what this job held up may now run.
                self._nudged.set()

    # --- leases and cancels ---

    def _keep_leases(self) -> None:
        renewed_at = 0.0
        while not self._stopped.wait(_LOOK_EVERY):
            runs = self._snapshot()
            if not runs:
                continue
            try:
                began = time.monotonic()
                if began - renewed_at >= _RENEW_EVERY:
                    transitions.renew(
                        worker=self.worker, jobs=[run.job_id for run in runs], now=timezone.now(), lease=LEASE
                    )
                    renewed_at = began
                self._heed_rows(runs, lease_ends=renewed_at + _STOP_WITHOUT_RENEWAL_AFTER)
            except Exception:
                log.exception("Leases could not be renewed")
            close_old_connections()
            self._exit_if_deaf(runs)

    def _heed_rows(self, runs: list[ActiveRun], *, lease_ends: float) -> None:
        states = dict(Job.objects.active().filter(worker=self.worker).values_list("pk", "state"))
        for run in runs:
            state = states.get(run.job_id)
            if state is None:
                run.tell_to_stop(Stop.LEASE_LOST)
                continue
            run.lease_ends = max(run.lease_ends, lease_ends)
            if state == State.CANCELLING:
                run.tell_to_stop(Stop.CANCEL)

    def _exit_if_deaf(self, runs: list[ActiveRun]) -> None:
        now = time.monotonic()
        for run in runs:
            if run.job_id in self._runs and now > run.lease_ends + _EXIT_WHEN_DEAF_FOR:
                log.critical("Job %s goes on without its lease; this worker ends so that it runs once", run.job_id)
                os._exit(_EXIT_STATUS)

    def _hear_cancels(self) -> None:
        while not self._stopped.is_set():
            try:
                with pubsub.listen(broadcast.cancel_channel(self.host)) as messages:
                    for message in messages:
                        if self._stopped.is_set():
                            return
                        run = self._runs.get(int(message)) if message else None
                        if run is not None:
                            run.tell_to_stop(Stop.CANCEL)
            except (redis.RedisError, OSError, ValueError) as error:
                # Cancels are also read from the rows, a second later.
                log.warning("Cancels are not heard at once: %s", error)
                self._stopped.wait(_PAUSE_AFTER_FAILURE)


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
