"""The runtime of production over a made up systemctl and journalctl. test_systemd.py runs it over the real ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from left4me.core.concurrency import Cancelled
from left4me.core.processes import commands, procfs
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.launcher import EXIT_ALREADY_RUNNING, EXIT_LAUNCH_FAILED, EXIT_MOUNT_FAILED
from servers.gamehost.port import Exit, LaunchFailed, MountFailed, Outcome, RuntimeFault, State, StopTimedOut
from servers.gamehost.process.console import LAST_LINES
from servers.gamehost.spec import InstanceSpec, StopLimits
from servers.gamehost.systemd import journal, units
from servers.gamehost.systemd import runtime as systemd_runtime
from servers.gamehost.systemd.runtime import SystemdRuntime

RUNNING = {"ActiveState": "active", "SubState": "running", "MainPID": "4711", "Result": "success"}
DEAD = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0"}
UNIT = "left4me-server@1.service"
NEVER = StopLimits(quit_seconds=0, term_seconds=0, kill_seconds=0)
PATIENT = StopLimits(quit_seconds=60, term_seconds=60, kill_seconds=60)


def entry(text: object, *, cursor: str = "c", at: int = 1_700_000_000_500_000) -> str:
    return json.dumps({"MESSAGE": text, "__CURSOR": cursor, "__REALTIME_TIMESTAMP": str(at)})


class Systemd:
    """What systemctl and journalctl answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.units: dict[str, dict[str, str]] = {UNIT: DEAD}
        self.after: dict[str, dict[str, str] | commands.CommandError] = {}  # the unit after a call
        self.journal: list[str] = []
        self.fault: commands.CommandError | None = None
        monkeypatch.setattr(commands, "run", self._run)
        monkeypatch.setattr(systemd_runtime, "_LOOK_SECONDS", 0)

    def _run(self, argv: list[str], **options: Any) -> commands.Finished:
        call = " ".join(argv).removeprefix("systemctl --no-ask-password ").removeprefix("--no-pager ")
        self.options.append(options)
        if self.fault is not None:
            raise self.fault
        if argv[0] == "journalctl":
            self.calls.append(call)
            for line in self.journal:
                options["on_line"](line)
            return commands.Finished(status=0, output="", seconds=0)
        if not call.startswith("show --timestamp"):
            self.calls.append(call)
        for start, unit in self.after.items():
            if call.startswith(start):
                if isinstance(unit, commands.CommandError):
                    raise unit
                self.units[UNIT] = unit
        blocks = [
            "\n".join([f"Id={name}", *(f"{key}={value}" for key, value in self.units[name].items())])
            for name in argv
            if name in self.units
        ]
        return commands.Finished(status=0, output="\n\n".join(blocks) + "\n", seconds=0)


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(monkeypatch)


