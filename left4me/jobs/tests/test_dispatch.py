from __future__ import annotations

import pytest
from celery import current_app

from left4me.core.redis import keys, pubsub
from left4me.jobs import dispatch


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queues to which tasks are sent; the broker takes them all."""
    found: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda *_args, queue, **_options: found.append(queue))
    return found


@pytest.mark.parametrize(("web_url", "sent_to"), [("", ["one", "two"]), ("https://web.example", ["one"])])
def test_a_second_host_sends_jobs_only_to_itself_and_the_first_to_all(queues, settings, web_url, sent_to):
    settings.LEFT4ME_HOST, settings.LEFT4ME_WEB_URL = "one", web_url
    taken = [host for host in ("one", "two") if dispatch.send(host, 1, "diagnostic")]
    assert taken == sent_to
    assert queues == [keys.host_queue(host) for host in sent_to]


def test_a_flood_of_jobs_waits_once_for_a_broker_that_is_away(settings, monkeypatch):
    settings.LEFT4ME_HOST, settings.LEFT4ME_WEB_URL = "one", ""
    tries: list[str] = []

    def fail(name: str, **_options: object) -> None:
        tries.append(name)
        raise ConnectionRefusedError

    monkeypatch.setattr(current_app, "send_task", fail)
    monkeypatch.setattr(pubsub, "_SECONDS_BEFORE_NEXT_TRY", 3600)
    assert [dispatch.send("one", number, "diagnostic") for number in range(3)] == [False] * 3
    assert len(tries) == 1
