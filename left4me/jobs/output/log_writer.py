"""Carries what jobs say into the database, in batches, without ever holding a job up."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

from django.db import close_old_connections
from django.utils import timezone

from left4me.jobs import broadcast
from left4me.jobs.models import Job, JobLog
from left4me.jobs.output import logs
from left4me.jobs.output.lines import Masker, clean

log = logging.getLogger(__name__)

# A job may say this much at once, and this much per second for long; the rest is counted, not kept.
BURST_LINES = 5_000
LINES_PER_SECOND = 2_000

_BATCH = 1_000
_PAUSE_BETWEEN_BATCHES = 0.02
_TELL_PROGRESS_EVERY = 0.2
_KEEP_PROGRESS_EVERY = 1.0
_PAUSE_AFTER_FAILURE = 0.5


class JobOutput:
    """What one running job says: its lines and its progress, on their way to the writer."""

    def __init__(self, writer: LogWriter, job_id: int, masker: Masker) -> None:
        self._writer = writer
        self._job_id = job_id
        self._mask = masker
        self._adding = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: deque[logs.Line] = deque()
        self._left_out = 0
        self._allowance = float(BURST_LINES)
        self._counted_at = time.monotonic()
        self._progress: dict[str, Any] | None = None
        self._told_at = self._kept_at = 0.0
        self._progress_untold = self._progress_unkept = False

    def say(self, stream: str, text: str) -> None:
        pieces = text.splitlines() if "\n" in text else [text]
        with self._adding:
            for piece in pieces:
                if self._may_say_more():
                    self._note_what_was_left_out()
                    self._waiting.append((stream, clean(piece, self._mask), timezone.now()))
                else:
                    self._left_out += 1
        self._writer.nudge()

    def report(self, progress: dict[str, Any]) -> None:
        with self._adding:
            self._progress = progress
            self._progress_untold = self._progress_unkept = True
        self._writer.nudge()

    def flush(self) -> None:
        """Write all that was said so far; raises DatabaseError and keeps it when the database does not take it."""
        with self._adding:
            self._note_what_was_left_out()
        while self.write_some():
            pass
        self.pass_on_progress(at_once=True)

    def write_some(self) -> bool:
        """Write one batch; return whether there was anything to write."""
        with self._writing:
            batch = [self._waiting[i] for i in range(min(len(self._waiting), _BATCH))]
            if not batch:
                return False
            logs.append(self._job_id, batch)
            for _ in batch:
                self._waiting.popleft()
            return True

    def pass_on_progress(self, *, at_once: bool = False) -> bool:
        """Tell and keep the newest progress when it is time to; return whether some of it still waits."""
        now = time.monotonic()
        with self._adding:
            progress = self._progress
            tell = self._progress_untold and (at_once or now - self._told_at >= _TELL_PROGRESS_EVERY)
            keep = self._progress_unkept and (at_once or now - self._kept_at >= _KEEP_PROGRESS_EVERY)
            if tell:
                self._progress_untold, self._told_at = False, now
            if keep:
                self._progress_unkept, self._kept_at = False, now
            waits = self._progress_untold or self._progress_unkept
        if tell and progress is not None:
            broadcast.progress(self._job_id, progress)
        if keep:
            Job.objects.filter(pk=self._job_id).update(progress=progress)
        return waits

    def _may_say_more(self) -> bool:
        now = time.monotonic()
        self._allowance = min(BURST_LINES, self._allowance + (now - self._counted_at) * LINES_PER_SECOND)
        self._counted_at = now
        # A database that does not keep up must not fill the memory either.
        if self._allowance < 1 or len(self._waiting) >= 2 * BURST_LINES:
            return False
        self._allowance -= 1
        return True

    def _note_what_was_left_out(self) -> None:
        if self._left_out:
            text = f"… {self._left_out} lines left out: more than {LINES_PER_SECOND} in a second"
            self._waiting.append((JobLog.Stream.EVENT, text, timezone.now()))
            self._left_out = 0


class LogWriter:
    """One thread that writes what all jobs of this process say."""

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
        again_in: float | None = None
        while not self._stopping:
            self._nudged.wait(timeout=again_in)
            self._nudged.clear()
            again_in = self._turn()
            # What is said meanwhile goes into one batch; the first line after a silence never waits here.
            time.sleep(_PAUSE_BETWEEN_BATCHES)

    def _turn(self) -> float | None:
        """Write what waits; return in how many seconds to look again without being nudged."""
        again_in: float | None = None
        for job_id, output in list(self._outputs.items()):
            try:
                while output.write_some():
                    pass
                if output.pass_on_progress():
                    again_in = _TELL_PROGRESS_EVERY
            except Exception:
                log.exception("The log of job %s could not be written yet", job_id)
                again_in = _PAUSE_AFTER_FAILURE
        close_old_connections()
        return again_in
