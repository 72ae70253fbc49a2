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


def test_a_message_that_comes_when_it_is_its_turn_goes_before_all_others(monkeypatch, settings):
    settings.LEFT4ME_WEB_URL = ""
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, *, args, priority, **_: sent.append((name, args, priority))
    )
    assert dispatch.send("one", 7, "diagnostic")
    assert dispatch.send("one", 8, "diagnostic", its_turn=True)
    assert dispatch.send("one", 9, "of-another-release")
    assert sent == [("jobs.diagnostic", (7,), 6), ("jobs.diagnostic", (8,), 0), ("jobs.unknown", (9,), 6)]


def test_a_host_that_cannot_be_sent_messages_has_no_runnable_jobs(ask, settings, monkeypatch):
    settings.LEFT4ME_HOST, settings.LEFT4ME_WEB_URL = "one", "https://web.example"
    for host in ("one", "two"):
        for number in (1, 2):
            ask("test-start", f"server:{number}", host=host)
    assert [len(dispatch.runnable(host, most=2)) for host in ("one", "two")] == [2, 0]
    settings.LEFT4ME_WEB_URL = ""
    assert [len(dispatch.runnable("one", most=most)) for most in (2, 1, 0)] == [2, 1, 0]
    monkeypatch.setattr(pubsub, "is_away", lambda: True)
    assert dispatch.runnable("one", most=2) == []


def test_after_the_commit_the_oldest_jobs_of_a_host_are_sent(
    ask, queues, settings, monkeypatch, django_capture_on_commit_callbacks
):
    settings.LEFT4ME_JOB_SLOTS, settings.LEFT4ME_WEB_URL = 2, ""
    jobs = [ask("test-kill", f"server:{number}") for number in (1, 2, 3)]
    sent: list[tuple[int, bool]] = []
    monkeypatch.setattr(dispatch, "send", lambda host, job, operation, its_turn: sent.append((job, its_turn)))
    with django_capture_on_commit_callbacks(execute=True):
        dispatch.send_runnable_after_commit("local")
        assert sent == []
    assert sent == [(job.pk, True) for job in jobs[:2]]


def test_a_message_keeps_no_result_and_nobody_waits_for_a_broker_to_come_back(monkeypatch, settings):
    settings.LEFT4ME_WEB_URL = ""
    given: dict[str, object] = {}
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: given.update(options))
    dispatch.send("one", 7, "diagnostic")
    assert (given["ignore_result"], given["retry"]) == (True, False)
