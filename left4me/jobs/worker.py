"""The part of a Celery worker that runs jobs: its slots, the jobs in them, and the threads that maintain them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from django.db import close_old_connections
from django.utils import timezone

from left4me.jobs import dispatch, execution, identity, sweep, transitions
from left4me.jobs.execution import ActiveRun, Ending, Stop
from left4me.jobs.leases import LEASE, STOP_WITHOUT_RENEWAL_AFTER, CancelListener, LeaseKeeper
from left4me.jobs.models import Job
from left4me.jobs.output.log_writer import LogWriter
from left4me.jobs.states import State

log = logging.getLogger(__name__)

# The longest delay of a job whose message was lost.
_SEND_AGAIN_EVERY = 3.0
_CHECK_EVERY = 10.0
_PAUSE_AFTER_FAILURE = 1.0
_SECONDS_TO_STOP = 2.0
# A message takes some kilobytes. Those of further jobs are sent again when it is their turn.
_MOST_HELD = 1_000


class NotNow(Exception):
    """The job stays queued. Its task is sent again when it can run."""


class NotToRun(Exception):
    """The job is running, has ended or does not exist: the message was late or a duplicate."""


class JobWorker:
    """Runs jobs of one host, at most `slots` at a time, in the threads of Celery's pool that call `run`."""

    def __init__(
        self, *, host: str, slots: int, guard: int | None = None, refusal: Callable[[], str] = lambda: ""
    ) -> None:
        """`refusal` returns why this worker must not take jobs now, or an empty string."""
        self.host = host
        self.slots = slots
        self.worker = identity.of_this_process(host, guard=guard)
        self._runs: dict[int, ActiveRun] = {}
        # Jobs in slots, also while they are claimed.
        self._in_slots: set[int] = set()
        # Ids of jobs whose message arrived when they could not run, with what starts it if it is held.
        self._deferred: dict[int, Callable[[], None] | None] = {}
        # Ids of jobs whose message is on its way to a thread: it has arrived, or was started or sent again.
        self._coming: set[int] = set()
        # Ids of jobs that were sent again although no message of them had arrived: Redis was away, or lost it.
        self._lost: set[int] = set()
        # The newest job whose message has arrived. Those of older jobs came before, here or to a neighbour.
        self._newest = 0
        self._slots = threading.BoundedSemaphore(slots)
        # Set if a message found all slots taken since runnable jobs were last looked up.
        self._turned_away = threading.Event()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._idle = threading.Condition()
        self._writer = LogWriter()
        self._refusal = refusal
        self._may_claim = False
        self._refused = ""
        self._checked_at = float("-inf")

    def start(self) -> None:
        """Start the threads. Jobs are taken once those of a dead predecessor are settled."""
        self._writer.start()
        LeaseKeeper(self.worker, self._runs, self._stopped).start()
        CancelListener(self.host, self._runs, self._stopped).start()
        threading.Thread(target=self._send_again, name="job-sender", daemon=True).start()

    def stop(self, *, within: float) -> None:
        """Claim no more jobs and wait for those that run.

        Jobs that may run again are asked to stop at once, others after `within` seconds.
        """
        self._stopping.set()
        for run in list(self._runs.values()):
            if run.may_run_again:
                run.request_stop(Stop.SHUTDOWN)
        if not self._wait_until_idle(within):
            for run in list(self._runs.values()):
                run.request_stop(Stop.SHUTDOWN)
            if not self._wait_until_idle(_SECONDS_TO_STOP):
                # Celery would wait for these threads for ever. The next worker settles their rows.
                log.error("Jobs %s do not stop. The worker exits without them", sorted(self._runs))
                self._writer.stop()
                os._exit(0)
        self._stopped.set()
        self._writer.stop()

    def receive(self, job_id: int) -> bool:
        """Note that a job's message has arrived; return whether it is to be held, because all slots are taken."""
        self._newest = max(self._newest, job_id)
        self._coming.add(job_id)
        return self._is_full()

    def _is_full(self) -> bool:
        return len(self._in_slots) >= self.slots

    def hold(self, job_id: int, start: Callable[[], None]) -> bool:
        """Hold a job's message while all slots are taken; return False if it is to start now.

        `start` is called when a slot is free and it is the job's turn. In a thread of the pool the message would only
        find that there is no slot, and the job would need a second one.
        """
        if not self._is_full() or len(self._deferred) >= _MOST_HELD:
            return False
        self._deferred[job_id] = start
        self._coming.discard(job_id)
        self._turned_away.set()
        # Looked at again: a thread that released its slot may have read the two fields before they were set above.
        return self._is_full() or self._deferred.pop(job_id, None) is None

    def run(self, job_id: int) -> Ending:
        """Claim the job and run it. Raises NotNow or NotToRun if it does not run; the row is unchanged then."""
        was_lost = job_id in self._lost
        # Checked before any query: while all slots are taken a message costs nothing, and the threads beyond the slots
        # stay free for periodic tasks.
        if not self._slots.acquire(blocking=False):
            self._deferred.setdefault(job_id)
            self._coming.discard(job_id)
            self._turned_away.set()
            # Tried again: a thread that released its slot after the first try may have read the two fields before they
            # were set above.
            if not self._slots.acquire(blocking=False):
                raise NotNow("all job slots are taken")
            self._deferred.pop(job_id, None)
        self._in_slots.add(job_id)
        self._coming.discard(job_id)
        has_run = False
        try:
            ending = self._run_in_slot(job_id)
            has_run = True
            return ending
        except NotNow:
            self._deferred.setdefault(job_id)
            raise
        finally:
            self._in_slots.discard(job_id)
            self._slots.release()
            # After the release: otherwise the next job's message would find the slot taken. A job that was not claimed
            # held a slot too, during its queries, and may have turned another one away.
            if has_run and was_lost:
                # The messages of younger jobs are probably lost too, and none of them needs to wait for `_send_again`.
                self._lost.discard(job_id)
                self._send_runnable(lambda each: each not in self._coming)
            elif (has_run and self._deferred) or self._turned_away.is_set():
                self._turned_away.clear()
                self._send_runnable(self._is_waiting)

    def _is_waiting(self, job_id: int) -> bool:
        """Whether the message of a runnable job has arrived: here, or at a neighbour that holds it while it is full.

        Any other job's first message is still on its way.
        """
        if job_id in self._deferred:
            return True
        return job_id < self._newest and job_id not in self._coming and job_id not in self._in_slots

    def _run_in_slot(self, job_id: int) -> Ending:
        run = self._claim(job_id)
        if isinstance(run, Ending):
            return run
        try:
            return execution.execute(run)
        finally:
            run.close()
            with self._idle:
                self._runs.pop(job_id, None)
                self._idle.notify_all()

    def _claim(self, job_id: int) -> ActiveRun | Ending:
        # A job that is claimed during the shutdown would delay it.
        if self._stopping.is_set():
            raise NotNow("this worker stops")
        # The schema does not match the code, or the jobs of a dead predecessor are not settled yet.
        if not self._may_claim:
            raise NotNow(self._refused or "this worker is not ready yet")
        # Only one of the oldest that fit into the free slots may run: otherwise younger jobs, whose messages arrive as
        # they are requested, would starve an older one that found all slots taken.
        free = self.slots - len(self._runs)
        claimed_at = time.monotonic()
        jobs = transitions.claim(
            host=self.host, worker=self.worker, limit=free, now=timezone.now(), lease=LEASE, only=job_id
        )
        # A lock blocks it, an older job goes first, another worker has claimed it, or the message is a duplicate.
        if not jobs:
            raise _why_not(job_id)
        (job,) = jobs
        try:
            run = ActiveRun(job, self._writer, lease_ends=claimed_at + STOP_WITHOUT_RENEWAL_AFTER)
        except Exception as error:
            # Its operation cannot return its secrets, so nothing of the error may be logged in the job.
            log.exception("Job %s could not start", job.pk)
            why = f"The job could not start: {type(error).__name__}."
            transitions.finish(job, state=State.FAILED, now=timezone.now(), exit_code=1, error=why)
            return Ending(State.FAILED, why)
        self._runs[job.pk] = run
        # `stop` may have listed the runs just before this one was added.
        if self._stopping.is_set() and run.may_run_again:
            run.request_stop(Stop.SHUTDOWN)
        return run

    def _wait_until_idle(self, seconds: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: not self._runs, timeout=seconds)

    # --- lost messages ---

    def _send_again(self) -> None:
        """Settle the jobs of dead predecessors, then send the tasks of runnable jobs every few seconds."""
        is_taken_over = False
        while not self._stopping.is_set():
            pause = _SEND_AGAIN_EVERY
            try:
                if not is_taken_over:
                    sweep.take_over_dead(host=self.host, now=timezone.now())
                    is_taken_over = True
                self._update_may_claim()
                self._forget_what_is_settled()
            except Exception:
                log.exception("Could not check the jobs of this host")
                pause = _PAUSE_AFTER_FAILURE
            self._send_runnable()
            close_old_connections()
            self._stopping.wait(pause)

    def _update_may_claim(self) -> None:
        if time.monotonic() - self._checked_at < _CHECK_EVERY:
            return
        refusal = self._refusal()
        if refusal != self._refused:
            log.error("%s", refusal) if refusal else log.warning("This worker accepts jobs again")
        self._refused, self._checked_at, self._may_claim = refusal, time.monotonic(), not refusal

    def _send_runnable(self, is_wanted: Callable[[int], bool] = lambda _: True) -> None:
        """Send the tasks of the oldest jobs that can run in the free slots, or only of those that are wanted."""
        if self._stopping.is_set() or not self._may_claim:
            return
        try:
            for job_id, operation in dispatch.runnable(self.host, most=self.slots - len(self._runs)):
                if is_wanted(job_id):
                    if job_id not in self._deferred:
                        self._lost.add(job_id)
                    start = self._deferred.pop(job_id, None)
                    self._coming.add(job_id)
                    if start is not None:
                        start()
                    else:
                        dispatch.send(self.host, job_id, operation, its_turn=True)
        except Exception:
            log.exception("Could not send the tasks of queued jobs")

    def _forget_what_is_settled(self) -> None:
        """Remove ended jobs from the sets. Other workers of this host consume messages too, and some are lost."""
        self._coming.clear()
        self._lost.clear()
        # Otherwise a message with a number that no job has would count for ever.
        self._newest = 0
        if self._deferred:
            queued = set(Job.objects.queued().on_host(self.host).values_list("pk", flat=True))
            for job_id in self._deferred.keys() - queued:
                # A message that is held has to end too: Celery keeps it until then.
                if (start := self._deferred.pop(job_id, None)) is not None:
                    start()


def _why_not(job_id: int) -> NotNow | NotToRun:
    state = Job.objects.filter(pk=job_id).values_list("state", flat=True).first()
    if state == State.QUEUED:
        return NotNow("it is not its turn")
    return NotToRun(f"it is {state}" if state else "there is no such job")
