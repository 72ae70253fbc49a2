"""The port through which the application runs servers. Two runtimes implement it: `process` and `systemd`.

The docstrings here are the contract, and `tests/contract.py` checks both runtimes against it. A runtime keeps nothing
of a server in memory between calls and may be used from several threads and processes: the files of a server, and its
processes or its unit, are the truth. Every call is idempotent: when the wanted state exists already, it returns an
`Outcome` that says so and raises nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from servers.gamehost.spec import InstanceSpec, StopLimits


class RuntimeFault(Exception):
    """The machine did not do what was requested. The message is for the operator and ends with the error output."""


class MountFailed(RuntimeFault):
    """The server's tree could not be composed: a layer is missing or the kernel refused the mount."""


class LaunchFailed(RuntimeFault):
    """The tree is mounted, but the game could not be executed."""


class StopTimedOut(RuntimeFault):
    """The server did not end within its limit, not even after KILL."""


class Outcome(StrEnum):
    """The result of a call that changes a server."""

    STARTED = "started"
    ALREADY_RUNNING = "already_running"
    STOPPED = "stopped"  # it ended after RCON quit or TERM
    KILLED = "killed"  # it had to be ended by KILL
    ALREADY_STOPPED = "already_stopped"
    DELETED = "deleted"
    ALREADY_DELETED = "already_deleted"


class State(StrEnum):
    """The state of a server as the runtime observes it. `servers.models.Server.State` is the state that pages show."""

    UNKNOWN = "unknown"  # cannot be observed: unreadable state file, no answer from systemd
    STOPPED = "stopped"  # no process, and no start was requested since
    STARTING = "starting"  # being composed and executed
    RUNNING = "running"  # executing; RCON may not answer yet
    STOPPING = "stopping"
    CRASHED = "crashed"  # ended unasked; restarts after a pause, unless `is_abandoned`
    GAVE_UP = "gave_up"  # ended unasked too often; only a new start brings it back


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How the game last ended: an exit status, or the signal that ended it."""

    status: int | None
    signal: int | None
    at: datetime | None

    def __str__(self) -> str:
        """Such as “status 1” or “signal 11 (segmentation fault)”."""
        if not self.signal:
            return f"status {self.status}"
        words = signal.strsignal(self.signal) if self.signal < signal.NSIG else None
        return f"signal {self.signal} ({words.lower()})" if words else f"signal {self.signal}"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What one observation of a server found."""

    state: State
    pid: int | None = None  # of the game itself, in the host's pid namespace
    started_at: datetime | None = None  # of the present process
    last_exit: Exit | None = None
    restarts: int = 0  # restarts after unasked exits, since the last requested start
    starts_again_at: datetime | None = None  # of a crashed game; None also where the runtime does not know it
    detail: str = ""  # an explanation of the state, where one is needed
    is_abandoned: bool = False  # crashed, and nothing restarts it
    last_lines: tuple[str, ...] = ()  # the last 50 log lines, when crashed or gave_up


@dataclass(frozen=True, kw_only=True)
class LogLine:
    text: str
    at: datetime | None
    cursor: str  # opaque: `follow` continues after this line


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a server uses now; None where the machine does not report it."""

    cpu_seconds: float | None  # since the present start
    memory_bytes: int | None
    tasks: int | None
    disk_bytes: int | None  # of its own writable layer


class Watch(Protocol):
    """Receives progress and log lines of a long operation, and cancels it. A job's context implements it."""

    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None: ...

    def log(self, line: str) -> None: ...

    def cancelled(self) -> bool: ...


class Follower(Protocol):
    """Reads a log on. Not for several threads at once."""

    def read(self) -> list[LogLine]:
        """Return lines that are new since the last call, without waiting for any. There may be more of them.

        Raises RuntimeFault if the journal cannot be read.
        """

    def close(self) -> None:
        """Stop reading, and free what that takes."""


