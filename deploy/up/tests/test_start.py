"""How bin/up starts, in this process: the programs that it starts are made up. test_up.py starts the real ones."""

from __future__ import annotations

import http.server
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.up import __main__ as up
from left4me.core.concurrency import Cancelled
from left4me.core.env import Misconfigured
from left4me.core.net import ports
from left4me.core.processes import commands

PLAN = {
    "host": "0.0.0.0",
    "port": 8000,
    "address": "http://here:8000",
    "known_as": "here",
    "broker_is_ours": True,
    "is_prepared": True,
    "hint": "",
}


class Supervised:
    """A supervisor that starts nothing."""

    def __init__(self, **_: object) -> None:
        self.said: list[str] = []
        self.started: list[str] = []
        self.stopping = False
        self.stopped = 0
        self.is_healthy = True

    def listen_to_signals(self) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)

    def start(self, service: Any) -> None:
        self.started.append(service)

    def wait_until(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        assert seconds == 60
        return self.is_healthy

    def run(self, *, each_turn: object) -> None:
        self.started.append(type(each_turn).__name__)

    def stop(self) -> None:
        self.stopped += 1


class Start:
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.plan = dict(PLAN)
        self.supervisor = Supervised()
        self.prepared: list[list[str]] = []
        self.addresses: list[str] = []
        self.refusal: OSError | None = None
        monkeypatch.setattr(up, "Supervisor", lambda **_: self.supervisor)
        monkeypatch.setattr(up.prepare, "plan", lambda: self.plan)
        monkeypatch.setattr(up, "_services", lambda: ["web", "worker", "beat"])
        monkeypatch.setattr(up, "_start_broker", lambda supervisor, root: supervisor.start("broker"))
        monkeypatch.setattr(ports, "refusal", lambda host, port: self.refusal)
        monkeypatch.setattr(commands, "run", self._run)
        monkeypatch.setenv("LEFT4ME_ROOT", str(root))
        monkeypatch.delenv("LEFT4ME_SECRET_KEY", raising=False)
        monkeypatch.setenv("CELERY_SKIP_CHECKS", "")

    def _run(self, argv: list[str], *, cancelled: Callable[[], bool], **_: object) -> None:
        assert argv[:3] == [sys.executable, "-m", "deploy.up.prepare"] and not cancelled()
        self.prepared.append(argv[3:])

    def serve(self, *, demo: bool = False) -> int:
        return up._serve(self.root, demo=demo, say_address=self.addresses.append)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    return Start(tmp_path, monkeypatch)


def test_broker_web_worker_and_beat_start_and_end_together(start: Start):
    assert start.serve() == 0
    assert start.supervisor.started == ["broker", "web", "worker", "beat", "_Announcement"]
    assert (start.addresses, start.prepared, start.supervisor.stopped) == (["http://here:8000"], [], 1)
    assert start.supervisor.said[0] == "stopping" and start.supervisor.said[1].startswith("stopped in 0.")
    assert (os.environ["LEFT4ME_ROOT"], os.environ["CELERY_SKIP_CHECKS"]) == (str(start.root), "true")
    assert not (start.root / "demo").exists()


def test_what_changed_is_prepared_and_a_demo_always(start: Start):
    start.plan |= {"is_prepared": False, "broker_is_ours": False, "hint": "the game needs libraries"}
    start.serve()
    assert (start.prepared, start.supervisor.started[0]) == ([[]], "web")
    assert start.supervisor.said[0] == "the game needs libraries"
    start.plan["is_prepared"] = True
    start.serve(demo=True)
    assert start.prepared == [[], ["--demo"]]
    assert (start.root / "demo").exists()


def test_a_web_that_does_not_start_is_told_unless_it_was_stopped(start: Start):
    start.supervisor.is_healthy = False
    with pytest.raises(up.CannotStart, match="did not start"):
        start.serve()
    start.supervisor.stopping = True
    assert start.serve() == 0
    assert (start.addresses, start.supervisor.stopped) == ([], 2)


def test_a_start_that_is_stopped_while_it_prepares_is_no_failure(start: Start, monkeypatch: pytest.MonkeyPatch):
    def cancel(*_: object, **__: object) -> None:
        raise Cancelled

    monkeypatch.setattr(commands, "run", cancel)
    assert start.serve(demo=True) == 0
    assert start.supervisor.stopped == 1


def test_settings_and_ports_are_refused_before_anything_starts(start: Start, monkeypatch: pytest.MonkeyPatch):
    start.refusal = OSError(98, "in use")
    start.plan["host"] = "::1"
    with pytest.raises(up.CannotStart, match=r"^port 8000 on ::1 cannot .*\(in use\).* LEFT4ME_BIND=\[::1\]:8001\.$"):
        start.serve()
    start.plan["host"] = "127.0.0.1"
    with pytest.raises(up.CannotStart, match=r"LEFT4ME_BIND=127\.0\.0\.1:8001\.$"):
        start.serve()

    def misconfigured() -> None:
        raise Misconfigured("LEFT4ME_PORTS is no range")

    monkeypatch.setattr(up.prepare, "plan", misconfigured)
    with pytest.raises(up.CannotStart, match="LEFT4ME_PORTS is no range"):
        start.serve()
    assert (start.supervisor.started, start.supervisor.stopped) == ([], 0)


def test_a_secret_key_is_made_once_and_only_where_the_environment_has_none(start: Start, monkeypatch):
    start.serve()
    key = start.root / "secret_key"
    text = key.read_text()
    assert (key.stat().st_mode & 0o777, len(text.strip())) == (0o600, 64)
    start.serve()
    assert key.read_text() == text
    key.unlink()
    monkeypatch.setenv("LEFT4ME_SECRET_KEY", "own")
    start.serve()
    assert not key.exists()


class Command:
    """`bin/up` with these options."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.served: list[tuple[Path, bool]] = []
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(up, "_serve", self._serve)

    def _serve(self, root: Path, *, demo: bool, say_address: Callable[[str], None]) -> int:
        self.served.append((root, demo))
        say_address("http://here:8000")
        return 5

    def run(self, *options: str) -> int:
        self._monkeypatch.setattr(sys, "argv", ["bin/up", *options])
        return up.main()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(monkeypatch)


def test_data_is_in_the_checkout_or_where_the_environment_says(command: Command, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(up, "_REPOSITORY", tmp_path)
    monkeypatch.delenv("LEFT4ME_ROOT", raising=False)
    assert command.run() == 5
    monkeypatch.setenv("LEFT4ME_ROOT", str(tmp_path / "elsewhere/data"))
    command.run("--demo")
    assert command.served == [(tmp_path / "var", False), (tmp_path / "elsewhere/data", True)]
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "var/run/up.lock").read_text() == f"http://here:8000, process {os.getpid()}"


def test_a_second_start_says_where_the_first_one_runs(command: Command, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("LEFT4ME_ROOT", str(tmp_path))
    with up._only_one(tmp_path) as say_address:
        assert command.run() == 1
        assert f"already running on {tmp_path} (starting, process {os.getpid()})." in capsys.readouterr().err
        say_address("http://here:8000")
        assert command.run() == 1
    assert capsys.readouterr().err.startswith("bin/up: left4me is already running on ")
    assert command.served == []


def test_a_folder_that_cannot_be_written_is_named(command: Command, tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEFT4ME_ROOT", str(tmp_path / "file/data"))
    assert command.run() == 1
    assert f"{tmp_path}/file/data cannot be written (Not a directory)" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 3])
def test_games_are_stopped_without_a_start(command: Command, monkeypatch, capsys, status: int):
    def run(argv: list[str], *, on_line: Callable[[str], None], check: bool, **_: object) -> commands.Finished:
        assert (argv, check) == ([sys.executable, "manage.py", "stop_games"], False)
        on_line("one is stopped")
        return commands.Finished(status=status, output="", seconds=0)

    monkeypatch.setattr(commands, "run", run)
    assert command.run("--stop-games") == status
    assert (capsys.readouterr().out, command.served) == ("one is stopped\n", [])


class _Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        is_asked = (self.path, self.headers["Host"]) == ("/health", "here")
        self.send_response(self.status if is_asked else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def web() -> Iterator[tuple[type[_Health], int]]:
    handler = type("Handler", (_Health,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler, server.server_port
        server.shutdown()


def test_a_web_is_healthy_that_answers_200(web: tuple[type[_Health], int]):
    handler, port = web
    assert up._healthy({**PLAN, "port": port})
    handler.status = 503
    assert not up._healthy({**PLAN, "port": port})
    assert not up._healthy({**PLAN, "port": 1})
