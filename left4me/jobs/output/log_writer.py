"""Writes the output and progress of running jobs to the database in batches, without blocking the jobs."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from django.db import close_old_connections
from django.utils import timezone

from left4me.core.lines import Masker, clean
from left4me.core.statements import Given, update
from left4me.jobs import broadcast
from left4me.jobs.models import Job, JobLog
from left4me.jobs.output import logs

log = logging.getLogger(__name__)

# A job may write this many lines at once, and this many per second continuously. Others are counted and dropped.
BURST_LINES = 5_000
LINES_PER_SECOND = 2_000

_BATCH = 1_000
_PAUSE_BETWEEN_BATCHES = 0.02
_PUBLISH_PROGRESS_EVERY = 0.2
_STORE_PROGRESS_EVERY = 1.0
_PAUSE_AFTER_FAILURE = 0.5


_store_progress = update(lambda: Job.objects.filter(pk=Given("job")), progress=Given("progress"))


class JobOutput:
    """The lines and the progress of one running job that are not written yet."""

    def __init__(self, writer: LogWriter, job_id: int, masker: Masker) -> None:
        self._writer = writer
        self._job_id = job_id
        self._mask = masker
        self._adding = threading.Lock()
        self._writing = threading.Lock()
        self._unwritten: deque[logs.Line] = deque()
        self._dropped = 0
        self._allowance = float(BURST_LINES)
        self._counted_at = time.monotonic()
        self._progress: dict[str, Any] | None = None
        self._published_at = self._stored_at = float("-inf")
        self._progress_unpublished = self._progress_unstored = False

    def write(self, stream: str, text: str) -> None:
        pieces = text.splitlines() if "\n" in text else [text]
        with self._adding:
            for piece in pieces:
                if self._may_add_line():
                    self._add_note_of_dropped()
                    self._unwritten.append((stream, clean(piece, self._mask), timezone.now()))
                else:
                    self._dropped += 1
        self._writer.nudge()

    def set_progress(self, progress: dict[str, Any]) -> None:
        with self._adding:
            self._progress = progress
            self._progress_unpublished = self._progress_unstored = True
        self._writer.nudge()

    def flush(self) -> None:
        """Write everything added so far. Raises DatabaseError, and keeps what could not be written."""
        with self._adding:
            self._add_note_of_dropped()
        with self._writing:
            self._write_lines()
            self._write_progress(at_once=True)

    def write_last(self, end: Callable[[Sequence[logs.Line], dict[str, Any] | None], bool]) -> bool:
        """Have `end` store what is not written yet, with the end of the job, and return whether it did.

        What is too much for one batch is written before. Raises DatabaseError, and keeps what could not be written.
        """
        with self._adding:
            self._add_note_of_dropped()
        with self._writing:
            self._write_lines(most_left=_BATCH)
            lines = list(self._unwritten)
            if not end(lines, self._progress if self._progress_unstored else None):
                return False
            self._unwritten.clear()
            self._progress_unpublished = self._progress_unstored = False
            return True

    def write_due(self) -> bool:
        """Write the lines, and the progress if it is due; return whether some of it is pending.

        Called by the writer's thread. It leaves the rest to the job's own thread once that writes the end.
        """
        if not self._writing.acquire(blocking=False):
            return False
        try:
            self._write_lines()
            return self._write_progress()
        finally:
            self._writing.release()

    def _write_lines(self, *, most_left: int = 0) -> None:
        while len(self._unwritten) > most_left:
            batch = [self._unwritten[i] for i in range(min(len(self._unwritten), _BATCH))]
            logs.append(self._job_id, batch)
            for _ in batch:
                self._unwritten.popleft()

    def _write_progress(self, *, at_once: bool = False) -> bool:
        """Publish and store the newest progress if it is due; return whether some of it is pending."""
        now = time.monotonic()
        with self._adding:
            progress = self._progress
            publish = self._progress_unpublished and (at_once or now - self._published_at >= _PUBLISH_PROGRESS_EVERY)
            store = self._progress_unstored and (at_once or now - self._stored_at >= _STORE_PROGRESS_EVERY)
            if publish:
                self._progress_unpublished, self._published_at = False, now
            if store:
                self._progress_unstored, self._stored_at = False, now
            is_pending = self._progress_unpublished or self._progress_unstored
        if store:
            _store_progress.run(job=self._job_id, progress=progress)
        if progress is not None and (publish or store):
            broadcast.progress(self._job_id, progress, is_stored=store)
        return is_pending

    def _may_add_line(self) -> bool:
        now = time.monotonic()
        self._allowance = min(BURST_LINES, self._allowance + (now - self._counted_at) * LINES_PER_SECOND)
        self._counted_at = now
        # Limited also by number: a database that does not keep up must not fill the memory.
        if self._allowance < 1 or len(self._unwritten) >= 2 * BURST_LINES:
            return False
        self._allowance -= 1
        return True

    def _add_note_of_dropped(self) -> None:
        if self._dropped:
            text = f"… {self._dropped} lines not shown: more than {LINES_PER_SECOND} per second"
            self._unwritten.append((JobLog.Stream.EVENT, text, timezone.now()))
            self._dropped = 0


class LogWriter:
    """A thread that writes the output of all jobs of this process."""

    def __init__(self) -> None:
        self._outputs: dict[int, JobOutput] = {}
        self._nudged = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="job-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def nudge(self) -> None:
        if not self._nudged.is_set():
            self._nudged.set()

    def open(self, job_id: int, masker: Masker) -> JobOutput:
        output = self._outputs[job_id] = JobOutput(self, job_id, masker)
        return output

    def close(self, job_id: int) -> None:
        self._outputs.pop(job_id, None)

    def _run(self) -> None:
        next_turn_in: float | None = None
        while not self._stopping:
            self._nudged.wait(timeout=next_turn_in)
            self._nudged.clear()
            next_turn_in = self._turn()
            # Lines that are added now form one batch. The first line after a quiet time is not delayed by this.
            time.sleep(_PAUSE_BETWEEN_BATCHES)

    def _turn(self) -> float | None:
        """Write all pending output; return after how many seconds to do so again without a nudge."""
        next_turn_in: float | None = None
        for job_id, output in list(self._outputs.items()):
            try:
                if output.write_due():
                    next_turn_in = _PUBLISH_PROGRESS_EVERY
            except Exception:
                log.exception("Could not write the log of job %s yet", job_id)
                next_turn_in = _PAUSE_AFTER_FAILURE
        close_old_connections()
        return next_turn_in
