"""What the process runtime makes of a stored state, and how it ends a supervisor that is made up."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from left4me.core.processes import procfs
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.launcher import EXIT_ALREADY_RUNNING, EXIT_LAUNCH_FAILED, EXIT_MOUNT_FAILED
from servers.gamehost.port import Exit, LaunchFailed, MountFailed, Outcome, RuntimeFault, State, StopTimedOut
from servers.gamehost.process import console
from servers.gamehost.process import runtime as process_runtime
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.process.supervisor import Order
from servers.gamehost.runtime_base import exit_of, stop_limits
from servers.gamehost.spec import InstanceSpec, StopLimits

LIMITS = StopLimits(quit_seconds=1, term_seconds=2, kill_seconds=30)


@pytest.fixture
def runtime(tmp_path: Path) -> ProcessRuntime:
    return ProcessRuntime(root=tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> ServerDirectory:
    directory = ServerDirectory(tmp_path / "servers/1")
    directory.prepare()
    return directory


def store(directory: ServerDirectory, **changed: Any) -> None:
    alive = {"boot": procfs.boot_id(), "supervisor": procfs.named(os.getpid())}
    rest = {"init": None, "state": "running", "detail": "", "restarts": 2, "exit": None, "last_lines": []}
    directory.write_state({**alive, **rest, "started_at": 5.0, "starts_again_at": None, **changed})


DEAD = {"supervisor": None}
OTHER_BOOT = {"boot": "another"}


@pytest.mark.parametrize(
    ("changed", "state", "detail", "is_abandoned"),
    [
        ({}, State.RUNNING, "", False),
        ({"state": "crashed", "detail": "ended"}, State.CRASHED, "ended", False),
        (DEAD, State.CRASHED, "its supervisor was killed", True),
        ({**DEAD, "state": "stopping"}, State.STOPPED, "its supervisor was killed", False),
        ({**DEAD, "state": "stopped"}, State.STOPPED, "", False),
        ({**DEAD, "state": "gave_up", "detail": "crashed"}, State.GAVE_UP, "crashed", False),
        (OTHER_BOOT, State.STOPPED, "the machine was restarted", False),
        ({**OTHER_BOOT, "state": "gave_up"}, State.GAVE_UP, "", False),
    ],
)
def test_a_supervisor_that_is_dead_cannot_store_its_own_end(
    runtime: ProcessRuntime,
    directory: ServerDirectory,
    changed: dict[str, Any],
    state: State,
    detail: str,
    is_abandoned: bool,
):
    store(directory, **changed)
    seen = runtime.observe([1])[1]
    assert (seen.state, seen.detail, seen.is_abandoned, seen.restarts) == (state, detail, is_abandoned, 2)


def test_a_game_has_its_process_and_its_times(
    runtime: ProcessRuntime, directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process_runtime.overlay, "game_of", lambda init: init + 1)
    store(directory, init=procfs.named(os.getpid()), exit={"code": 139, "at": 7.0}, starts_again_at=9.0)
    seen = runtime.observe([1])[1]
    assert (seen.pid, seen.started_at) == (os.getpid() + 1, datetime.fromtimestamp(5, UTC))
    assert seen.last_exit == Exit(status=None, signal=11, at=datetime.fromtimestamp(7, UTC))
    assert seen.starts_again_at == datetime.fromtimestamp(9, UTC)
    store(directory, init=procfs.named(os.getpid()), starts_again_at=9.0, **DEAD)
    seen = runtime.observe([1])[1]
    assert (seen.pid, seen.started_at, seen.starts_again_at, seen.last_exit) == (None, None, None, None)


def test_a_crash_without_lines_has_those_of_the_log(runtime: ProcessRuntime, directory: ServerDirectory):
    console.Writer(directory.logs).feed(b"".join(f"{number}\n".encode() for number in range(60)))
    store(directory, state="crashed", last_lines=["of the state"])
    assert runtime.observe([1])[1].last_lines == ("of the state",)
    store(directory, **DEAD)
    assert runtime.observe([1])[1].last_lines == tuple(str(number) for number in range(10, 60))
    store(directory)
    assert runtime.observe([1])[1].last_lines == ()


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"state": "dancing", "detail": ""})])
def test_a_state_that_cannot_be_read_is_unknown(runtime: ProcessRuntime, directory: ServerDirectory, text: str):
    directory.state_file.write_text(text)
    seen = runtime.observe([1, 2])
    assert (seen[1].state, seen[2].state) == (State.UNKNOWN, State.STOPPED)
    assert seen[1].detail.startswith("the state file cannot be read: ")


def test_lines_have_their_times_where_they_have_one(runtime: ProcessRuntime, directory: ServerDirectory):
    (directory.logs / console.NAME).write_text("2026-01-02T03:04:05.678Z one\nnonsense two\n")
    one, two = runtime.tail(1)
    assert (one.text, one.at) == ("one", datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC))
    assert (two.text, two.at) == ("two", None)
    assert [line.text for line in runtime.tail(1, lines=1)] == ["two"]
    assert [line.text for line in runtime.follow(1, cursor=one.cursor).read()] == ["two"]  # type: ignore[attr-defined]


def test_figures_are_those_of_process_1_and_its_children(
    runtime: ProcessRuntime, directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(procfs, "usage", lambda pid: procfs.Usage(cpu_seconds=1.0, memory_bytes=2, tasks=3))
    (directory.upper / "file").write_bytes(b"x" * 10_000)
    store(directory, init=procfs.named(os.getpid()))
    used = runtime.resources([1, 2], with_disk=[1, 2])
    assert (used[1].cpu_seconds, used[1].memory_bytes, used[1].tasks) == (1.0, 2, 3)
    assert used[1].disk_bytes is not None and used[1].disk_bytes >= 10_000
    assert (used[2].cpu_seconds, used[2].memory_bytes, used[2].tasks, used[2].disk_bytes) == (None, None, None, None)
    store(directory)
    assert (runtime.resources([1])[1].tasks, runtime.resources([1])[1].disk_bytes) == (None, None)


def test_a_server_that_runs_is_not_deleted(runtime: ProcessRuntime, directory: ServerDirectory):
    store(directory)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(RuntimeFault, match="the server is running"):
        runtime.delete(1, now=now)
    store(directory, **DEAD)
    assert (runtime.delete(1, now=now), runtime.delete(1, now=now)) == (Outcome.DELETED, Outcome.ALREADY_DELETED)


def test_files_that_cannot_be_removed_are_a_fault(
    runtime: ProcessRuntime, directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch
):
    def refuse(server_id: int, *, now: datetime) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(runtime._storage, "delete", refuse)
    with pytest.raises(RuntimeFault, match=r"could not be removed: .*Input/output error"):
        runtime.delete(1, now=datetime(2026, 1, 1, tzinfo=UTC))


def test_limits_of_a_stop_are_those_of_the_spec_or_the_usual_ones(directory: ServerDirectory):
    assert stop_limits(directory) == StopLimits(quit_seconds=15, term_seconds=10, kill_seconds=10)
    directory.spec_file.write_text("{")
    assert stop_limits(directory) == StopLimits()
    directory.write_spec(spec(stop=LIMITS))
    assert stop_limits(directory) == LIMITS


@pytest.mark.parametrize(
    ("code", "status", "number"), [(0, 0, None), (128, 128, None), (129, None, 1), (255, None, 127)]
)
def test_a_code_of_a_launcher_says_status_or_signal(code: int, status: int | None, number: int | None):
    assert exit_of(code, 0.0) == Exit(status=status, signal=number, at=datetime.fromtimestamp(0, UTC))


def spec(**changes: Any) -> InstanceSpec:
    return InstanceSpec(server_id=1, argv=("./srcds_run",), layers=("/game",), port=27015, **changes)


@pytest.mark.parametrize(
    ("status", "fault"),
    [(0, None), (EXIT_ALREADY_RUNNING, None), (EXIT_MOUNT_FAILED, MountFailed), (EXIT_LAUNCH_FAILED, LaunchFailed)],
)
def test_a_start_is_what_the_supervisor_answers(
    runtime: ProcessRuntime,
    directory: ServerDirectory,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    fault: type[Exception] | None,
):
    monkeypatch.setattr(runtime._template, "start_supervisor", lambda path: (status, "no layer"))
    if fault is not None:
        with pytest.raises(fault, match="no layer"):
            runtime.start(spec())
    else:
        assert runtime.start(spec()) is (Outcome.ALREADY_RUNNING if status else Outcome.STARTED)
    store(directory)
    assert runtime.start(spec(stop=LIMITS)) is Outcome.ALREADY_RUNNING
    assert directory.read_spec().stop == LIMITS


class Ending:
    """A supervisor that ends after so many of the waits for it."""

    def __init__(self, directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pid = 4711
        self.orders: list[int] = []
        self.waits: list[float] = []
        self.ends_after = 1
        self._directory = directory
        monkeypatch.setattr(process_runtime._Supervisor, "of", self._of)

    @contextmanager
    def _of(self, directory: ServerDirectory) -> Iterator[Any]:
        yield self

    def order(self, number: int) -> None:
        self.orders.append(number)

    def is_exiting(self, directory: ServerDirectory) -> bool:
        return False

    def ends_within(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) >= self.ends_after


@pytest.fixture
def ending(directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch) -> Ending:
    store(directory, exit={"code": 0, "at": 1.0})
    return Ending(directory, monkeypatch)


HOLD, END, KILL = Order.HOLD, Order.END, Order.KILL


@pytest.mark.parametrize(
    ("ends_after", "orders", "waits", "outcome"),
    [
        (1, [HOLD], [1], Outcome.STOPPED),
        (2, [HOLD, END], [1, 2], Outcome.STOPPED),
        (3, [HOLD, END, KILL], [1, 2, 2], Outcome.KILLED),
        (4, [HOLD, END, KILL, signal.SIGKILL], [1, 2, 2, 30], Outcome.KILLED),
    ],
)
def test_a_stop_becomes_harder_step_by_step(
    runtime: ProcessRuntime,
    directory: ServerDirectory,
    ending: Ending,
    ends_after: int,
    orders: list[int],
    waits: list[float],
    outcome: Outcome,
):
    ending.ends_after = ends_after
    assert runtime.stop(1, quit_game=lambda: None, limits=LIMITS) is outcome
    assert (ending.orders, ending.waits) == (orders, waits)


def test_what_does_not_end_at_all_is_told(runtime: ProcessRuntime, ending: Ending):
    ending.ends_after = 99
    with pytest.raises(StopTimedOut, match="process 4711 could not be stopped"):
        runtime.kill(1)
    assert ending.waits == [2, 10]


def test_a_game_that_cannot_be_asked_is_not_waited_for(runtime: ProcessRuntime, ending: Ending):
    def deaf() -> None:
        raise OSError("no RCON")

    for quit_game in (deaf, None):
        ending.waits.clear()
        runtime.stop(1, quit_game=quit_game, limits=LIMITS)
        assert ending.waits == [2]


def test_a_game_that_was_killed_was_not_stopped(runtime: ProcessRuntime, directory: ServerDirectory, ending: Ending):
    store(directory, exit={"code": 137, "at": 1.0})
    assert runtime.stop(1, quit_game=lambda: None, limits=LIMITS) is Outcome.KILLED


def test_processes_that_hold_the_directory_are_waited_for(
    runtime: ProcessRuntime, directory: ServerDirectory, ending: Ending, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    lock = directory.try_lock()
    assert lock is not None

    def sleep(_seconds: float) -> None:
        now[0] += 4
        if now[0] == 8:
            os.close(lock)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    assert runtime.kill(1) is Outcome.KILLED
    assert (directory.read_state() or {})["state"] == "stopped"
    held = directory.try_lock()
    assert held is not None
    with pytest.raises(StopTimedOut, match="the server's processes could not be stopped"):
        runtime.kill(1)
    os.close(held)
    assert now[0] == 8 + 12, "ten seconds"


def test_nothing_that_runs_is_stopped_also_where_it_gave_up(runtime: ProcessRuntime, directory: ServerDirectory):
    assert runtime.stop(1) is runtime.kill(1) is Outcome.ALREADY_STOPPED
    assert not directory.state_file.exists()
    store(directory, state="gave_up", detail="crashed", last_lines=["x"], **DEAD)
    assert runtime.stop(1) is Outcome.ALREADY_STOPPED
    state = directory.read_state() or {}
    assert (state["state"], state["detail"], state["last_lines"], state["restarts"]) == ("stopped", "", [], 2)