class ServerRuntime(Protocol):
    """Runs servers on this host.

    The life of a server in terms of `State`:

        STOPPED -> start -> STARTING -> RUNNING -> stop or kill -> STOPPING -> STOPPED
        RUNNING -> an exit that was not requested -> CRASHED -> restart after a pause -> STARTING
        CRASHED -> too many such exits -> GAVE_UP

    `start`, `stop`, `kill` and `delete` block until they are done, which takes seconds. They are safe to call again
    after the caller died in the middle: the second call continues or finds nothing left to do.
    """

    def start(self, spec: InstanceSpec) -> Outcome:
        """Write the spec, compose the tree, execute the game, and return once it is executing.

        1. Store `spec`. It replaces an older one even if the server runs already, and then counts from the next start.

        2. Return ALREADY_RUNNING if the server runs or is waiting for its next restart after a crash.

        3. Mount the layers and execute the game. Return STARTED as soon as the game is executing. It does not answer
           over RCON yet: callers that need this have to wait for it themselves.

        A server that had given up starts again, and its restarts are counted from 0.

        This method must be idempotent, also for concurrent calls: of two calls at once, one starts the game and
        returns STARTED, the other returns ALREADY_RUNNING.

        Raises MountFailed if the tree cannot be composed, and LaunchFailed if the game cannot be executed. In both
        cases no process and no mount of this start is left, and `observe` returns STOPPED.
        """

    def stop(
        self,
        server_id: int,
        *,
        quit_game: Callable[[], None] | None = None,
        limits: StopLimits | None = None,
    ) -> Outcome:
        """End the game, keep it ended, and return when no process and no mount of it is left.

        1. Return ALREADY_STOPPED if nothing runs. A crashed or given-up server then becomes STOPPED.

        2. Mark the next exit as requested, so that no restart follows it.

        3. Call `quit_game`, which sends `quit` over RCON, and wait for `quit_seconds`. Any exception of it only means
           that the game may not have received it: continue with step 4 at once.

        4. Send TERM and wait for `term_seconds`.

        5. Send KILL to every process that the game started, and wait for `kill_seconds`.

        `limits` replaces the time limits of the spec. Returns STOPPED if the game ended by step 3 or 4, and KILLED if
        it ended by KILL. `observe` then returns STOPPED.

        This method must be idempotent: called again after its caller died in the middle, it continues from the state
        that it finds.

        Raises StopTimedOut if processes are left after step 5.
        """

    def kill(self, server_id: int) -> Outcome:
        """End every process of the server at once, without asking the game, and keep it ended.

        Returns KILLED, or ALREADY_STOPPED if nothing runs; a crashed or given-up server then becomes STOPPED. This
        method must be idempotent.

        Raises StopTimedOut if processes are left after the spec's `kill_seconds`.
        """

    def observe(self, server_ids: Iterable[int]) -> dict[int, Observed]:
        """Observe all these servers in one pass, without changing anything.

        The result has an entry for every requested id. A server without a directory is STOPPED. A server whose state
        cannot be read is UNKNOWN, with the reason in `detail`, and does not affect the others. `systemd` returns
        UNKNOWN for all of them if systemd does not answer.

        Never raises because of a server.
        """

    def tail(self, server_id: int, *, lines: int = 200) -> list[LogLine]:
        """Return the last lines of the log, the oldest first, across rotations and earlier starts.

        Returns an empty list if there is no log. Raises RuntimeFault if the journal cannot be read.
        """

    def follow(self, server_id: int, *, cursor: str | None, on_news: Callable[[], None] = lambda: None) -> Follower:
        """Return a follower of the log, which the caller reads regularly and closes.

        Begins after the line of `cursor`, or at the end of the log without one. A cursor whose line is no longer in
        the log begins at the oldest line that is. Continues across restarts and rotations, and while the server is
        stopped. A runtime that is told of new lines calls `on_news`, from any thread.
        """

    def resources(self, server_ids: Iterable[int], *, with_disk: Collection[int] = ()) -> dict[int, Resources]:
        """Return what each server uses at this moment.

        The result has an entry for every requested id, with None for values of servers that do not run and for values
        that the machine does not report. The writable layers may hold many files: only those of the servers in
        `with_disk` are measured.

        Raises RuntimeFault if systemd does not answer.
        """

    def delete(self, server_id: int, *, now: datetime) -> Outcome:
        """Remove the server's directory, after packing its writable layer into an archive.

        The archive stays below `deleted/` for 7 days; `Storage.purge_deleted` removes it after that. Returns DELETED,
        or ALREADY_DELETED if there is no directory.

        This method must be idempotent: after a call that was cut off, the next one packs and removes the rest.

        Raises RuntimeFault if the server runs, in which case nothing was removed, or if files cannot be removed.
        """
