"""The whole application, as those see it who watch it: its log lines, its figures, an alert that arrives."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from left4me.alerts.tests.receiver import Receiver
from left4me.testing.whole import Whole

pytestmark = pytest.mark.slow

ID = "asked-by-a-test-1"
SERVICES = ("web", "worker", "beat")


def call(url: str, *, token: str = "", body: Any = None) -> str:
    headers = {"Content-Type": "application/json", "X-Request-ID": ID}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:  # noqa: S310
        return answer.read().decode()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def lines_of_services(text: str) -> list[dict[str, Any]]:
    """What web, worker and beat have logged; fails for what is no JSON object."""
    found = []
    for line in text.splitlines():
        service, bar, said = line.strip().partition("|")
        if bar and service.strip() in SERVICES and said.strip():
            found.append(json.loads(said))
    return found


@pytest.mark.timeout(240)
def test_web_worker_and_beat_are_watched_from_outside(whole: Callable[..., Whole], receiver: Receiver) -> None:
    application = whole(LEFT4ME_LOG_FORMAT="json", LEFT4ME_ALERT_ORIGINS=receiver.origin)
    application.manage("create_user", "ada", "--admin", "--password-stdin", said="correct horse battery\n")
    made = application.manage("create_token", "ada", "--name", "t", "--scope", "admin")
    token = made.split()[-1]
    url = application.url
    channel = {"name": "t", "kind": "webhook", "address": receiver.url(), "events": ["job_failed"]}
    number = json.loads(call(f"{url}/api/v1/alerts", token=token, body=channel))["id"]
    call(f"{url}/api/v1/alerts/{number}/test", token=token, body={})
    wait_for(lambda: receiver.bodies)
    assert receiver.bodies[0]["alerts"][0]["event"] == "test"

    host = json.loads(call(f"{url}/api/v1/hosts", token=token))["items"][0]["id"]
    call(f"{url}/api/v1/hosts/{host}/actions", token=token, body={"operation": "install"})

    def ended() -> bool:
        return 'left4me_jobs_ended_total{host="local",operation="install",state="succeeded"} 1.0' in call(
            f"{url}/metrics"
        )

    wait_for(ended)
    said = lines_of_services((application.root / "up.log").read_text())
    asked = [line for line in said if line.get("request") == ID]
    jobs = [line for line in asked if line["logger"] == "left4me.jobs.execution"]
    assert [line.get("state") for line in jobs] == [None, "succeeded"]
    assert any(line.get("path") == f"/api/v1/hosts/{host}/actions" for line in asked)
    text = json.dumps(said)
    assert token not in text
    assert "token-of-the-webhook" not in text
