"""Cancellation of long work, by the one exception that reports it; and work of which a process does one at a time.

Standard library only: the game host uses it without Django.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.2


class Cancelled(Exception):
    """The caller told the work to stop, and it did. What was done so far is kept and can be resumed.

    Raised by everything that takes a `cancelled` function; code in between lets it pass.
    """


def check(cancelled: Callable[[], bool]) -> None:
    """Raise Cancelled once `cancelled` returns true."""
    if cancelled():
        raise Cancelled("cancelled")


def pause(seconds: float, cancelled: Callable[[], bool]) -> None:
    """Wait; raises Cancelled within a moment of `cancelled` returning true."""
    deadline = time.monotonic() + seconds
    check(cancelled)
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _POLL_SECONDS))
        check(cancelled)


def skipped_while_active(work: Callable[[], None]) -> Callable[[], None]:
    """Let a call of `work` do nothing while another one is still active in this process, as for a periodic task."""
    active = threading.Lock()

    @functools.wraps(work)
    def call() -> None:
        if active.acquire(blocking=False):
            try:
                work()
            finally:
                active.release()

    return call
