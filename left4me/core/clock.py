"""Steps of the machine's clock: a correction by minutes or hours, which no measured time may contain."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

# Clocks are slewed by less, and rows are written a moment after their time was read.
LEAST_STEP_SECONDS: Final = 2.0
# A stored time that lies further ahead was written while the clock was wrong.
AHEAD: Final = timedelta(minutes=1)


def since_boot() -> float:
    """Seconds since the machine was started, also while it slept. No correction of the clock changes them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Watch:
    """Notices when the clock was set."""

    def __init__(self) -> None:
        self._difference = time.time() - since_boot()

    def step(self) -> float:
        """The seconds by which the clock was set since the last call; negative if it was set back, 0 if it was not."""
        difference = time.time() - since_boot()
        step, self._difference = difference - self._difference, difference
        return step if abs(step) >= LEAST_STEP_SECONDS else 0.0


def in_words(step: float) -> str:
    """Such as “set back by 600 s”."""
    return f"set {'back' if step < 0 else 'forward'} by {abs(step):.0f} s"
