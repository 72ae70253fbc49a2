"""Each request is one line, found together with its answer and its jobs."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from django.test import Client

from left4me.core import logbook
from left4me.jobs import actions
from left4me.jobs.models import Job
from left4me.site.middleware import request_log
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from servers.tests.factories import make_server

ID = "given-by-the-proxy-1"


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logbook.Json())
        self.said: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(json.loads(self.format(record)))

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [line for line in self.said if line["logger"] == logger]


@pytest.fixture
def lines(request: pytest.FixtureRequest):
    """What is logged in the form json."""
    lines = Lines()
    root, requests = logging.getLogger(), logging.getLogger("left4me.site.middleware.request_log")
    level = requests.level
    requests.setLevel(logging.INFO)
    root.addHandler(lines)
    yield lines
    root.removeHandler(lines)
    requests.setLevel(level)


def test_a_request_is_one_line_with_who_what_and_how_it_went(client: Client, cast: Cast, lines: Lines):
    client.force_login(cast.owner)
    answer = client.get("/servers?q=secret-search", headers={"X-Request-ID": ID})
    (line,) = lines.of("left4me.site.middleware.request_log")
    assert answer["X-Request-ID"] == line["request"] == ID
    assert (line["method"], line["path"], line["status"], line["user"]) == ("GET", "/servers", 200, cast.owner.pk)
    assert isinstance(line["ms"], int)
    assert "secret-search" not in json.dumps(lines.said)


def test_one_without_an_id_gets_one(client: Client, db: None, lines: Lines):
    answer = client.get("/accounts/login/", headers={"X-Request-ID": "bad id\n"})
    assert answer["X-Request-ID"] == lines.of("left4me.site.middleware.request_log")[0]["request"]
    assert len(answer["X-Request-ID"]) == 32


def test_what_others_refuse_is_logged_too(client: Client, db: None, lines: Lines):
    client.get("/accounts/login/", headers={"Host": "evil.example"})
    client.get("/nothing-here")
    assert [line["status"] for line in lines.of("left4me.site.middleware.request_log")] == [400, 404]


def test_secrets_in_paths_are_masked(client: Client, db: None, lines: Lines):
    for path in ("/accounts/invitation/sEcReT/", "/accounts/new-password/sEcReT/", "/join/sEcReT", "/join/sEcReT/x"):
        client.get(path)
    assert len(lines.of("left4me.site.middleware.request_log")) == 4
    assert "sEcReT" not in json.dumps(lines.said)


def test_a_fault_is_one_object_with_its_traceback_and_request(
    client: Client, db: None, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    def fail() -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("left4me.site.views._database_fault", fail)
    client.raise_request_exception = False
    assert client.get("/ready", headers={"X-Request-ID": ID}).status_code == 500
    (fault,) = lines.of("django.request")
    assert fault["request"] == ID
    assert fault["exception"]["message"] == "the disk is on fire"
    assert "_database_fault" in fault["exception"]["traceback"]
    assert lines.of("left4me.site.middleware.request_log")[0]["level"] == "error"


def test_probes_that_succeed_say_nothing(client: Client, db: None, lines: Lines):
    client.get("/health")
    assert lines.of("left4me.site.middleware.request_log") == []


def test_a_job_s_lines_carry_the_id_of_the_request_that_asked_for_it(
    client: Client, cast: Cast, lines: Lines, redis_client: object
):
    server = make_server(cast.owner)
    client.force_login(cast.owner)
    client.post(f"/servers/{server.pk}/actions", {"operation": "start"}, headers={"X-Request-ID": ID})
    assert Job.objects.get().request_id == ID
    (job,) = drain(host="local")
    starts, ends = lines.of("left4me.jobs.execution")
    for line in (starts, ends):
        assert (line["request"], line["job"], line["user"], line["host"]) == (ID, job.pk, cast.owner.pk, "local")
        assert (line["operation"], line["resource"]) == ("start", server.resource)
    assert ends["state"] == "failed"
    assert ends["ms"] >= 0


def test_a_job_of_the_system_carries_none(cast: Cast, lines: Lines):
    actions.request(operation="start", resource=make_server(cast.owner).resource, by=None, host="local")
    drain(host="local")
    assert [line["request"] for line in lines.of("left4me.jobs.execution")] == [None, None]


def test_a_stream_is_a_line_when_it_has_ended(lines: Lines):
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        logbook.add(user=5)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"method": "GET", "path": "/jobs/1/stream", "headers": [(b"x-request-id", ID.encode())]}
    asyncio.run(request_log.logged(stream)(scope, None, send))  # type: ignore[arg-type]
    (line,) = lines.of("left4me.site.middleware.request_log")
    assert (line["request"], line["status"], line["user"]) == (ID, 200, 5)
    assert (b"x-request-id", ID.encode()) in sent[0]["headers"]
