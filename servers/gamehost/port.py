"""The port through which the application runs servers; `process` and `systemd` stand behind it.

The docstrings here are the law that the contract suite (`tests/contract.py`) holds both to. A runtime keeps
nothing in memory between calls and may be used from several threads: the files of a server, its processes or
its unit are the truth. Every call is idempotent: asking for what already is answers an outcome, not a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from servers.gamehost.spec import InstanceSpec, StopLimits


class RuntimeFault(Exception):
    """The machine did not do what was asked; the message is for the operator and ends with what was said."""


class MountFailed(RuntimeFault):
    """The server's tree could not be composed: a layer is missing or the kernel refuses."""


class LaunchFailed(RuntimeFault):
    """The tree stands, but the game could not be executed."""


class StopTimedOut(RuntimeFault):
    """Even KILL did not end the server within its limit."""


class Outcome(StrEnum):
    STARTED = "started"
    ALREADY_RUNNING = "already_running"
    STOPPED = "stopped"  # it ended after RCON quit or TERM
    KILLED = "killed"  # it had to be ended by KILL
    ALREADY_STOPPED = "already_stopped"
    DELETED = "deleted"
    ALREADY_DELETED = "already_deleted"


class State(StrEnum):
    UNKNOWN = "unknown"  # the runtime cannot tell: unreadable state, no answer from systemd
    STOPPED = "stopped"  # no process, and nobody asked for one since
    STARTING = "starting"  # being composed and executed; running says nothing about RCON yet
    RUNNING = "running"
    STOPPING = "stopping"
    CRASHED = "crashed"  # ended unasked; it comes back after a pause, or its supervisor died as well
    GAVE_UP = "gave_up"  # ended unasked too often; only a new start brings it back


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How the game last ended: a status, or the signal that ended it."""

    status: int | None
    signal: int | None
    at: datetime | None

    def __str__(self) -> str:
        return f"signal {self.signal}" if self.signal else f"status {self.status}"


@dataclass(frozen=True, kw_only=True)
class Observed:
    state: State
    pid: int | None = None  # of the game itself, as the host counts
    started_at: datetime | None = None  # of the present process
    last_exit: Exit | None = None
    restarts: int = 0  # unasked exits since the last asked start
    detail: str = ""  # words, when the state needs some
    is_abandoned: bool = False  # crashed, and nothing brings it back by itself
    last_lines: tuple[str, ...] = ()  # the last 50 log lines, when crashed or gave_up


@dataclass(frozen=True, kw_only=True)
class LogLine:
    text: str
    at: datetime | None
    cursor: str  # opaque: `follow` goes on after this line


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a server uses now; None where the machine does not tell."""

    cpu_seconds: float | None  # since the present start
    memory_bytes: int | None
    tasks: int | None
    disk_bytes: int | None  # of its own writable layer


class ServerRuntime(Protocol):
    def start(self, spec: InstanceSpec) -> Outcome:
        """Write the spec, compose the tree and execute the game; return once it is executing.

        Returns STARTED or ALREADY_RUNNING (also while it is between two restarts; the new spec then counts from
        the next start on). Two calls at once start one game. Forgets an earlier `gave_up`.
        Raises MountFailed or LaunchFailed, and then nothing of this start is left.
        """

    def stop(
        self,
        server_id: int,
        *,
        quit_game: Callable[[], None] | None = None,
        limits: StopLimits | None = None,
    ) -> Outcome:
        """End the game and keep it ended; return when no process and no mount of it is left.

        From the first moment the exit counts as asked for. Calls `quit_game` (RCON `quit`; its failure only means
        that it was not heard), waits, sends TERM, waits, sends KILL to everything the game started, waits.
        `limits` overrides those of the spec. Returns STOPPED, KILLED or ALREADY_STOPPED; raises StopTimedOut.
        """

    def kill(self, server_id: int) -> Outcome:
        """End everything of the server at once. Returns KILLED or ALREADY_STOPPED; raises StopTimedOut."""

    def observe(self, server_ids: Iterable[int]) -> dict[int, Observed]:
        """Look at all these servers in one pass. Every id asked for is in the answer; a server that cannot be
        read is UNKNOWN and takes nothing from the others. Never raises for a server."""

    def tail(self, server_id: int, *, lines: int = 200) -> list[LogLine]:
        """The last lines of the log, oldest first, over rotations and earlier starts; empty without a log."""

    def follow(
        self,
        server_id: int,
        *,
        cursor: str | None,
        on_lines: Callable[[list[LogLine]], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Hand on new lines in batches until `cancelled`; from the end of the log without a cursor.

        Goes on over restarts and rotations and while the server is stopped. A cursor that is no longer in
        the log starts at the oldest line there is.
        """

    def resources(self, server_ids: Iterable[int], *, with_disk: Collection[int] = ()) -> dict[int, Resources]:
        """What each server uses at this moment; Nones for what is not running or not told.

        Only the writable layers of those in `with_disk` are walked through: they may hold many files.
        """

    def delete(self, server_id: int, *, now: datetime) -> Outcome:
        """Remove the server's directory; a tar of its writable layer is kept for 7 days under `deleted/`.

        Returns DELETED or ALREADY_DELETED. Raises RuntimeFault while the server runs.
        """
