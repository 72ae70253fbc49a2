"""Cancellation of long work: the one exception that reports it, and a pause that ends with it.

Standard library only: the game host uses it without Django.
"""

from __future__ import annotations

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
