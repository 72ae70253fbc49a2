"""What the launcher says and decides; real starts are in the contract of the runtimes."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servers.gamehost import launcher
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.launcher import Launched
from servers.gamehost.port import LaunchFailed, MountFailed
from servers.gamehost.sandbox import cgroup
from servers.gamehost.spec import InstanceSpec, Limits, RestartPolicy, StopLimits

SPEC = InstanceSpec(server_id=7, argv=("./srcds_run",), layers=("/a", "/b"), port=27015, limits=Limits(tasks=5))


@pytest.mark.parametrize(
    ("facts", "has_cgroups", "told"),
    [
        ({}, False, ""),
        ({"can_trace": True, "limited": True}, True, ""),
        ({"network_confined": False}, False, "; this kernel cannot restrict the game's outgoing ports"),
        ({"can_trace": False}, False, "; this host does not allow ptrace, so crash reporters write nothing"),
        ({"limited": False}, True, "; no cgroup is available, so memory is limited only per process"),
        ({"limited": False}, False, ""),
    ],
)
def test_the_story_of_a_start_names_what_the_kernel_does_not_do(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, bool], has_cgroups: bool, told: str
):
    monkeypatch.setattr(cgroup, "parent", lambda: Path("/sys/fs/cgroup/x") if has_cgroups else None)
    facts = {"composed_by": "fsconfig", "network_confined": True, **facts}  # type: ignore[dict-item]
    assert launcher._story(SPEC, facts, 0.0126) == f"2 layers combined by fsconfig in 13 ms{told}"


def test_process_1_is_released_under_its_limits(monkeypatch: pytest.MonkeyPatch):
    placed: list[Any] = []
    monkeypatch.setattr(cgroup, "place", lambda pid, **options: bool(placed.append((pid, options))) or True)
    reader, writer = os.pipe()
    report = io.StringIO('{"init": 12}\n{"composed_by": "fuse"}\n{"words": "no"}\n')
    facts = launcher._accompany(report, writer, SPEC)
    assert facts == {"init": 12, "limited": True, "composed_by": "fuse", "words": "no"}
    assert placed == [(12, {"server_id": 7, "limits": SPEC.limits})]
    assert os.read(reader, 5) == b"g"
    assert launcher._accompany(io.StringIO(), writer, SPEC) == {}
    os.close(reader)
    # Process 1 has ended before its release.
    assert launcher._accompany(io.StringIO('{"init": 12}\n'), writer, SPEC) == {"init": 12, "limited": True}
    os.close(writer)


@pytest.mark.parametrize(
    ("reported", "fault", "message"),
    [
        ([], LaunchFailed, "the launcher exited without a message"),
        ([{"fault": "MountFailed", "words": "no namespaces"}], MountFailed, "no namespaces"),
        ([{"init": 3}, {"fault": "LaunchFailed", "words": "no srcds_run"}], LaunchFailed, "no srcds_run"),
        ([{"init": 3}, {"composed_by": "fuse"}], LaunchFailed, "without a message"),
        ([{"init": 3}, {"network_confined": True}, {"fault": "LaunchFailed"}], LaunchFailed, "without a message"),
        ([{"network_confined": True, "composed_by": "fuse"}], LaunchFailed, "without a message"),
    ],
)
def test_a_start_is_complete_when_all_of_it_was_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reported: list[dict[str, Any]],
    fault: type[Exception],
    message: str,
):
    directory = ServerDirectory(tmp_path / "7")
    directory.prepare()
    directory.write_spec(SPEC)
    monkeypatch.setattr(cgroup, "place", lambda pid, **_: False)

    def fork_stage(start: Any) -> int:
        for facts in reported:
            os.write(start.report, f"{json.dumps(facts)}\n".encode())
        return 0

    monkeypatch.setattr(launcher.sandbox_processes, "fork_stage", fork_stage)
    monkeypatch.setattr(os, "waitpid", lambda pid, options: (pid, 0))
    with pytest.raises(fault, match=message):
        launcher._start_game(directory, 0, None, 0, lambda state, init: {})


class Foreground:
    """A launcher in the foreground, whose game and signals are made up."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = ServerDirectory(path / "7")
        self.signals: list[int] = []
        self.ends: list[tuple[int, int]] = []
        self.sent: list[tuple[int, int]] = []
        self.launched: Launched | Exception = Launched(
            init=4711, lifeline=0, story="quickly", told={}, stop=StopLimits(), restart=RestartPolicy()
        )
        monkeypatch.setattr(launcher, "launch", self._launch)
        monkeypatch.setattr(signal, "pthread_sigmask", lambda how, mask: set())
        monkeypatch.setattr(signal, "sigwait", lambda wanted: self.signals.pop(0))
        monkeypatch.setattr(os, "waitpid", lambda pid, options: self.ends.pop(0))
        monkeypatch.setattr(os, "kill", lambda pid, number: self.sent.append((pid, number)))
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    def _launch(self, directory: ServerDirectory, *, lock: int) -> Launched:
        if isinstance(self.launched, Exception):
            raise self.launched
        return self.launched

    def run(self) -> int:
        return launcher.main(["launcher", str(self.directory.path)])


