"""Several processes behind one socket, as their visitors meet them: real ones, which serve without Django."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from left4me.core.processes import procfs

pytestmark = pytest.mark.timeout(120)

PROJECT = Path(__file__).resolve().parents[5]


class Web:
    """A listening socket, as systemd holds it, and the program on it."""

    def __init__(self, log: Path) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._log = log
        self._opened: list[http.client.HTTPConnection] = []
        self.parent = self.start()

    def start(self, *, processes: int = 2, silent: int = 60, stuck: int = 60) -> subprocess.Popen[bytes]:
        held = self._socket.fileno()
        program = "left4me.core.web.processes.tests.program"
        argv = [sys.executable, "-m", program, *map(str, (held, processes, silent, stuck))]
        with self._log.open("ab") as log:
            self.parent = subprocess.Popen(argv, cwd=PROJECT, pass_fds=[held], stdout=log, stderr=log)
        self.ask()
        return self.parent

    def restart(self, **options: int) -> None:
        self.end()
        self.start(**options)

    def end(self) -> int:
        self.parent.send_signal(signal.SIGTERM)
        return self.parent.wait(20)

    def close(self) -> None:
        for connection in self._opened:
            connection.close()
        if self.parent.poll() is None:
            for pid in (*procfs.children(self.parent.pid), self.parent.pid):
                os.kill(pid, signal.SIGKILL)
            self.parent.wait()
        self._socket.close()

    def connect(self) -> http.client.HTTPConnection:
        """A connection that the web has accepted and holds open."""
        connection = http.client.HTTPConnection(*self._socket.getsockname(), timeout=60)
        self._opened.append(connection)
        connection.connect()
        return connection

    def ask(self, path: str = "/", on: http.client.HTTPConnection | None = None) -> int:
        connection = on or self.connect()
        connection.request("GET", path)
        answer = int(connection.getresponse().read())
        if on is None:
            connection.close()
        return answer

    def said(self) -> str:
        return self._log.read_text()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    web = Web(tmp_path / "log")
    # Both serve.
    until(lambda: len({web.ask() for _ in range(4)}) == 2)
    yield web
    web.close()


def test_connections_that_stay_open_are_spread_evenly(web: Web):
    holders = {(connection := web.connect()): web.ask(on=connection) for _ in range(10)}
    assert sorted(Counter(holders.values()).values()) == [5, 5]

    left = holders[next(iter(holders))]
    for connection, pid in holders.items():
        if pid == left:
            connection.close()
    time.sleep(0.2)
    assert [web.ask(on=web.connect()) for _ in range(5)] == [left] * 5


def test_a_killed_process_is_replaced_and_the_others_go_on(web: Web):
    connections = [web.connect() for _ in range(2)]
    killed, other = (web.ask(on=connection) for connection in connections)
    os.kill(killed, signal.SIGKILL)
    assert web.ask(on=connections[1]) == other
    until(lambda: web.ask("/running") == 2 and web.ask("/replaced") == 1)
    until(lambda: len({web.ask() for _ in range(4)}) == 2)
    assert killed not in procfs.children(web.parent.pid)
    assert "ended with signal 9. Another one starts in 0 s." in web.said()


def test_what_a_killed_process_had_counted_does_not_stay(web: Web):
    connections = [web.connect() for _ in range(2)]
    pids = [web.ask(on=connection) for connection in connections]
    assert [web.ask("/count", on=connection) for connection in connections] == [1, 2]
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: web.ask("/replaced") == 1)
    assert web.ask("/count", on=connections[1]) == 2, "its own, and one more"


def test_a_connection_that_a_process_died_with_before_it_took_it_is_served_by_another(web: Web):
    stopped, other = procfs.children(web.parent.pid)
    os.kill(stopped, signal.SIGSTOP)
    waiting = [web.connect() for _ in range(4)]
    for connection in waiting:
        connection.request("GET", "/")
    time.sleep(0.3)
    os.kill(stopped, signal.SIGKILL)
    assert stopped not in {int(connection.getresponse().read()) for connection in waiting}
    assert other in procfs.children(web.parent.pid)


def test_a_stuck_process_gets_no_connections_and_is_replaced_with_a_word_on_where_it_is_stuck(web: Web):
    web.restart(silent=3, stuck=6)
    until(lambda: len({web.ask() for _ in range(4)}) == 2)
    connection = web.connect()
    stuck = web.ask(on=connection)
    connection.request("GET", "/stuck")
    time.sleep(4.5)
    assert stuck not in {web.ask() for _ in range(4)}
    until(lambda: web.ask("/replaced") == 1)
    assert "has not reported for 6 s" in web.said()
    assert "in application" in web.said()


def test_the_end_loses_no_request(web: Web):
    slow = [web.connect() for _ in range(4)]
    for connection in slow:
        connection.request("GET", "/slow")
    just_come = [web.connect() for _ in range(2)]
    time.sleep(0.2)
    web.parent.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    late = web.connect()
    late.request("GET", "/")
    for connection in just_come:
        connection.request("GET", "/")
    old = {int(connection.getresponse().read()) for connection in (*slow, *just_come)}
    assert web.parent.wait(20) == 0
    web.start()
    assert int(late.getresponse().read()) not in old, "it waited in the socket for the next web"


def test_a_process_that_is_told_to_end_answers_what_it_has_and_is_replaced(web: Web):
    connection = web.connect()
    told = web.ask(on=connection)
    connection.request("GET", "/slow")
    time.sleep(0.1)
    os.kill(told, signal.SIGTERM)
    assert int(connection.getresponse().read()) == told
    until(lambda: web.ask("/running") == 2 and web.ask("/replaced") == 1)


def test_processes_end_with_their_parent(web: Web):
    pids = procfs.children(web.parent.pid)
    web.parent.kill()
    until(lambda: not any(procfs.is_alive(pid) for pid in pids))