@pytest.fixture
def runtime(tmp_path: Path) -> SystemdRuntime:
    return SystemdRuntime(root=tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> ServerDirectory:
    directory = ServerDirectory(tmp_path / "servers/1")
    directory.prepare()
    return directory


def spec(**changes: Any) -> InstanceSpec:
    return InstanceSpec(server_id=1, argv=("./srcds_run",), layers=("/game",), port=27015, **changes)


def is_end_expected(directory: ServerDirectory) -> bool:
    return directory.note_exit(0, 0)


def test_a_start_forgets_earlier_failures_and_that_an_end_was_expected(
    runtime: SystemdRuntime, systemd: Systemd, directory: ServerDirectory
):
    directory.expect_end(expected=True)
    assert runtime.start(spec()) is Outcome.STARTED
    assert systemd.calls == [f"reset-failed {UNIT}", f"start {UNIT}"]
    assert [options["check"] for options in systemd.options[-2:]] == [False, True]
    assert not is_end_expected(directory)
    assert directory.read_spec() == spec()


@pytest.mark.parametrize(
    ("active", "starts"), [("active", False), ("activating", False), ("deactivating", False), ("failed", True)]
)
def test_what_runs_or_will_be_restarted_is_not_started(
    runtime: SystemdRuntime, systemd: Systemd, active: str, starts: bool
):
    systemd.units[UNIT] = {"ActiveState": active}
    assert runtime.start(spec()) is (Outcome.STARTED if starts else Outcome.ALREADY_RUNNING)
    assert bool(systemd.calls) is starts


@pytest.mark.parametrize(
    ("status", "lines", "fault", "message"),
    [
        (EXIT_MOUNT_FAILED, ["left4me: old", "left4me: no layer", "other"], MountFailed, "no layer"),
        (EXIT_LAUNCH_FAILED, ["left4me: no srcds_run"], LaunchFailed, "no srcds_run"),
        (EXIT_LAUNCH_FAILED, ["other"], LaunchFailed, "Job failed."),
        (EXIT_ALREADY_RUNNING, ["left4me: x"], LaunchFailed, "the server's directory is in use by another process"),
    ],
)
def test_a_start_that_fails_says_what_the_launcher_said(
    runtime: SystemdRuntime, systemd: Systemd, status: int, lines: list[str], fault: type[Exception], message: str
):
    systemd.after = {"start": commands.CommandFailed("systemctl", 1, "Job failed.")}
    systemd.units[UNIT] = {**DEAD, "ExecMainStatus": str(status)}
    systemd.journal = [entry(line) for line in lines]
    with pytest.raises(fault) as raised:
        runtime.start(spec())
    assert str(raised.value) == message
    assert systemd.calls[-2].endswith(f"--lines=20 --unit={UNIT}")
    assert systemd.calls[-1] == f"reset-failed {UNIT}"


def test_a_stop_waits_for_the_game_to_quit_and_cancels_a_restart(
    runtime: SystemdRuntime, systemd: Systemd, directory: ServerDirectory
):
    systemd.units[UNIT] = RUNNING
    systemd.after = {"stop": DEAD}

    def quit_game() -> None:
        assert is_end_expected(directory)
        systemd.units[UNIT] = DEAD

    assert runtime.stop(1, quit_game=quit_game, limits=PATIENT) is Outcome.STOPPED
    assert systemd.calls == [f"stop --no-block {UNIT}", f"reset-failed {UNIT}"]


def test_a_game_that_cannot_be_asked_is_stopped_at_once(
    runtime: SystemdRuntime, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
):
    waits: list[float] = []
    off_within = systemd_runtime._off_within

    def waiting(server_id: int, seconds: float) -> bool:
        waits.append(seconds)
        return off_within(server_id, 0)

    def deaf() -> None:
        raise OSError("no RCON")

    monkeypatch.setattr(systemd_runtime, "_off_within", waiting)
    limits = StopLimits(quit_seconds=1, term_seconds=2, kill_seconds=3)
    systemd.after = {"stop": DEAD}
    for quit_game, expected in ((deaf, [2.0]), (None, [2.0]), (lambda: None, [1.0, 2.0])):
        systemd.units[UNIT] = RUNNING
        waits.clear()
        assert runtime.stop(1, quit_game=quit_game, limits=limits) is Outcome.STOPPED
        assert waits == expected


@pytest.mark.parametrize("ends", [True, False])
def test_a_game_that_does_not_stop_is_killed(runtime: SystemdRuntime, systemd: Systemd, ends: bool):
    systemd.units[UNIT] = RUNNING
    systemd.after = {"kill": DEAD} if ends else {}
    if ends:
        assert runtime.stop(1, limits=NEVER) is Outcome.KILLED
    else:
        with pytest.raises(StopTimedOut, match=UNIT):
            runtime.stop(1, limits=NEVER)
    stopped = [f"stop --no-block {UNIT}", f"kill --signal=KILL --kill-who=all {UNIT}", f"stop --no-block {UNIT}"]
    assert systemd.calls == [*stopped, *([f"reset-failed {UNIT}"] if ends else [])]


def test_a_kill_asks_nothing_and_expects_the_end(
    runtime: SystemdRuntime, systemd: Systemd, directory: ServerDirectory
):
    systemd.units[UNIT] = RUNNING
    systemd.after = {"kill": DEAD}
    assert runtime.kill(1) is Outcome.KILLED
    assert systemd.calls[0].startswith("kill") and is_end_expected(directory)
    systemd.calls.clear()
    assert runtime.kill(1) is runtime.stop(1) is Outcome.ALREADY_STOPPED
    assert systemd.calls == [f"reset-failed {UNIT}"] * 2


def test_a_unit_that_goes_off_late_is_waited_for(systemd: Systemd, monkeypatch: pytest.MonkeyPatch):
    systemd.units[UNIT] = RUNNING
    now = [0.0]

    def sleep(_seconds: float) -> None:
        now[0] += 1
        if now[0] == 3:
            systemd.units[UNIT] = DEAD

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    assert systemd_runtime._off_within(1, 10)
    systemd.units[UNIT] = RUNNING
    assert not systemd_runtime._off_within(1, 10)
    assert now[0] == 14


def test_a_systemd_that_does_not_answer_is_a_fault_or_unknown(runtime: SystemdRuntime, systemd: Systemd):
    systemd.fault = commands.CommandError("timed out")
    seen = runtime.observe([1, 2])
    assert [(one.state, one.detail) for one in seen.values()] == [
        (State.UNKNOWN, "systemd is not responding: timed out")
    ] * 2
    for ask in (
        lambda: runtime.stop(1),
        lambda: runtime.resources([1]),
        lambda: units.manage("start", 1),
        lambda: units.show_one(1),
        units.systemd_since,
    ):
        with pytest.raises(RuntimeFault, match="systemd is not responding: timed out"):
            ask()
    with pytest.raises(RuntimeFault, match="journal cannot be read: timed out"):
        runtime.tail(1)
    assert units.show([]) == {}


def test_a_running_server_is_observed(
    runtime: SystemdRuntime, systemd: Systemd, directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(procfs, "children", {4711: [12], 12: [13]}.get)
    monkeypatch.setattr(systemd_runtime.overlay, "game_of", {12: 13}.get)
    directory.note_exit(139, 1_700_000_000)
    systemd.units[UNIT] = {**RUNNING, "NRestarts": "2", "ActiveEnterTimestamp": "@1700000100"}
    seen = runtime.observe([1, 2])
    assert list(seen) == [1, 2]
    one = seen[1]
    assert (one.state, one.pid, one.restarts, one.detail, one.last_lines) == (State.RUNNING, 13, 2, "", ())
    assert one.started_at == datetime.fromtimestamp(1_700_000_100, UTC)
    assert one.last_exit == Exit(status=None, signal=11, at=datetime.fromtimestamp(1_700_000_000, UTC))
    assert (seen[2].state, seen[2].pid, seen[2].last_exit) == (State.UNKNOWN, None, None)
    monkeypatch.setattr(procfs, "children", lambda pid: [])
    assert runtime.observe([1])[1].pid is None


def test_a_server_that_crashed_has_its_last_lines(runtime: SystemdRuntime, systemd: Systemd):
    crashed = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}
    killed = {"ExecMainCode": "2", "ExecMainStatus": "9", "ExecMainExitTimestamp": "@1700000000"}
    systemd.units[UNIT] = {**crashed, **killed, "ActiveEnterTimestamp": "@1700000000"}
    systemd.journal = [entry("one"), "no entry", entry("two")]
    seen = runtime.observe([1])[1]
    assert (seen.state, seen.last_lines) == (State.CRASHED, ("one", "two"))
    assert seen.detail == "activating (auto-restart), exit-code"
    assert seen.last_exit == Exit(status=None, signal=9, at=datetime.fromtimestamp(1_700_000_000, UTC))
    assert seen.started_at is None
    assert f"--lines={LAST_LINES} " in systemd.calls[0]
    systemd.units[UNIT] = {"ActiveState": "failed"}
    assert runtime.observe([1])[1].last_lines == ("one", "two")
    systemd.units[UNIT] = DEAD
    assert runtime.observe([1])[1].last_lines == ()


def test_a_journal_that_cannot_be_read_hides_no_crash(
    runtime: SystemdRuntime, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
):
    def refuse(unit: str, lines: int) -> None:
        raise commands.CommandError("no journal")

    monkeypatch.setattr(journal, "tail", refuse)
    systemd.units[UNIT] = {"ActiveState": "failed"}
    seen = runtime.observe([1])[1]
    assert (seen.state, seen.last_lines, seen.detail) == (State.GAVE_UP, (), "")


def test_figures_of_systemd_win_over_those_of_proc(
    runtime: SystemdRuntime, systemd: Systemd, directory: ServerDirectory, monkeypatch: pytest.MonkeyPatch
):
    usage = procfs.Usage(cpu_seconds=7.0, memory_bytes=8, tasks=9)
    monkeypatch.setattr(procfs, "usage", lambda pid: usage if pid == 4711 else None)
    systemd.units[UNIT] = {**RUNNING, "CPUUsageNSec": "1500000000", "MemoryCurrent": "0", "TasksCurrent": "3"}
    used = runtime.resources([1])[1]
    assert (used.cpu_seconds, used.memory_bytes, used.tasks, used.disk_bytes) == (1.5, 0, 3, None)
    systemd.units[UNIT] = {**RUNNING, "CPUUsageNSec": "[not set]", "MemoryCurrent": "[not set]"}
    (directory.upper / "file").write_bytes(b"x" * 10_000)
    used = runtime.resources([1], with_disk=[1])[1]
    assert (used.cpu_seconds, used.memory_bytes, used.tasks) == (7.0, 8, 9)
    assert used.disk_bytes is not None and used.disk_bytes >= 10_000
    systemd.units[UNIT] = DEAD
    used = runtime.resources([1], with_disk=[2])[1]
    assert (used.cpu_seconds, used.memory_bytes, used.tasks, used.disk_bytes) == (None, None, None, None)


def test_properties_are_asked_with_times_in_seconds(runtime: SystemdRuntime, systemd: Systemd):
    runtime.observe([1, 2])
    assert systemd.options[-1] == {"timeout": 20, "check": True}
    unit = units._read({"ExecMainCode": "3", "ExecMainStatus": "11", "ExecMainExitTimestamp": "@0", "NRestarts": "x"})
    assert (unit.was_killed_by, unit.exit_status, unit.ended_at, unit.restarts) == (11, 11, None, 0)
    assert units._read({"ExecMainCode": "1", "ExecMainStatus": "11"}).was_killed_by is None
    assert (units._read({}).active_state, units._read({}).is_on) == ("unknown", True)
    assert units._read({"MemoryCurrent": str(2**64 - 2)}).memory == 2**64 - 2


def test_a_unit_that_ends_by_itself_can_be_waited_for_and_left(systemd: Systemd):
    units.run("left4me-backup.service", cancelled=lambda: False)
    assert systemd.calls == ["start left4me-backup.service"]
    assert systemd.options[-1]["cancelled"]() is False


@pytest.mark.parametrize(
    ("message", "text"),
    [("plain", "plain"), ([104, 255], "h\N{REPLACEMENT CHARACTER}"), (None, "(a line too long for the journal)")],
)
def test_a_message_of_the_journal_is_text(systemd: Systemd, message: object, text: str):
    systemd.journal = [entry(message, cursor="s=1")]
    (line,) = journal.tail(UNIT, 5)
    assert (line.text, line.cursor) == (text, "s=1")
    assert line.at == datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)