@pytest.fixture
def foreground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foreground:
    return Foreground(tmp_path, monkeypatch)


CHLD, TERM = signal.SIGCHLD, signal.SIGTERM
RUNS = (0, 0)


@pytest.mark.parametrize(
    ("signals", "ends", "status", "sent", "exit_code"),
    [
        # The status of the game, as waitpid gives it: 3, and signal 11.
        ([CHLD], [(4711, 3 << 8)], 69, [], 3),
        ([CHLD], [(4711, 0)], 69, [], 0),
        ([CHLD, CHLD], [RUNS, (4711, 11)], 69, [], 139),
        ([TERM, CHLD], [RUNS, (4711, 0)], 0, [(4711, TERM)], 0),
        ([signal.SIGHUP, CHLD], [RUNS, (4711, 15)], 0, [(4711, TERM)], 143),
    ],
)
def test_only_an_end_that_was_asked_for_is_a_success(
    foreground: Foreground,
    capsys: pytest.CaptureFixture[str],
    signals: list[int],
    ends: list[tuple[int, int]],
    status: int,
    sent: list[tuple[int, int]],
    exit_code: int,
):
    foreground.signals, foreground.ends = signals, ends
    before = time.time()
    assert foreground.run() == status
    assert foreground.sent == sent
    stored = foreground.directory.read_exit()
    assert stored is not None and stored[0] == exit_code and before <= stored[1] <= time.time()
    assert capsys.readouterr().out == "left4me: started: quickly\n"


def test_an_end_that_was_announced_is_a_success(foreground: Foreground):
    foreground.directory.prepare()
    foreground.directory.expect_end(expected=True)
    foreground.signals, foreground.ends = [CHLD], [(4711, 3 << 8)]
    assert foreground.run() == 0


@pytest.mark.parametrize(
    ("fault", "status"), [(MountFailed("no layer"), 71), (LaunchFailed("no game"), 72), (OSError("no disk"), 72)]
)
def test_systemd_is_told_what_did_not_start(
    foreground: Foreground, capsys: pytest.CaptureFixture[str], fault: Exception, status: int
):
    foreground.launched = fault
    assert foreground.run() == status
    assert capsys.readouterr().err == f"left4me: {fault}\n"


def test_a_server_that_runs_is_not_started_again(
    foreground: Foreground, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(launcher, "_LOCK_PATIENCE_SECONDS", -1)
    foreground.directory.prepare()
    lock = foreground.directory.try_lock()
    assert lock is not None
    assert foreground.run() == 70
    os.close(lock)
    assert "already running" in capsys.readouterr().err


def test_a_game_that_is_just_ending_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    directory = ServerDirectory(tmp_path / "7")
    now = [0.0]
    tries: list[float] = []

    def try_lock_until(end: float) -> Callable[[], int | None]:
        return lambda: tries.append(now[0]) or (5 if now[0] >= end else None)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + 4))
    monkeypatch.setattr(directory, "try_lock", try_lock_until(8))
    assert launcher.lock_patiently(directory) == 5
    assert tries == [0, 4, 8]
    now[0] = 0.0
    monkeypatch.setattr(directory, "try_lock", try_lock_until(99))
    assert launcher.lock_patiently(directory) is None
    assert now[0] == 12, "ten seconds"
    now[0] = 0.0
    assert launcher.lock_patiently(directory, unless=lambda: now[0] >= 4) is None
    assert now[0] == 4


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_service_manager_hears_when_the_game_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool
):
    name = f"left4me-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if is_abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if is_abstract else name)
        launcher._tell_service_manager("READY=1")
        assert manager.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    launcher._tell_service_manager("READY=1")
