from __future__ import annotations

import contextlib
import gzip  # noqa: F401 -- loaded before the child gives up the right to read this Python's own files
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from left4me.core.processes import procfs
from servers.gamehost import launcher
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.port import LaunchFailed, Outcome, State
from servers.gamehost.process import template
from servers.gamehost.process.runtime import ProcessRuntime
from servers.gamehost.spec import Bind, RestartPolicy
from servers.gamehost.storage import Storage
from servers.gamehost.tests.contract import HostileGame, RuntimeContract
from servers.gamehost.tests.stage import (
    ORDINARY,
    AsOrdinaryUser,
    Following,
    Stage,
    open_directory,
    order,
    reachable,
    value,
    wait_until,
)

PROJECT = Path(__file__).resolve().parents[3]
AS_ROOT = os.geteuid() == 0


@pytest.fixture(params=["root", "user"] if AS_ROOT else ["user"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with open_directory() as base:
        if request.param == "user" and AS_ROOT:
            made = _as_another_user(base)
        else:
            made = Stage(base / "root", _Runtime(root=base / "root"))
        try:
            yield made
        finally:
            made.clear()


def _as_another_user(base: Path) -> Stage:
    # The checkout may lie where only its owner can go.
    project = base / "app"
    skip = shutil.ignore_patterns("tests", "__pycache__")
    for package in ("servers/gamehost", "left4me/core"):
        shutil.copytree(PROJECT / package, project / package, ignore=skip)
        (project / package).with_name("__init__.py").touch()
    runtime = _Runtime(root=base / "root", python="/usr/bin/python3", project=project)
    return Stage(base / "root", AsOrdinaryUser(runtime, ORDINARY), owner=ORDINARY)


class _Runtime(Following, ProcessRuntime):
    pass


class TestProcessRuntime(RuntimeContract):
    pass


class TestHostileGameInAProcess(HostileGame):
    pass


@pytest.fixture
def own() -> Iterator[Stage]:
    """Of the user of the tests, in this process."""
    with open_directory() as base:
        made = Stage(base / "root", _Runtime(root=base / "root"))
        try:
            yield made
        finally:
            made.clear()


def _supervisor(stage: Stage) -> int:
    pid = ServerDirectory(stage.root / "servers/1").living_supervisor()
    assert pid is not None
    return pid


def _templates(stage: Stage) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_text().rstrip(" \0").endswith(f"\0{stage.root}/servers/"):
                found.append(int(path.parent.name))
    return found


def _template(stage: Stage) -> int:
    """The newest."""
    return max(_templates(stage), key=lambda pid: procfs.started(pid) or 0)


def _open_files(pid: int) -> list[str]:
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]


def test_a_game_ends_with_its_supervisor_and_can_be_started_at_once(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    wait_until(lambda: any("ready on" in line.text for line in stage.runtime.tail(1)))
    game = stage.observe(spec).pid
    assert game is not None
    os.kill(_supervisor(stage), signal.SIGKILL)
    wait_until(lambda: procfs.started(game) is None)
    seen = stage.observe(spec)
    assert seen.state is State.CRASHED
    assert seen.is_abandoned
    assert "supervisor" in seen.detail
    assert any("ready on" in line for line in seen.last_lines)
    assert stage.runtime.start(spec) is Outcome.STARTED


def test_a_supervisor_that_does_not_listen_is_ended_by_a_kill(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    os.kill(_supervisor(stage), signal.SIGSTOP)
    assert stage.runtime.kill(1) is Outcome.KILLED
    assert not reachable(spec)
    assert stage.observe(spec).state is State.STOPPED


def test_killing_process_1_of_the_sandbox_counts_as_a_crash(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    init = procfs.children(_supervisor(stage))
    os.kill(init[0], signal.SIGKILL)
    wait_until(lambda: stage.observe(spec).restarts == 1 and reachable(spec))


def test_a_crashed_game_tells_when_it_starts_again(stage: Stage) -> None:
    spec = stage.start(stage.spec(1, restart=RestartPolicy(first_pause_seconds=30)))
    order(spec, "__import__('os')._exit(4)")
    wait_until(lambda: stage.observe(spec).state is State.CRASHED)
    seen = stage.observe(spec)
    assert seen.starts_again_at is not None and seen.last_exit is not None and seen.last_exit.at is not None
    assert abs((seen.starts_again_at - seen.last_exit.at).total_seconds() - 30) < 5
    stage.runtime.stop(1)
    assert stage.observe(spec).starts_again_at is None


def test_a_supervisor_holds_nothing_of_its_caller_and_shows_its_server(stage: Stage) -> None:
    stage.start(stage.spec(1))
    pid = _supervisor(stage)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()
    assert os.getsid(pid) not in (os.getsid(0), os.getpid())
    assert not any("socket:" in target for target in _open_files(pid))
    words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    assert words[-1] == str(stage.root / "servers/1")


@pytest.mark.skipif(not AS_ROOT, reason="nobody else may look into process 1: run as root")
def test_supervisor_and_process_1_have_little_memory_of_their_own(own: Stage) -> None:
    for number in (1, 2):
        own.start(own.spec(number))
    for number in (1, 2):
        supervisor = own.directory(number).living_supervisor()
        assert supervisor is not None
        for pid in (supervisor, *procfs.children(supervisor)):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            written = next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))
            assert written < 2304, lines  # kB


def test_games_outlive_the_template_and_a_killed_or_stopped_one_is_replaced(
    own: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "_TAKE_SECONDS", 1)
    for number, sent in ((1, signal.SIGKILL), (2, signal.SIGSTOP), (3, signal.SIGTERM)):
        own.start(own.spec(number))
        os.kill(_template(own), sent)
    assert own.runtime.start(own.spec(4)) is Outcome.STARTED
    assert {seen.state for seen in own.runtime.observe([1, 2, 3, 4]).values()} == {State.RUNNING}
    wait_until(lambda: len(_templates(own)) == 1)


def test_the_template_ends_with_its_owner(own: Stage) -> None:
    spec, other = own.start(own.spec(1)), own.spec(2)
    pid = os.fork()
    if pid == 0:
        own.runtime.start(other)
        os._exit(len(_templates(own)))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2  # a fork has one of its own
    wait_until(lambda: len(_templates(own)) == 1)
    own.runtime._template._running = None
    wait_until(lambda: _templates(own) == [])
    assert reachable(spec)
    assert own.observe(spec).state is State.RUNNING


def test_a_template_that_cannot_be_loaded_is_told(own: Stage) -> None:
    runtime = _Runtime(root=own.root, project=own.root)
    with pytest.raises(LaunchFailed, match="No module named"):
        runtime.start(own.spec(1))
    assert runtime.observe([1])[1].state is State.STOPPED


def test_a_supervisor_that_is_killed_in_the_middle_of_a_start_leaves_nothing(own: Stage) -> None:
    spec = own.spec(1)
    directory = own.directory(1)
    directory.prepare()
    directory.write_spec(spec)
    for last in (State.STARTING, State.RUNNING):
        pid = os.fork()
        if pid == 0:
            launcher.launch(directory, lock=directory.try_lock() or 0, tell=partial(_kill_parent, last))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        wait_until(lambda: not directory.is_held())
        assert not reachable(spec)


def _kill_parent(when: State, state: State, _init: int | None) -> dict[str, Any]:
    if state is when:
        os.kill(os.getppid(), signal.SIGKILL)
    return {}


def test_process_1_is_in_the_root_of_its_game_without_any_right(stage: Stage) -> None:
    stage.start(stage.spec(1))
    (init,) = procfs.children(_supervisor(stage))
    status = Path(f"/proc/{init}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {facts[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    assert "0" not in facts["Uid"].split()
    if AS_ROOT:  # nobody else may look
        for place in ("root", "cwd"):
            inside = {path.name for path in Path(f"/proc/{init}/{place}").iterdir()}
            assert "game" in inside and "home" not in inside
        assert not any("/user:" in target or "user:[" in target for target in _open_files(init))


def test_a_supervisor_stores_what_workers_of_other_releases_read(stage: Stage) -> None:
    stage.start(stage.spec(1))
    stored = stage.directory(1).read_state()
    assert stored is not None and set(stored) == {
        *("boot", "supervisor", "init", "state", "detail", "restarts", "exit", "last_lines"),
        *("started_at", "starts_again_at"),
    }
    pid = _supervisor(stage)
    assert stored["supervisor"] == procfs.named(pid)
    assert stored["init"] == procfs.named(procfs.children(pid)[0])


def test_a_supervisor_leaves_no_zombie(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    order(spec, "__import__('os')._exit(4)")
    wait_until(lambda: stage.observe(spec).restarts == 1 and reachable(spec))
    assert len(procfs.children(_supervisor(stage))) == 1


def test_a_supervisor_that_was_only_told_to_expect_an_end_brings_it_about(stage: Stage) -> None:
    spec = stage.spec(1)
    stage.start(stage.spec(1, port=spec.port, stop=type(spec.stop)(quit_seconds=0.1)))
    os.kill(_supervisor(stage), signal.SIGUSR1)
    wait_until(lambda: stage.observe(spec).state is State.STOPPED)


@pytest.mark.parametrize("ended", [State.GAVE_UP, State.STOPPED])
def test_a_supervisor_that_is_still_exiting_does_not_count_as_running(stage: Stage, ended: State) -> None:
    spec = stage.start(stage.spec(1))
    stage.runtime.kill(1)
    state_file = stage.root / "servers/1/run/state.json"
    # The final state is stored before the process exits; this one does not exit at all.
    with subprocess.Popen(["sleep", "1000"]) as lingering:
        told = json.loads(state_file.read_text()) | {"state": ended, "supervisor": procfs.named(lingering.pid)}
        state_file.write_text(json.dumps(told))
        outcome = stage.runtime.start(spec)
        lingering.kill()
    assert outcome is Outcome.STARTED


def test_an_unreadable_state_is_unknown(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    stage.runtime.stop(1)
    (stage.root / "servers/1/run/state.json").write_text("{")
    assert stage.observe(spec).state is State.UNKNOWN
    assert stage.runtime.start(spec) is Outcome.STARTED


def test_after_a_restart_of_the_machine_a_server_is_stopped(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    state = stage.root / "servers/1/run/state.json"
    told = state.read_text()
    stage.runtime.kill(1)
    state.write_text(told.replace(procfs.boot_id(), "another-boot"))
    seen = stage.observe(spec)
    assert seen.state is State.STOPPED
    assert "restarted" in seen.detail


def test_the_layers_of_a_running_server_are_in_use_also_after_a_new_spec(stage: Stage) -> None:
    spec = stage.start(stage.spec(1))
    stage.runtime.start(stage.spec(1, layers=("/elsewhere",)))
    assert Storage(stage.root).layers_in_use() == {Path(layer) for layer in spec.layers}
    stage.runtime.stop(1)
    assert Storage(stage.root).layers_in_use() == set()


def test_a_cache_below_a_temporary_folder_is_shown_there_and_makes_nothing_on_this_machine(stage: Stage) -> None:
    name = f"left4me-test-{os.getpid()}"
    spec = stage.spec(1, binds=(Bind(source=str(stage.cache), target=f"/var/tmp/{name}/cache"),))
    stage.start(spec)
    assert value(spec, f"open('/var/tmp/{name}/cache/99.vpk').read()") == "vpk\n"
    assert not Path("/tmp", name).exists() and not Path("/var/tmp", name).exists()
