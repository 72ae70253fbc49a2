"""The runtime without a service manager: one supervisor process per server. Needs neither root nor systemd."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from left4me.core.processes import procfs
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.launcher import EXIT_ALREADY_RUNNING, EXIT_MOUNT_FAILED
from servers.gamehost.port import (
    Follower,
    LaunchFailed,
    LogLine,
    MountFailed,
    Observed,
    Outcome,
    Resources,
    State,
    StopTimedOut,
)
from servers.gamehost.process import console
from servers.gamehost.process.supervisor import Order
from servers.gamehost.process.template import Template
from servers.gamehost.runtime_base import RuntimeBase, ask_to_quit, exit_of, stop_limits
from servers.gamehost.sandbox import cgroup, overlay
from servers.gamehost.spec import InstanceSpec, StopLimits

_PROJECT: Final = Path(__file__).resolve().parents[3]
_KILL_GRACE_SECONDS: Final = 2


class ProcessRuntime(RuntimeBase):
    """Implements `port.ServerRuntime` below `root`. `python` runs the supervisors, in the directory `project`.

    `limits_in` is a directory of cgroup v2 that was delegated to this user; servers then get their limits there.
    """

    def __init__(
        self, *, root: Path, python: str = sys.executable, project: Path = _PROJECT, limits_in: Path | None = None
    ) -> None:
        super().__init__(root=root)
        # Nothing of the worker's environment (secrets, proxies) is passed to a process that runs beside a game.
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        if limits_in is not None:
            environment[cgroup.VARIABLE] = str(limits_in)
        self._template = Template(python=python, project=project, servers=root / "servers", environment=environment)

    def start(self, spec: InstanceSpec) -> Outcome:
        directory = self._storage.of(spec.server_id)
        directory.prepare()
        directory.write_spec(spec)
        # One whose game has ended may not have exited yet: the new supervisor waits for it.
        if directory.is_managed():
            return Outcome.ALREADY_RUNNING
        status, message = self._template.start_supervisor(directory.path)
        if status == EXIT_ALREADY_RUNNING:
            return Outcome.ALREADY_RUNNING
        if status == EXIT_MOUNT_FAILED:
            raise MountFailed(message)
        if status != 0:
            raise LaunchFailed(message)
        return Outcome.STARTED

    def stop(
        self,
        server_id: int,
        *,
        quit_game: Callable[[], None] | None = None,
        limits: StopLimits | None = None,
    ) -> Outcome:
        directory = self._storage.of(server_id)
        with _Supervisor.of(directory) as supervisor:
            if supervisor is None or supervisor.is_exiting(directory):
                return _settle_stopped(directory)
            limits = limits or stop_limits(directory)
            # From here on the supervisor does not restart the game, whatever ends it.
            supervisor.order(Order.HOLD)
            if quit_game is not None and ask_to_quit(quit_game) and supervisor.ends_within(limits.quit_seconds):
                return _how_it_ended(directory)
            supervisor.order(Order.END)
            if supervisor.ends_within(limits.term_seconds):
                return _how_it_ended(directory)
            return _kill(supervisor, directory, limits.kill_seconds)

    def kill(self, server_id: int) -> Outcome:
        directory = self._storage.of(server_id)
        with _Supervisor.of(directory) as supervisor:
            if supervisor is None or supervisor.is_exiting(directory):
                return _settle_stopped(directory)
            return _kill(supervisor, directory, stop_limits(directory).kill_seconds)

    def observe(self, server_ids: Iterable[int]) -> dict[int, Observed]:
        return {server_id: _observe(self._storage.of(server_id)) for server_id in server_ids}

    def tail(self, server_id: int, *, lines: int = 200) -> list[LogLine]:
        return _log_lines(console.tail(self._storage.of(server_id).logs, lines))

    def follow(self, server_id: int, *, cursor: str | None, on_news: Callable[[], None] = lambda: None) -> Follower:
        return _LogFollower(self._storage.of(server_id).logs, cursor)

    def resources(self, server_ids: Iterable[int], *, with_disk: Collection[int] = ()) -> dict[int, Resources]:
        return {server_id: self._used(server_id, with_disk=server_id in with_disk) for server_id in server_ids}

    def _used(self, server_id: int, *, with_disk: bool) -> Resources:
        state = _read(self._storage.of(server_id))
        init = procfs.same(state.get("init")) if state else None
        usage = procfs.usage(init) if init is not None else None
        return Resources(
            cpu_seconds=usage.cpu_seconds if usage else None,
            memory_bytes=usage.memory_bytes if usage else None,
            tasks=usage.tasks if usage else None,
            disk_bytes=self._used_bytes(server_id, with_disk=with_disk),
        )

    def _is_on(self, server_id: int) -> bool:
        return self._storage.of(server_id).living_supervisor() is not None


class _LogFollower(console.Follower):
    def read(self) -> list[LogLine]:
        return _log_lines(self.stored())


class _Supervisor:
    """A running supervisor, held by a pidfd, so that no signal reaches another process with a reused pid."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @staticmethod
    @contextlib.contextmanager
    def of(directory: ServerDirectory) -> Iterator[_Supervisor | None]:
        pid = directory.living_supervisor()
        try:
            pidfd = None if pid is None else os.pidfd_open(pid)
        except ProcessLookupError:
            pidfd = None
        if pid is None or pidfd is None:
            yield None
            return
        try:
            # It may have ended, and its pid been reused, between the check and the open.
            yield _Supervisor(pid, pidfd) if directory.living_supervisor() == pid else None
        finally:
            os.close(pidfd)

    def order(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def is_exiting(self, directory: ServerDirectory) -> bool:
        """Whether it has stored its final state, and only its process is still ending: nothing is left to stop."""
        state = _read(directory) or {}
        return state.get("state") in (State.STOPPED, State.GAVE_UP) and self.ends_within(_KILL_GRACE_SECONDS)

    def ends_within(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def _kill(supervisor: _Supervisor, directory: ServerDirectory, seconds: float) -> Outcome:
    supervisor.order(Order.KILL)
    if not supervisor.ends_within(min(seconds, _KILL_GRACE_SECONDS)):
        # It does not react. Process 1 of the sandbox ends with it, and with that everything else.
        supervisor.order(signal.SIGKILL)
        if not supervisor.ends_within(seconds):
            raise StopTimedOut(f"process {supervisor.pid} could not be stopped")
    return _wait_until_free(directory, seconds)


def _wait_until_free(directory: ServerDirectory, seconds: float) -> Outcome:
    """Wait for the lock of the directory. Supervisor and process 1 hold it: once it is free, nothing is left."""
    deadline = time.monotonic() + seconds
    while (lock := directory.try_lock()) is None:
        if time.monotonic() > deadline:
            raise StopTimedOut("the server's processes could not be stopped")
        time.sleep(0.02)
    try:
        _mark_stopped(directory)
    finally:
        os.close(lock)
    return Outcome.KILLED


def _settle_stopped(directory: ServerDirectory) -> Outcome:
    """Nothing runs: store STOPPED, also over CRASHED and GAVE_UP."""
    lock = directory.try_lock() if directory.state_file.exists() else None
    if lock is not None:
        try:
            _mark_stopped(directory)
        finally:
            os.close(lock)
    return Outcome.ALREADY_STOPPED


def _mark_stopped(directory: ServerDirectory) -> None:
    state = _read(directory)
    if state and state.get("state") != State.STOPPED:
        directory.write_final_state({**state, "state": State.STOPPED.value, "detail": "", "last_lines": []})


def _how_it_ended(directory: ServerDirectory) -> Outcome:
    state = _read(directory) or {}
    killed = (state.get("exit") or {}).get("code") == 128 + signal.SIGKILL
    return Outcome.KILLED if killed else Outcome.STOPPED


def _read(directory: ServerDirectory) -> dict[str, Any] | None:
    try:
        return directory.read_state()
    except (OSError, ValueError):
        return None


def _observe(directory: ServerDirectory) -> Observed:
    try:
        state = directory.read_state()
        observed = Observed(state=State.STOPPED) if state is None else _interpret(state)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Observed(state=State.UNKNOWN, detail=f"the state file cannot be read: {error}")
    if observed.state is State.CRASHED and not observed.last_lines:
        lines = console.tail(directory.logs, console.LAST_LINES)
        observed = replace(observed, last_lines=tuple(text for text, _, _ in lines))
    return observed


def _interpret(stored: dict[str, Any]) -> Observed:
    """The state that the supervisor stored last, corrected if it is dead: it cannot store its own end."""
    state, detail = State(stored["state"]), stored["detail"]
    alive = stored["boot"] == procfs.boot_id() and procfs.same(stored["supervisor"]) is not None
    # A dead supervisor leaves the state behind that it had: after a reboot nothing runs, otherwise it was killed.
    if not alive and state not in (State.STOPPED, State.GAVE_UP):
        rebooted = stored["boot"] != procfs.boot_id()
        state = State.STOPPED if rebooted or state is State.STOPPING else State.CRASHED
        detail = "the machine was restarted" if rebooted else "its supervisor was killed"
    init = procfs.same(stored["init"]) if alive else None
    ended = stored["exit"]
    return Observed(
        state=state,
        pid=overlay.game_of(init) if init is not None else None,
        started_at=_moment(stored.get("started_at")) if init is not None else None,
        last_exit=exit_of(ended["code"], ended["at"]) if ended else None,
        restarts=stored["restarts"],
        starts_again_at=_moment(stored.get("starts_again_at")) if alive else None,
        detail=detail,
        is_abandoned=state is State.CRASHED and not alive,
        last_lines=tuple(stored["last_lines"]),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _log_lines(stored: list[console.Stored]) -> list[LogLine]:
    lines = []
    for text, stamp, cursor in stored:
        try:
            at = datetime.fromisoformat(stamp)
        except ValueError:
            at = None
        lines.append(LogLine(text=text, at=at, cursor=cursor))
    return lines
