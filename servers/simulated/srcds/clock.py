"""Game time, which tests can run faster than real time, and its timers."""

from __future__ import annotations

import heapq
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


_SLOWEST, _FASTEST = 0.001, 1e6
_LONGEST_RUN_SECONDS = 0.05


class Clock:
    """Seconds of game time since the start, and the wall time of the simulated world."""

    def __init__(self) -> None:
        self.speed = 1.0
        self._epoch = time.time()
        self._base_game = 0.0
        self._base_real = time.monotonic()

    def now(self) -> float:
        return self._base_game + (time.monotonic() - self._base_real) * self.speed

    def wall(self, at: float) -> float:
        """The simulated date, in seconds since 1970, at game time `at`."""
        return self._epoch + at

    def slip(self, to: float) -> None:
        """Continue from game time `to`: time that the machine could not keep up with is lost."""
        self._base_game, self._base_real = to, time.monotonic()

    def set_speed(self, speed: float) -> None:
        self._base_game, self._base_real = self.now(), time.monotonic()
        self.speed = max(_SLOWEST, min(speed, _FASTEST))


class Timer:
    """An action at a time; `cancel` removes it."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Timers:
    """Timers in order of game time.

    While an action runs, `now()` is the moment it was due, not the later moment the loop came round to it: so a
    seeded script gives the same history on an idle and on a loaded machine.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._frozen: float | None = None

    def now(self) -> float:
        return self.clock.now() if self._frozen is None else self._frozen

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(self.now() + max(0.0, seconds), action)
        self._count += 1
        heapq.heappush(self._heap, (timer.due, self._count, timer))
        return timer

    def run_due(self) -> None:
        limit = self.clock.now()
        started = time.monotonic()
        try:
            while self._heap and self._heap[0][0] <= limit:
                due, _, timer = heapq.heappop(self._heap)
                if timer.action is not None:
                    self._frozen = due
                    timer.action()
                if time.monotonic() - started > _LONGEST_RUN_SECONDS:
                    # Driven faster than the machine is: the network gets its turn, and game time its own pace.
                    self.clock.slip(due)
                    return
        finally:
            self._frozen = None

    def pause(self) -> float | None:
        """Real seconds until the next timer is due, None without one."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        if not self._heap:
            return None
        return max(0.0, (self._heap[0][0] - self.clock.now()) / self.clock.speed)
