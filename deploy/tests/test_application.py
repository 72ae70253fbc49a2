"""The installed application: how its commands are run, and when it counts as ready."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.ops import application
from deploy.ops.layout import Layout
from deploy.ops.machine import services
from left4me.core.processes import commands, identity
from left4me.core.redis import keys


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    (layout.releases / "20261101-abc1234").mkdir(parents=True)
    layout.current.symlink_to("releases/20261101-abc1234")
    layout.settings.mkdir(parents=True)
    layout.settings_file.write_text("LEFT4ME_HOST=local\nPORT=1\n")
    layout.units.mkdir(parents=True)
    (layout.units / services.WEB).touch()
    return layout


SOMEBODY = identity.Identity(64123, 64123, groups=())


@pytest.mark.parametrize("user", [None, SOMEBODY])
def test_commands_run_as_the_application_in_its_release_with_its_settings(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, user: identity.Identity | None
) -> None:
    ran: list[tuple[list[str], dict[str, Any]]] = []

    def run(argv: list[object], **options: Any) -> commands.Finished:
        ran.append(([str(word) for word in argv], options))
        return commands.Finished(status=0, output="", seconds=0)

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(application, "account", lambda: user)
    application.manage(layout, "check", settings={"PORT": "2"})
    application.manage(layout, "check", release=layout.releases / "other", check=False, timeout=5)
    tree = (layout.releases / "20261101-abc1234").resolve()
    (argv, options), (other_argv, other) = ran
    program = [f"{tree}/.venv/bin/python", f"{tree}/manage.py", "check"]
    assert argv == (program if user is None else ["/usr/bin/setpriv", "--no-new-privs", "--", *program])
    assert options["env"] == {
        "HOME": str(layout.data),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LEFT4ME_ROOT": str(layout.data),
        "LEFT4ME_HOST": "local",
        "PORT": "2",
    }
    assert (options["cwd"], options["identity"], options["timeout"], options["check"]) == (tree, user, 600, True)
    assert str(other["cwd"]).endswith("releases/other") and f"{other['cwd']}/manage.py" in other_argv
    assert (other["env"]["PORT"], other["timeout"], other["check"]) == ("1", 5, False)


@pytest.mark.parametrize("user", [None, SOMEBODY])
def test_left4mectl_manage_becomes_the_command_with_the_terminal_s_variables(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, user: identity.Identity | None
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(application, "account", lambda: user)
    monkeypatch.setattr(identity.Identity, "assume", lambda self: done.append(self))
    monkeypatch.setattr(os, "chdir", lambda path: done.append(path))
    monkeypatch.setattr(os, "execve", lambda *arguments: done.append(arguments))
    monkeypatch.setattr(os, "environ", {"TERM": "xterm", "COLUMNS": "99", "LD_PRELOAD": "x", "PATH": "/tmp"})
    application.become_manage(layout, ["shell", "-v1"])
    tree = str((layout.releases / "20261101-abc1234").resolve())
    (program, argv, variables) = done.pop()
    assert program == f"{tree}/.venv/bin/python"
    assert argv == [program, f"{tree}/manage.py", "shell", "-v1"]
    assert variables == {**application.surroundings(layout), "TERM": "xterm", "COLUMNS": "99"}
    assert [str(each) for each in done[:1]] == [tree]
    assert done[1:] == ([] if user is None else [user])


def test_root_gives_up_its_rights_and_others_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "of_user", lambda name: (name, SOMEBODY))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert application.account() == ("left4me", SOMEBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert application.account() is None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """A socket, and what is written to it."""
    received: list[bytes] = []
    path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            client, _address = server.accept()
            with client:
                received.append(client.recv(1000))
                client.sendall(b"+OK\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield path, received
        thread.join(10)


@pytest.mark.parametrize(("login", "sent"), [("", ""), (":a%2Fb@", "AUTH a/b\r\n")])
def test_the_last_pulse_is_forgotten(layout: Layout, redis: tuple[Path, list[bytes]], login: str, sent: str) -> None:
    path, received = redis
    layout.settings_file.write_text(f"REDIS_URL=unix://{login}{path}\n")
    application.forget_pulse(layout)
    assert received == [f"{sent}DEL {keys.PULSE}\r\n".encode()]


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0", "unix:///nonexistent/redis.sock"])
def test_a_redis_elsewhere_or_none_keeps_its_pulse(layout: Layout, url: str) -> None:
    layout.settings_file.write_text(f"REDIS_URL={url}\n")
    application.forget_pulse(layout)


class _Web(http.server.BaseHTTPRequestHandler):
    status, body = 200, b""
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers['Host']}")
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"", ""),
        (
            503,
            json.dumps({"checks": {"worker": "is away", "web": "ok", "beat": "is late"}}).encode(),
            "worker: is away; beat: is late",
        ),
        (503, json.dumps({"checks": {"web": "ok"}}).encode(), "/ready answered 503"),
        (400, b"<html>", "/ready answered 400"),
        (503, b"[]", "/ready answered 503"),
        (503, b'{"checks": 1}', "/ready answered 503"),
        (500, b"{}", "/ready answered 500"),
    ],
)
def test_the_web_itself_says_why_it_is_not_ready(status: int, body: bytes, why: str) -> None:
    handler = type("Handler", (_Web,), {"status": status, "body": body, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert application.not_ready("127.0.0.1", server.server_port, known_as="example.org", seconds=20) == why
        server.shutdown()
    assert handler.asked == ["/ready example.org"]


@pytest.mark.parametrize(
    ("bound", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("[::]", "::1"), ("[fd00::1]", "fd00::1"), ("10.0.0.1", "10.0.0.1")],
)
def test_an_address_is_reached_on_this_machine(bound: str, reached: str) -> None:
    assert application.reachable(bound) == reached


@pytest.mark.parametrize(
    ("names", "known"), [("", "127.0.0.1"), (" , a.org, b.org", "a.org"), (".a.org,b.org", "a.org")]
)
def test_the_web_is_asked_by_a_name_that_it_accepts(names: str, known: str) -> None:
    assert application.known_host({"LEFT4ME_ALLOWED_HOSTS": names}) == known
    assert application.known_host({}) == "127.0.0.1"


def test_a_web_is_waited_for_until_it_is_ready(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["the worker is away", "the worker is away", ""]
    monkeypatch.setattr(application, "unready", lambda layout: answers.pop(0))
    monkeypatch.setattr(application, "_LOOK_EVERY", 0)
    assert application.wait_until_ready(layout, seconds=60) == ""
    assert answers == []
    monkeypatch.setattr(application, "unready", lambda layout: "the worker is away")
    assert application.wait_until_ready(layout, seconds=0) == "the worker is away"


def test_a_worker_host_is_ready_while_its_worker_runs(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    (layout.units / services.WEB).unlink()
    monkeypatch.setattr(application, "_LOOK_EVERY", 0)
    monkeypatch.setattr(application, "_WATCH_WORKER_SECONDS", 0.05)
    active = [True]
    monkeypatch.setattr(services, "are_active", lambda units: units == [services.WORKER] and active[0])
    assert application.unready(layout) == ""
    assert application.wait_until_ready(layout, seconds=0) == ""
    active[0] = False
    assert application.unready(layout) == "the worker is not running"
    assert application.wait_until_ready(layout, seconds=0) == "the worker is not running"