class Journal:
    """A journalctl that gives these lines in each of its runs, and ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *runs: list[str]) -> None:
        self._runs = iter(runs)
        self.asked: list[list[str]] = []
        self.batches: list[list[str]] = []
        self.is_over = False
        monkeypatch.setattr(commands, "run", self._run)

    def _run(
        self, argv: list[str], *, on_line: Callable[[str], None], cancelled: Callable[[], bool], **_: object
    ) -> None:
        self.asked.append([word for word in argv if word.startswith(("--lines", "--after"))])
        assert {"--follow", "--merge", f"--unit={UNIT}"} <= set(argv)
        lines = next(self._runs, None)
        if lines is None:
            self.is_over = True
            raise Cancelled
        for line in lines:
            on_line(line)
        cancelled()

    def follow(self, cursor: str | None) -> None:
        journal._follow(
            UNIT,
            cursor=cursor,
            on_lines=lambda lines: self.batches.append([line.text for line in lines]),
            cancelled=lambda: self.is_over,
        )


def test_following_goes_on_after_the_last_line_when_journalctl_ends(monkeypatch: pytest.MonkeyPatch):
    found = Journal(
        monkeypatch, [entry("one", cursor="a"), entry("two", cursor="b")], [], [entry("three", cursor="c")]
    )
    found.follow(None)
    assert found.batches == [["one", "two"], ["three"]]
    assert found.asked == [
        ["--lines=0"],
        ["--lines=all", "--after-cursor=b"],
        # It may not know this line any more.
        ["--lines=all"],
        ["--lines=all", "--after-cursor=c"],
        ["--lines=all"],
    ]


def test_a_flood_is_passed_on_in_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "_MOST_IN_A_BATCH", 2)
    found = Journal(monkeypatch, [entry(str(number)) for number in range(5)])
    found.follow(None)
    assert found.batches == [["0", "1"], ["2", "3"], ["4"]]


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What a follower passes to the thread that it starts, which does not run here."""
    started: list[Any] = []

    class Thread:
        def __init__(self, *, target: Callable[..., None], args: list[Any], name: str, daemon: bool) -> None:
            assert (name, daemon) == (f"journal-{UNIT}", True)
            started.extend([target, args])

        def start(self) -> None:
            pass

    monkeypatch.setattr(journal.threading, "Thread", Thread)
    yield started


