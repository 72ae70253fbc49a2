"""The parent: it accepts connections, passes each to the process with the fewest open ones, and replaces processes.

It runs neither threads nor an event loop, and connects to nothing: what it has is inherited by every process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from left4me.core.web.processes import channel
from left4me.core.web.processes.channel import ChildEnd, Closed, ParentEnd, Report
from left4me.core.web.processes.counts import figures

log = logging.getLogger(__name__)

_TICK: Final = 1.0
# Where no process can take what was accepted, or an order to end.
_SOON: Final = 0.05
_ACCEPTED_AT_ONCE: Final = 64
# A process reports every second. One that is silent gets no further connections at first, and is replaced at last.
_SILENT_TICKS: Final = 5
_STUCK_TICKS: Final = 60
# A process that lived this long ended for a reason of its own, and the next one is started at once.
_STEADY_SECONDS: Final = 60.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
# The processes end within 11 seconds by themselves, and the unit's TimeoutStopSec is 15.
_SECONDS_TO_END: Final = 13.0
# Makes a process print where it is stuck; see left4me/web.py.
SHOW_STACKS: Final = signal.SIGUSR2


@dataclass(eq=False)
class _Process:
    number: int
    pid: int
    channel: ParentEnd
    started_at: float
    given: int = 0
    given_last: int = 0
    report: Report | None = None
    silent_ticks: int = 0
    was_told_to_end: bool = False
    # Copies of the connections that it was given and has not taken.
    waiting: deque[socket.socket] = field(default_factory=deque)

    @property
    def open(self) -> int:
        return self.given - (self.report.closed if self.report else 0)

    def takes_connections(self, silent_ticks: int) -> bool:
        return self.report is not None and not self.report.is_leaving and self.silent_ticks < silent_ticks


@dataclass
class _Place:
    """One of the processes that there should be; `process` is None until `due_at`."""

    number: int
    process: _Process | None = None
    due_at: float = 0.0
    short_lives: int = 0


class Parent:
    """Serves `listening` by so many processes. `forget(number)` is called after a process has ended."""

    def __init__(
        self,
        listening: Sequence[socket.socket],
        processes: int,
        *,
        forget: Callable[[int], None],
        silent_ticks: int = _SILENT_TICKS,
        stuck_ticks: int = _STUCK_TICKS,
    ) -> None:
        self._listening = list(listening)
        self._places = [_Place(number) for number in range(processes)]
        self._forget = forget
        self._silent_ticks = silent_ticks
        self._stuck_ticks = stuck_ticks
        self._selector = selectors.DefaultSelector()
        self._accepts = False
        # Accepted, and no process could take them yet.
        self._held: deque[socket.socket] = deque()
        self._given = 0
        self._ends_at: float | None = None
        self._tick_at = 0.0

    def run(self) -> tuple[int, ChildEnd] | None:
        """Start the processes, and serve until SIGTERM or SIGINT.

        Like `fork`, this returns in every process: with its number and its channel in those that serve, and None in
        the parent, after all have ended.
        """
        self._listen_to_signals()
        self._tick_at = time.monotonic() + _TICK
        for listening in self._listening:
            listening.setblocking(False)
        while True:
            if self._ends_at is None:
                for place in self._places:
                    if place.process is None and time.monotonic() >= place.due_at:
                        started = self._start(place)
                        if started is not None:
                            return place.number, started
            elif not self._processes:
                break
            self._turn()
        self._close()
        return None

    @property
    def _processes(self) -> list[_Process]:
        return [place.process for place in self._places if place.process is not None]

    def _turn(self) -> None:
        self._accept_while_somebody_serves()
        for key, _ in self._selector.select(self._pause()):
            key.data()
        self._reap()
        while self._held and self._give(self._held[0]):
            self._held.popleft()
        if time.monotonic() >= self._tick_at:
            self._tick_at = time.monotonic() + _TICK
            self._look_for_stuck()
        if self._ends_at is not None:
            self._order_end()

    def _pause(self) -> float:
        if self._held or self._ends_at is not None:
            return _SOON
        due = [place.due_at for place in self._places if place.process is None]
        return max(0.0, min([self._tick_at, *due]) - time.monotonic())

    # --- signals ---

    def _listen_to_signals(self) -> None:
        self._signals, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._begin_end)
        # Only wakes the parent up, which then looks which process has ended.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._selector.register(self._signals, selectors.EVENT_READ, self._read_signals)

    def _read_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._signals, 4096)

    def _begin_end(self, number: int, frame: object) -> None:
        if self._ends_at is None:
            self._ends_at = time.monotonic() + _SECONDS_TO_END

    # --- processes ---

    def _start(self, place: _Place) -> ChildEnd | None:
        """Fork a process; returns its end of the channel there, and None in the parent."""
        ours, theirs = channel.pair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._leave_to_parent()
            return theirs
        theirs.close()
        process = _Process(place.number, pid, ours, started_at=time.monotonic())
        place.process = process
        figures.started()
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._read_reports(process))
        return None

    def _leave_to_parent(self) -> None:
        """In a new process, close what belongs to the parent and to the other processes."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for process in self._processes:
            process.channel.close()
            for connection in process.waiting:
                connection.close()
        self._close()

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._signals)
        os.close(self._wake)
        for each in (*self._listening, *self._held):
            each.close()

    def _reap(self) -> None:
        for place in self._places:
            process = place.process
            if process is None:
                continue
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                place.process = None
                self._bury(process)
                if self._ends_at is None:
                    self._plan_next(place, process, status)

    def _bury(self, process: _Process) -> None:
        """Take back what a process that has ended was given and had not taken."""
        self._read_reports(process)
        self._stop_reading(process)
        process.channel.close()
        self._held.extend(process.waiting)
        self._forget(process.number)
        figures.ended()

    def _plan_next(self, place: _Place, process: _Process, status: int) -> None:
        figures.replaced()
        lived = time.monotonic() - process.started_at
        place.short_lives = place.short_lives + 1 if lived < _STEADY_SECONDS else 0
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (place.short_lives - 2)) if place.short_lives > 1 else 0.0
        place.due_at = time.monotonic() + pause
        code = os.waitstatus_to_exitcode(status)
        why = f"signal {-code}" if code < 0 else f"status {code}"
        log.error(
            "Process %d of the web (pid %d) ended with %s. Another one starts in %.0f s.",
            process.number + 1,
            process.pid,
            why,
            pause,
        )

    def _look_for_stuck(self) -> None:
        for process in self._processes:
            process.silent_ticks += 1
            # Counted in turns of this process, so that a machine that stood still is not held against the others.
            if process.silent_ticks == self._stuck_ticks:
                log.error(
                    "Process %d of the web (pid %d) has not reported for %d s and is replaced. What it does:",
                    process.number + 1,
                    process.pid,
                    self._stuck_ticks,
                )
                os.kill(process.pid, SHOW_STACKS)
            elif process.silent_ticks > self._stuck_ticks:
                os.kill(process.pid, signal.SIGKILL)

    def _order_end(self) -> None:
        assert self._ends_at is not None  # noqa: S101 -- the caller's condition
        is_late = time.monotonic() >= self._ends_at
        for process in self._processes:
            if is_late:
                log.error("Process %d of the web (pid %d) did not end in time", process.number + 1, process.pid)
                os.kill(process.pid, signal.SIGKILL)
            elif not self._held and not process.was_told_to_end:
                process.was_told_to_end = process.channel.order_end()

    # --- connections ---

    def _accept_while_somebody_serves(self) -> None:
        """Accept nothing that nobody could take: the kernel keeps it, for these processes or for the next web."""
        accepts = self._ends_at is None and not self._held and self._choose() is not None
        if accepts == self._accepts:
            return
        self._accepts = accepts
        for listening in self._listening:
            if accepts:
                self._selector.register(listening, selectors.EVENT_READ, lambda of=listening: self._accept(of))
            else:
                self._selector.unregister(listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._ends_at is not None or self._held:
                return
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                log.warning("Could not accept a connection: %s", error)
                time.sleep(_SOON)
                return
            if not self._give(connection):
                self._held.append(connection)

    def _give(self, connection: socket.socket) -> bool:
        chosen = self._choose()
        if chosen is None or not chosen.channel.give(connection):
            return False
        self._given += 1
        chosen.given += 1
        chosen.given_last = self._given
        # Kept until the process has taken it: one that dies before loses nothing.
        chosen.waiting.append(connection)
        return True

    def _choose(self) -> _Process | None:
        """The process with the fewest open connections; of equals, the one that has waited longest for one."""
        able = [each for each in self._processes if each.takes_connections(self._silent_ticks)]
        return min(able, key=lambda each: (each.open, each.given_last), default=None)

    def _read_reports(self, process: _Process) -> None:
        try:
            for report in process.channel.reports():
                before = process.report.taken if process.report else 0
                for _ in range(report.taken - before):
                    process.waiting.popleft().close()
                process.report, process.silent_ticks = report, 0
        except Closed:
            # It ends: SIGCHLD says so too, but maybe later than the next connection.
            self._stop_reading(process)
        if process.report is not None and process.report.is_leaving:
            self._held.extend(process.waiting)
            process.waiting.clear()

    def _stop_reading(self, process: _Process) -> None:
        if process.report is not None:
            process.report = Report(process.report.taken, process.report.closed, is_leaving=True)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(process.channel)
