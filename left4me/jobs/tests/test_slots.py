"""Messages of jobs that arrive while all slots of the worker are taken."""

from __future__ import annotations

import pytest

from left4me.jobs import actions, dispatch, execution, transitions
from left4me.jobs import worker as worker_module
from left4me.jobs.models import Job
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import LEASE, NOW
from left4me.jobs.worker import JobWorker, NotNow


@pytest.fixture
def worker(db, redis_client):
    made = JobWorker(host="local", slots=1)
    made._may_claim = True
    return made


@pytest.fixture
def while_running(monkeypatch):
    """Have a function called while the next job is in its slot."""

    def add(call):
        execute = execution.execute

        def execute_after_call(run):
            monkeypatch.setattr(execution, "execute", execute)
            call()
            return execute(run)

        monkeypatch.setattr(execution, "execute", execute_after_call)

    return add


@pytest.fixture
def sent(monkeypatch):
    sent = []
    monkeypatch.setattr(dispatch, "send", lambda host, job_id, operation, **_: sent.append(job_id))
    return sent


def test_a_message_that_finds_all_slots_taken_is_held_and_started_once_when_one_is_free(
    ask, worker, while_running, sent
):
    first, second, third = (ask("test-start", f"server:{n}") for n in (1, 2, 3))
    started = []

    def receive_others():
        assert worker.hold(second.pk, lambda: started.append(second.pk))
        assert worker.hold(third.pk, lambda: started.append(third.pk))

    while_running(receive_others)
    assert worker.run(first.pk).state is State.SUCCEEDED
    assert started == [second.pk]
    assert worker.run(second.pk).state is State.SUCCEEDED
    assert started == [second.pk, third.pk]
    assert worker.run(third.pk).state is State.SUCCEEDED
    assert started == [second.pk, third.pk]
    assert sent == []


def test_a_message_that_finds_a_free_slot_is_not_held(ask, worker):
    assert not worker.hold(ask("test-start").pk, pytest.fail)


def test_a_message_beyond_the_most_that_are_held_is_tried_and_sent_again(
    ask, worker, while_running, sent, monkeypatch
):
    monkeypatch.setattr(worker_module, "_MOST_HELD", 0)
    first, second = ask("test-start"), ask("test-start", "server:2")

    def receive_second():
        assert not worker.hold(second.pk, pytest.fail)
        with pytest.raises(NotNow):
            worker.run(second.pk)

    while_running(receive_second)
    worker.run(first.pk)
    assert sent == [second.pk]


def test_a_held_message_waits_for_its_lock_and_older_jobs_go_first(ask, worker, while_running, sent):
    first, blocked, free = ask("test-start"), ask("test-install", "game"), ask("test-kill", "server:9")
    started = []

    def receive_others():
        assert worker.hold(free.pk, lambda: started.append(free.pk))
        assert worker.hold(blocked.pk, lambda: started.append(blocked.pk))

    while_running(receive_others)
    worker.run(first.pk)
    assert started == [blocked.pk]
    worker.run(blocked.pk)
    assert started == [blocked.pk, free.pk]


def test_the_held_message_of_a_job_that_was_cancelled_is_started_too_so_that_celery_forgets_it(
    ask, worker, while_running, ada
):
    first, second = ask("test-start"), ask("test-start", "server:2")
    started = []

    def cancel_second():
        assert worker.hold(second.pk, lambda: started.append(second.pk))
        actions.cancel(job=second, by=ada)

    while_running(cancel_second)
    worker.run(first.pk)
    assert started == []
    worker._forget_what_is_settled()
    worker._forget_what_is_settled()
    assert started == [second.pk]


def test_a_worker_with_a_free_slot_takes_the_job_that_a_neighbour_holds(ask, worker, while_running, sent):
    first, at_neighbour, third, on_its_way = (ask("test-start", f"server:{n}") for n in (1, 2, 3, 4))
    started = []

    def receive_third():
        assert worker.receive(third.pk)
        assert worker.hold(third.pk, lambda: started.append(third.pk))

    assert not worker.receive(first.pk)
    while_running(receive_third)
    worker.run(first.pk)
    assert (started, sent) == ([], [at_neighbour.pk])
    worker.run(at_neighbour.pk)
    worker.run(third.pk)
    assert (started, sent) == ([third.pk], [at_neighbour.pk])
    assert Job.objects.get(pk=on_its_way.pk).state == State.QUEUED


def test_a_job_runs_although_a_neighbour_took_the_older_one_that_this_worker_had_sent(ask, worker, sent):
    older, younger = ask("test-start"), ask("test-start", "server:2")
    worker._send_runnable()
    assert sent == [older.pk]
    (taken,) = transitions.claim(host="local", worker="neighbour", limit=1, now=NOW, lease=LEASE)
    assert taken == older
    assert worker.run(younger.pk).state is State.SUCCEEDED
