"""Repeated requests of a host to the web: with pauses, until there was no progress for too long."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.conf import settings

from left4me.jobs.context import JobContext

# The job fails after this time without a byte. It covers a restart of the web and a network failure.
PATIENCE_SECONDS = 120.0
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_BUILD_PAUSE = 2.0


class Unavailable(Exception):
    """The web cannot do it now; the message gives the operator the reason."""


class Attempts:
    """An endless iterator of attempts, ended by `failed` when there was no progress for too long."""

    def __init__(self, run: JobContext) -> None:
        self._run = run
        self._number = 0
        self._is_waiting = False
        self._progress_at = time.monotonic()

    def __iter__(self) -> Iterator[Attempts]:
        while True:
            yield self

    def failed(self, error: Exception, *, has_progress: bool) -> None:
        """Pause before the next attempt. Raises Unavailable if there is none, and Cancelled."""
        if has_progress:
            self._number, self._progress_at = 0, time.monotonic()
        if time.monotonic() - self._progress_at > PATIENCE_SECONDS:
            raise Unavailable(f"{settings.LEFT4ME_WEB_URL} does not answer: {error}") from error
        pause = _PAUSES[min(self._number, len(_PAUSES) - 1)]
        self._number += 1
        self._run.log(f"{error}; retrying in {pause:g} s", stream="stderr")
        self._run.sleep(pause)

    def wait(self, reason: str) -> None:
        """Pause without a limit on the number of attempts; logs the reason once. Raises Cancelled."""
        if not self._is_waiting:
            self._run.log(reason)
        self._is_waiting, self._number, self._progress_at = True, 0, time.monotonic()
        self._run.sleep(_BUILD_PAUSE)
