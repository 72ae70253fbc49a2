from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from left4me.core.processes import procfs
from servers.gamehost import launcher
from servers.gamehost.directory import ServerDirectory
from servers.gamehost.launcher import Launched
from servers.gamehost.port import LaunchFailed, State
from servers.gamehost.process import console, supervisor
from servers.gamehost.process.supervisor import Order, Supervisor
from servers.gamehost.spec import RestartPolicy, StopLimits


def _fail(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("nobody expected this")


def test_an_unexpected_error_ends_a_supervisor_and_is_kept_beside_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must never go on as the template that it was forked from."""
    directory = ServerDirectory(tmp_path / "1")
    directory.state_file.parent.mkdir(parents=True)
    monkeypatch.setattr(launcher, "lock_patiently", _fail)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        # That of pytest is no descriptor.
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        try:
            supervisor._supervise(directory, writer)
        finally:
            os._exit(42)
    os.close(reader)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert "nobody expected this" in directory.state_file.with_name("supervisor.err").read_text()


class Watch:
    """A supervisor in this process, whose game, clock and signals are made up."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = ServerDirectory(path / "7")
        self.directory.prepare()
        self.received, self._orders = os.pipe()
        self.now = 1000.0
        self.sent: list[int] = []
        self.waits: list[float | None] = []
        self.launches: list[Exception | None] = []
        self.policy = RestartPolicy(most=2, within_seconds=60, first_pause_seconds=4, longest_pause_seconds=6)
        monkeypatch.setattr(supervisor, "_signal_pipe", lambda: self.received)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(os, "kill", lambda pid, number: self.sent.append(number) if pid == 4711 else None)
        monkeypatch.setattr(launcher, "launch", self._launch)
        self.supervisor = Supervisor(self.directory, lock=0)
        self.supervisor._poll = self  # type: ignore[assignment]

    def poll(self, milliseconds: float) -> list[int]:
        """Nothing happens in the time of the wait."""
        self.waits.append(milliseconds)
        self.now += milliseconds / 1000
        return []

    def register(self, *_: object) -> None:
        pass

    def order(self, *orders: Order) -> None:
        os.write(self._orders, bytes(orders))
        self.supervisor._follow_orders()

    def _launch(self, directory: ServerDirectory, *, lock: int, output: int, tell: Any) -> Launched:
        fault = self.launches.pop(0) if self.launches else None
        if fault is not None:
            raise fault
        tell(State.STARTING, None)
        told = tell(State.RUNNING, 4711)
        stop = StopLimits(quit_seconds=3, term_seconds=5)
        return Launched(init=4711, lifeline=0, story="quickly", told=told, stop=stop, restart=self.policy)

    def end(self, code: int) -> None:
        """The game ends, and what follows is done."""
        self.supervisor._launched = None
        self.supervisor._settle(code)

    def told(self) -> dict[str, Any]:
        return self.directory.read_state() or {}

    def log(self) -> list[str]:
        return [text for text, _stamp, _cursor in console.tail(self.directory.logs, 100)]

    def deadlines(self) -> tuple[float | None, float | None]:
        return self.supervisor._term_at, self.supervisor._kill_at


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    found = Watch(tmp_path, monkeypatch)
    yield found
    for fd in (found.received, found._orders):
        os.close(fd)


def test_a_start_is_stored_and_logged(watch: Watch) -> None:
    watch.supervisor.start()
    told = watch.told()
    assert (told["state"], told["exit"], told["restarts"], told["detail"]) == ("running", None, 0, "")
    assert told["supervisor"] == procfs.named(os.getpid())
    assert told["started_at"] <= time.time() and told["starts_again_at"] is None and told["last_lines"] == []
    assert watch.log() == ["left4me: started: quickly"]


def test_a_start_that_fails_is_stored_as_stopped_with_its_reason(watch: Watch) -> None:
    watch.launches = [LaunchFailed("no srcds_run")]
    with pytest.raises(LaunchFailed):
        watch.supervisor.start()
    assert (watch.told()["state"], watch.told()["detail"]) == ("stopped", "no srcds_run")
    assert watch.log() == ["left4me: start failed: no srcds_run"]


def test_pauses_grow_until_it_gives_up(watch: Watch) -> None:
    watch.supervisor.start()
    watch.end(11 + 128)
    assert (watch.told()["state"], watch.told()["restarts"]) == ("running", 1)
    watch.end(3)
    assert watch.told()["restarts"] == 2
    assert watch.waits == [4001.0, 6001.0]
    before = time.time()
    watch.end(3)
    assert watch.waits[2:] == []
    told = watch.told()
    assert (told["state"], told["restarts"]) == ("gave_up", 2)
    assert told["detail"] == "crashed 3 times within 60 s, last exit: status 3"
    assert told["exit"]["code"] == 3 and before <= told["exit"]["at"] <= time.time()
    assert told["last_lines"] == watch.log()
    assert watch.log()[-1] == f"left4me: stopped retrying: {told['detail']}"


def test_exits_of_long_ago_count_no_more(watch: Watch) -> None:
    watch.policy = RestartPolicy(most=1, within_seconds=60, first_pause_seconds=4)
    watch.supervisor.start()
    watch.end(3)
    watch.now = 1000.0 + 60
    watch.end(3)
    assert (watch.told()["state"], watch.waits) == ("running", [4001.0, 4001.0])
    watch.now = 1060.0 + 59.9
    watch.end(3)
    assert watch.told()["state"] == "gave_up"


def test_a_crash_tells_when_it_starts_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(
        Watch, "poll", lambda self, wait: seen.append(self.told()) or setattr(self, "now", 2000.0) or []
    )
    watch.supervisor.start()
    watch.end(139)
    (told,) = seen
    assert (told["state"], told["detail"]) == ("crashed", "ended with signal 11 (segmentation fault)")
    assert 3 < told["starts_again_at"] - time.time() <= 4
    assert told["last_lines"] == ["left4me: started: quickly"]


def test_an_order_in_the_pause_ends_it_at_once(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.supervisor.start()
    os.write(watch._orders, bytes([Order.END]))
    monkeypatch.setattr(Watch, "poll", lambda self, wait: [self.received])
    watch.end(3)
    assert (watch.told()["state"], watch.now) == ("stopped", 1000.0)


def test_a_restart_that_fails_counts_as_another_exit(watch: Watch) -> None:
    watch.supervisor.start()
    watch.launches = [LaunchFailed("no room"), OSError("no processes")]
    watch.end(3)
    assert watch.told()["state"] == "gave_up"
    assert [line for line in watch.log() if "start failed" in line] == [
        "left4me: start failed: no room",
        "left4me: start failed: no processes",
    ]


def test_a_game_that_was_asked_to_quit_is_ended_when_it_does_not(watch: Watch) -> None:
    watch.supervisor.start()
    assert watch.supervisor._poll_timeout() is None
    watch.order(Order.HOLD)
    assert (watch.told()["state"], watch.deadlines()) == ("stopping", (1006.0, None))
    assert watch.supervisor._poll_timeout() == 6001.0
    watch.now = 1003.0
    watch.order(Order.HOLD)
    watch.supervisor._keep_deadlines()
    assert (watch.sent, watch.deadlines()) == ([], (1006.0, None))
    watch.now = 1006.0
    watch.supervisor._keep_deadlines()
    assert (watch.sent, watch.deadlines()) == ([signal.SIGTERM], (None, 1011.0))
    assert watch.supervisor._poll_timeout() == 5001.0
    watch.now = 1009.0
    watch.order(Order.END)
    assert (watch.sent, watch.deadlines()) == ([signal.SIGTERM], (None, 1011.0)), "its time does not begin again"
    watch.now = 1011.0
    watch.supervisor._keep_deadlines()
    assert (watch.sent, watch.deadlines()) == ([signal.SIGTERM, signal.SIGKILL], (None, None))
    watch.now = 2000.0
    watch.supervisor._keep_deadlines()
    assert len(watch.sent) == 2
    watch.end(137)
    assert watch.told()["state"] == "stopped"
    assert watch.waits == []


def test_the_nearer_deadline_is_waited_for_and_a_past_one_not_at_all(watch: Watch) -> None:
    watch.supervisor._term_at, watch.supervisor._kill_at = 1007.0, 1005.0
    assert watch.supervisor._poll_timeout() == 5001.0
    watch.now = 1010.0
    assert watch.supervisor._poll_timeout() == 1.0


def test_a_kill_asks_nothing(watch: Watch) -> None:
    watch.supervisor.start()
    watch.order(Order.KILL)
    assert (watch.sent, watch.supervisor._ending) == ([signal.SIGKILL], True)
    watch.order(Order.HOLD)
    assert watch.deadlines() == (None, None)


def test_an_order_to_end_asks_the_game_with_a_signal(watch: Watch) -> None:
    watch.supervisor.start()
    watch.order(Order.END)
    assert (watch.sent, watch.told()["state"], watch.deadlines()) == ([signal.SIGTERM], "stopping", (None, 1005.0))


def test_without_a_game_no_signal_is_sent(watch: Watch) -> None:
    watch.order(Order.END, Order.KILL)
    assert watch.sent == []
