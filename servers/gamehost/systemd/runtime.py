"""The runtime of production: a unit `left4me-server@<id>.service` per server, its log in the journal.

The unit runs the launcher as the application's own user; polkit lets that user start and end these units only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from left4me.core.processes import commands, procfs
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.launcher import EXIT_ALREADY_RUNNING, EXIT_MOUNT_FAILED
from servers.gamehost.port import (
    Exit,
    Follower,
    LaunchFailed,
    LogLine,
    MountFailed,
    Observed,
    Outcome,
    Resources,
    RuntimeFault,
    State,
    StopTimedOut,
)
from servers.gamehost.process.console import LAST_LINES
from servers.gamehost.runtime_base import RuntimeBase, ask_to_quit, exit_of, stop_limits
from servers.gamehost.sandbox import overlay
from servers.gamehost.spec import InstanceSpec, StopLimits
from servers.gamehost.systemd import journal, units
from servers.gamehost.systemd.units import Unit

_LOOK_SECONDS: Final = 0.05


class SystemdRuntime(RuntimeBase):
    """Implements `port.ServerRuntime`. `root` must be the directory that the unit names."""

    def start(self, spec: InstanceSpec) -> Outcome:
        directory = self._storage.of(spec.server_id)
        directory.prepare()
        directory.write_spec(spec)
        # systemd merges two start jobs into one and reports success to both callers.
        with directory.starting():
            unit = units.show_one(spec.server_id)
            if unit.is_on:
                return Outcome.ALREADY_RUNNING
            directory.expect_end(expected=False)
            units.forget_failures(spec.server_id)
            try:
                units.manage("start", spec.server_id)
            except commands.CommandFailed as error:
                raise self._start_fault(spec.server_id, error) from error
        return Outcome.STARTED

    def stop(
        self,
        server_id: int,
        *,
        quit_game: Callable[[], None] | None = None,
        limits: StopLimits | None = None,
    ) -> Outcome:
        directory = self._storage.of(server_id)
        if not self._is_on(server_id):
            return self._settle_stopped(server_id)
        limits = limits or stop_limits(directory)
        directory.expect_end(expected=True)
        if quit_game is not None and ask_to_quit(quit_game):
            _off_within(server_id, limits.quit_seconds)
        # Also after a successful quit: it cancels a restart that systemd may have scheduled just before.
        units.manage("stop", server_id, block=False)
        if _off_within(server_id, limits.term_seconds):
            units.forget_failures(server_id)
            return Outcome.STOPPED
        return self._kill(server_id, limits.kill_seconds)

    def kill(self, server_id: int) -> Outcome:
        directory = self._storage.of(server_id)
        if not self._is_on(server_id):
            return self._settle_stopped(server_id)
        directory.expect_end(expected=True)
        return self._kill(server_id, stop_limits(directory).kill_seconds)

    def observe(self, server_ids: Iterable[int]) -> dict[int, Observed]:
        ids = list(server_ids)
        try:
            shown = units.show(ids)
        except commands.CommandError as error:
            return dict.fromkeys(ids, Observed(state=State.UNKNOWN, detail=f"systemd is not responding: {error}"))
        return {pk: self._interpret(pk, unit) for pk, unit in shown.items()}

    def tail(self, server_id: int, *, lines: int = 200) -> list[LogLine]:
        try:
            return journal.tail(units.name(server_id), lines)
        except commands.CommandError as error:
            raise RuntimeFault(f"the journal cannot be read: {error}") from error

    def follow(self, server_id: int, *, cursor: str | None, on_news: Callable[[], None] = lambda: None) -> Follower:
        return journal.Follower(units.name(server_id), cursor=cursor, on_news=on_news)

    def resources(self, server_ids: Iterable[int], *, with_disk: Collection[int] = ()) -> dict[int, Resources]:
        ids = list(server_ids)
        try:
            shown = units.show(ids)
        except commands.CommandError as error:
            raise RuntimeFault(f"systemd is not responding: {error}") from error
        return {pk: self._used(pk, unit, with_disk=pk in with_disk) for pk, unit in shown.items()}

    def _used(self, server_id: int, unit: Unit, *, with_disk: bool) -> Resources:
        # Without controllers a cgroup counts nothing; /proc still has the figures of its processes.
        usage = procfs.usage(unit.pid) if unit.pid is not None else None
        cpu, memory, tasks = (usage.cpu_seconds, usage.memory_bytes, usage.tasks) if usage else (None, None, None)
        return Resources(
            cpu_seconds=cpu if unit.cpu_seconds is None else unit.cpu_seconds,
            memory_bytes=memory if unit.memory is None else unit.memory,
            tasks=tasks if unit.tasks is None else unit.tasks,
            disk_bytes=self._used_bytes(server_id, with_disk=with_disk),
        )

    def _is_on(self, server_id: int) -> bool:
        return units.show_one(server_id).is_on

    def _start_fault(self, server_id: int, error: commands.CommandFailed) -> RuntimeFault:
        unit = units.show_one(server_id)
        messages = [line.text for line in journal.tail(units.name(server_id), 20) if line.text.startswith("left4me: ")]
        units.forget_failures(server_id)
        message = messages[-1].removeprefix("left4me: ") if messages else error.tail
        if unit.exit_status == EXIT_ALREADY_RUNNING:
            return LaunchFailed("the server's directory is in use by another process")
        return MountFailed(message) if unit.exit_status == EXIT_MOUNT_FAILED else LaunchFailed(message)

    def _settle_stopped(self, server_id: int) -> Outcome:
        """Nothing runs: reset a failed unit, which then counts as stopped."""
        units.forget_failures(server_id)
        return Outcome.ALREADY_STOPPED

    def _kill(self, server_id: int, seconds: float) -> Outcome:
        units.kill(server_id)
        units.manage("stop", server_id, block=False)
        if not _off_within(server_id, seconds):
            raise StopTimedOut(f"{units.name(server_id)} could not be stopped")
        units.forget_failures(server_id)
        return Outcome.KILLED

    def _interpret(self, server_id: int, unit: Unit) -> Observed:
        state = unit.state
        last_lines: tuple[str, ...] = ()
        if state in (State.CRASHED, State.GAVE_UP):
            try:
                last_lines = tuple(line.text for line in self.tail(server_id, lines=LAST_LINES))
            except RuntimeFault:
                last_lines = ()
        return Observed(
            state=state,
            pid=_game_of(unit.pid) if unit.pid else None,
            started_at=unit.started_at if state is State.RUNNING else None,
            last_exit=_last_exit(self._storage.of(server_id), unit),
            restarts=unit.restarts,
            detail=f"{unit.active_state} ({unit.sub_state}), {unit.result}" if last_lines else "",
            last_lines=last_lines,
        )


def _off_within(server_id: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while units.show_one(server_id).is_on:
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _game_of(launcher: int) -> int | None:
    """The launcher's child is process 1 of the sandbox, and the first child of that is the game."""
    init = next(iter(procfs.children(launcher)), None)
    return overlay.game_of(init) if init else None


def _last_exit(directory: ServerDirectory, unit: Unit) -> Exit | None:
    """The exit that the launcher stored; if the launcher itself was killed, only systemd knows it."""
    if unit.was_killed_by:
        return Exit(status=None, signal=unit.was_killed_by, at=unit.ended_at)
    stored = directory.read_exit()
    return None if stored is None else exit_of(*stored)
