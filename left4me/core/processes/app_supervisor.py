"""Runs the services of the application side by side: prefixes their output, restarts them, ends all together.

It has a single thread, so that it can fork what it runs, and knows nothing of the application itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen  # noqa: TID251 -- the type only; commands.start_piped makes it

from left4me.core.processes import commands, forks
from left4me.core.processes.forks import Body, Fork

_COLOURS = ("36", "32", "35", "33", "34", "31")
# What a pipe that can be written takes without blocking.
_PIECE = select.PIPE_BUF
_STOP_SECONDS = 4.0
_LONGEST_PAUSE = 8.0
_STEADY_SECONDS = 60.0


@dataclass
class Service:
    """A program that is kept running. Services with `last` are ended after all others have ended.

    `find` returns its command at each start, so that a program that moved is found. It may raise CommandMissing. With
    `body` instead, the program is this function in a fork of the supervisor, of which each start makes a new one.
    """

    name: str
    find: Callable[[], list[str]] | None = None
    body: Body | None = None
    last: bool = False
    process: Popen[bytes] | Fork | None = None
    started_at: float = 0.0
    falls: int = 0
    due_at: float | None = None
    partial: bytes = field(default=b"", repr=False)


class Supervisor:
    """Starts services, relays their lines, and on SIGINT or SIGTERM ends them all within a few seconds."""

    def __init__(self, *, cwd: Path, env: Mapping[str, str], out: int | None = None) -> None:
        """`out` is the descriptor for the lines; by default that of stdout, if there is one."""
        self._cwd = cwd
        self._env = dict(env)
        self._out = sys.stdout.fileno() if out is None and sys.stdout is not None else out
        self._colour = self._out is not None and os.isatty(self._out) and "NO_COLOR" not in os.environ
        self._unsaid = 0
        self._services: list[Service] = []
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def listen_to_signals(self) -> None:
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = True
        os.write(self._wake_write, b"x")

    @property
    def stopping(self) -> bool:
        return self._stopping

    def start(self, service: Service) -> None:
        """Start `service` and keep it running, unless all shall end; CommandMissing if its program does not exist."""
        if not self._stopping:
            self._services.append(service)
            self._launch(service)

    def run(self, *, each_turn: Callable[[], None] | None = None) -> None:
        """Relay and restart until a signal comes; `each_turn` is called about four times a second."""
        while not self._stopping:
            self._relay(0.25)
            self._restart_due()
            if each_turn is not None:
                each_turn()

    def wait_until(self, condition: Callable[[], bool], *, seconds: float, restarts: bool = False) -> bool:
        """Relay lines until `condition` holds; False when it does not in time or a signal came.

        False also when a service fell, unless `restarts` says that those are started again meanwhile.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stopping:
            if condition():
                return True
            self._relay(0.05)
            if restarts:
                self._restart_due()
            elif any(s.process is None for s in self._services):
                return False
        return False

    def stop(self) -> None:
        """End every service: TERM to its group, KILL after a few seconds; those marked `last` come last."""
        self._stopping = True
        for last in (False, True):
            group = [s for s in self._services if s.last is last and s.process is not None]
            for service in group:
                self._signal(service, signal.SIGTERM)
            deadline = time.monotonic() + (_STOP_SECONDS if not last else 1.0)
            while any(s.process is not None for s in group) and time.monotonic() < deadline:
                self._relay(0.05)
            for service in group:
                # Also after a clean end: what a service left behind in its group is not left running.
                self._signal(service, signal.SIGKILL)
            self._relay(0)

    def say(self, text: str, *, name: str = "left4me") -> None:
        """Print a line if that is possible at once.

        A closed pipe, a full disk or a reader that reads no more costs lines, and must not stop the services.
        """
        if self._unsaid and self._print(self._line("left4me", f"{self._unsaid} lines could not be printed")):
            self._unsaid = 0
        if self._unsaid or not self._print(self._line(name, text)):
            self._unsaid += 1

    def _line(self, name: str, text: str) -> bytes:
        head = f"{name:>7} | "
        if self._colour:
            names = ["left4me", *(s.name for s in self._services)]
            code = _COLOURS[names.index(name) % len(_COLOURS)] if name in names else "0"
            head = f"\x1b[{code}m{name:>7} │\x1b[0m "
        return f"{head}{text}\n".encode("utf-8", "replace")

    def _print(self, line: bytes) -> bool:
        if self._out is None:
            return False
        room = select.poll()
        room.register(self._out, select.POLLOUT)
        try:
            while line:
                if not room.poll(0):
                    return False
                line = line[os.write(self._out, line[:_PIECE]) :]
        except OSError:
            return False
        return True

    def _launch(self, service: Service) -> None:
        process = self._start_process(service)
        assert process.stdout is not None  # noqa: S101 -- both always make a pipe
        os.set_blocking(process.stdout.fileno(), False)
        service.process, service.started_at, service.due_at = process, time.monotonic(), None
        self._selector.register(process.stdout, selectors.EVENT_READ, service)

    def _start_process(self, service: Service) -> Popen[bytes] | Fork:
        if service.body is not None:
            return forks.start(service.body, name=f"left4me-{service.name}")
        assert service.find is not None  # noqa: S101 -- a service has one of the two
        return commands.start_piped(service.find(), cwd=self._cwd, env=self._env)

    def _relay(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                os.read(self._wake_read, 100)
                continue
            self._read(key.data)
        for service in self._services:
            if service.process is not None and service.process.poll() is not None:
                self._ended(service)

    def _read(self, service: Service) -> bool:
        process = service.process
        if process is None or process.stdout is None:
            return False
        try:
            chunk = os.read(process.stdout.fileno(), 65_536)
        except BlockingIOError:
            return False
        *lines, service.partial = (service.partial + chunk).split(b"\n")
        for line in lines:
            self.say(line.decode("utf-8", "replace"), name=service.name)
        return bool(chunk)

    def _ended(self, service: Service) -> None:
        process = service.process
        if process is None or process.stdout is None:
            return
        while self._read(service):
            pass
        if service.partial:
            self.say(service.partial.decode("utf-8", "replace"), name=service.name)
            service.partial = b""
        self._selector.unregister(process.stdout)
        process.stdout.close()
        service.process = None
        if self._stopping:
            return
        if time.monotonic() - service.started_at > _STEADY_SECONDS:
            service.falls = 0
        self._start_later(service, f"{service.name} ended with status {process.returncode}")

    def _start_later(self, service: Service, why: str) -> None:
        pause = min(2.0**service.falls, _LONGEST_PAUSE)
        service.falls += 1
        service.due_at = time.monotonic() + pause
        self.say(f"{why}; starting it again in {pause:g} s.")

    def _restart_due(self) -> None:
        now = time.monotonic()
        for service in self._services:
            if service.process is None and service.due_at is not None and now >= service.due_at:
                try:
                    self._launch(service)
                # Its program is being replaced by an upgrade of packages, or the machine is short of something.
                except (commands.CommandMissing, OSError) as error:
                    self._start_later(service, f"{service.name} cannot be started: {error}")

    @staticmethod
    def _signal(service: Service, number: signal.Signals) -> None:
        if service.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(service.process.pid, number)