def test_a_reader_gets_each_line_once_and_is_told_of_news(
    monkeypatch: pytest.MonkeyPatch, following: list[Any], runtime: SystemdRuntime
):
    news: list[int] = []
    follower = runtime.follow(1, cursor="a", on_news=lambda: news.append(1))
    assert follower.read() == []
    found = Journal(monkeypatch, [entry("one"), entry("two")])
    target, arguments = following
    assert arguments == [UNIT, "a"]
    follower.close()
    journal._follow_once([*journal._FOLLOW, f"--unit={UNIT}"], follower._take, lambda: True)  # type: ignore[attr-defined]
    assert ([line.text for line in follower.read()], follower.read(), news) == (["one", "two"], [], [1])
    target(*arguments)
    assert found.asked == [[]], "a closed follower asks nothing more"


def test_a_journal_that_cannot_be_followed_is_told_to_the_reader(
    monkeypatch: pytest.MonkeyPatch, following: list[Any], runtime: SystemdRuntime
):
    follower = runtime.follow(1, cursor=None)

    def missing(*_: object, **__: object) -> None:
        raise commands.CommandMissing("journalctl is missing")

    monkeypatch.setattr(commands, "run", missing)
    target, arguments = following
    target(*arguments)
    with pytest.raises(RuntimeFault, match="cannot be followed: journalctl is missing"):
        follower.read()
