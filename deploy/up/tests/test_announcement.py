"""bin/up says that left4me runs when `/ready` answers 200, and names the part that is not ready when it takes long."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.up import __main__ as up


def plan(host: str, port: int) -> dict[str, object]:
    return {"host": host, "port": port, "address": "http://here", "known_as": "localhost"}


class FakeSupervisor:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


class Web(HTTPServer):
    faults: dict[str, str]
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        assert self.path == "/ready"
        self.server.asked += 1
        checks = {"database": "ok", "redis": "ok", "worker": "ok", **self.server.faults}
        self.send_response(503 if self.server.faults else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "", "checks": checks}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    with Web(("127.0.0.1", 0), Handler) as server:
        server.faults = {}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _announcement(web: Web) -> tuple[up._Announcement, list[str]]:
    supervisor = FakeSupervisor()
    return up._Announcement(supervisor, plan("0.0.0.0", web.server_port)), supervisor.said


def test_it_says_that_left4me_runs_once_ready_answers_200(web: Web):
    announce, said = _announcement(web)
    web.faults = {"worker": "beat has sent no task since it started"}
    announce()
    assert said == []
    web.faults = {}
    announce()
    assert said == ["left4me is running at http://here (Ctrl-C stops it, games keep running)"]


def test_it_asks_no_more_once_it_has_said_so(web: Web):
    announce, said = _announcement(web)
    for _ in range(3):
        announce()
    assert (len(said), web.asked) == (1, 1)


def test_it_names_once_the_part_that_is_not_ready(web: Web, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(up, "_SOON_READY_SECONDS", 0)
    announce, said = _announcement(web)
    web.faults = {"worker": "beat has sent no task since it started"}
    announce()
    announce()
    assert said == ["http://here is not ready yet: worker: beat has sent no task since it started"]
    web.faults = {}
    announce()
    assert said[1:] == ["left4me is running at http://here (Ctrl-C stops it, games keep running)"]


def test_a_web_that_does_not_answer_is_named_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(up, "_SOON_READY_SECONDS", 0)
    supervisor = FakeSupervisor()
    up._Announcement(supervisor, plan("127.0.0.1", 1))()
    (said,) = supervisor.said
    assert said.startswith("http://here is not ready yet: the web does not respond (")
