"""When a worker claims a job, refuses one, and how it stops: without processes."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from left4me.jobs import dispatch, execution, identity, operations, sweep, transitions
from left4me.jobs import worker as worker_module
from left4me.jobs.execution import Stop
from left4me.jobs.models import Job
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import LEASE, NOW, story
from left4me.jobs.worker import JobWorker, NotNow, NotToRun


@pytest.fixture
def worker(db) -> JobWorker:
    made = JobWorker(host="local", slots=1)
    made._may_claim = True
    return made


@pytest.fixture(autouse=True)
def sent(monkeypatch) -> list[int]:
    sent: list[int] = []
    monkeypatch.setattr(dispatch, "send", lambda host, job_id, operation, **_: sent.append(job_id))
    monkeypatch.setattr(dispatch, "_is_out_of_reach", lambda host: False)
    return sent


def refused(worker: JobWorker, job_id: int) -> str:
    with pytest.raises((NotNow, NotToRun)) as caught:
        worker.run(job_id)
    assert worker._in_slots == set()
    assert worker._slots.acquire(blocking=False), "the slot is free again"
    worker._slots.release()
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_worker_that_is_not_ready_or_stops_takes_no_job(ask, worker):
    job = ask("test-start")
    worker._may_claim = False
    assert refused(worker, job.pk) == "NotNow: this worker is not ready yet"
    worker._refused = "The database is newer."
    assert refused(worker, job.pk) == "NotNow: The database is newer."
    worker._may_claim = True
    worker._stopping.set()
    assert refused(worker, job.pk) == "NotNow: this worker stops"
    assert worker._deferred == {job.pk: None}
    assert Job.objects.get().state == State.QUEUED


def test_a_message_says_why_its_job_does_not_run(ask, worker):
    first, second = ask("test-start"), ask("test-install", "server:1")
    assert refused(worker, second.pk) == "NotNow: it is not its turn"
    transitions.claim(host="local", worker="other", limit=1, now=NOW, lease=LEASE)
    assert refused(worker, first.pk) == "NotToRun: it is running"
    assert refused(worker, 10**9) == "NotToRun: there is no such job"
    assert second.pk in worker._deferred and first.pk not in worker._deferred


def test_a_job_whose_secrets_cannot_be_read_fails_without_a_word_of_them(ask, worker, monkeypatch):
    def fail(job: Any) -> list[str]:
        raise ValueError("hunter2")

    operation = operations.get("test-start")
    monkeypatch.setitem(
        operations._operations, "test-start", operations.Operation(**{**vars(operation), "secrets": fail})
    )
    job = ask("test-start")
    ending = worker.run(job.pk)
    job.refresh_from_db()
    assert (ending.state, job.state, job.exit_code) == (State.FAILED, State.FAILED, 1)
    assert job.error == ending.error == "The job could not start: ValueError."
    assert "hunter2" not in "".join(story(job))
    assert worker._runs == {}


def test_a_job_that_is_claimed_while_the_worker_begins_to_stop_is_told_at_once(ask, worker, monkeypatch):
    seen: list[Any] = []
    claim = transitions.claim

    def claim_and_stop(**options: Any) -> list[Job]:
        worker._stopping.set()
        return claim(**options)

    monkeypatch.setattr(transitions, "claim", claim_and_stop)
    monkeypatch.setattr(execution, "execute", lambda run: seen.append(run.stopped_for) or execution.Ending(None))
    for operation in ("test-start", "test-install"):
        worker._stopping.clear()
        worker.run(ask(operation, f"server:{len(seen) + 1}").pk)
    assert seen == [Stop.SHUTDOWN, None]


def test_a_run_has_its_lease_for_ten_seconds(ask, worker, monkeypatch):
    seen: list[float] = []
    monkeypatch.setattr(execution, "execute", lambda run: seen.append(run.lease_ends) or execution.Ending(None))
    before = time.monotonic()
    worker.run(ask("test-start").pk)
    assert before + 10 <= seen[0] <= time.monotonic() + 10
    assert worker._runs == {}


# --- readiness ---


def test_whether_the_worker_may_take_jobs_is_looked_up_every_ten_seconds(db, monkeypatch, caplog):
    now, answers = [1_000.0], ["The database is newer.", "The database is newer.", ""]
    monkeypatch.setattr(worker_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    worker = JobWorker(host="local", slots=1, refusal=lambda: answers.pop(0))
    found = []
    for now[0] in (1_000.0, 1_009.9, 1_010.0, 1_020.0):
        worker._update_may_claim()
        found.append((worker._may_claim, worker._refused, len(answers)))
    assert found == [
        (False, "The database is newer.", 2),
        (False, "The database is newer.", 2),
        (False, "The database is newer.", 1),
        (True, "", 0),
    ]
    assert [record.message for record in caplog.records] == [
        "The database is newer.",
        "This worker accepts jobs again",
    ]


@pytest.mark.django_db(transaction=True)
def test_the_jobs_of_a_dead_predecessor_are_settled_once_and_before_any_is_taken(monkeypatch):
    worker = JobWorker(host="local", slots=1)
    monkeypatch.setattr(worker_module, "_SEND_AGAIN_EVERY", 0.001)
    monkeypatch.setattr(worker_module, "_PAUSE_AFTER_FAILURE", 0.001)
    calls: list[str] = []

    def take_over(*, host: str, now: Any) -> int:
        calls.append("take over")
        assert not worker._may_claim
        if len(calls) == 1:
            raise OSError("away")
        return 0

    def send() -> None:
        calls.append("send")
        if calls.count("send") == 3:
            worker._stopping.set()

    monkeypatch.setattr(sweep, "take_over_dead", take_over)
    monkeypatch.setattr(worker, "_send_runnable", send)
    worker._send_again()
    assert calls == ["take over", "send", "take over", "send", "send"]
    assert worker._may_claim


def test_nothing_is_sent_by_a_worker_that_may_not_take_it(ask, worker, sent):
    job = ask("test-start")
    worker._may_claim = False
    worker._send_runnable()
    worker._may_claim = True
    worker._stopping.set()
    worker._send_runnable()
    assert sent == []
    worker._stopping.clear()
    worker._send_runnable()
    assert sent == [job.pk]
    assert worker._lost == worker._coming == {job.pk}


def test_only_what_fits_into_the_free_slots_is_sent(ask, sent, db):
    worker = JobWorker(host="local", slots=3)
    worker._may_claim = True
    jobs = [ask("test-start", f"server:{number}") for number in range(1, 6)]
    worker._runs[10**9] = SimpleNamespace()  # type: ignore[assignment]
    worker._send_runnable()
    assert sent == [job.pk for job in jobs[:2]]
    sent.clear()
    worker._send_runnable(lambda job_id: job_id != jobs[0].pk)
    assert sent == [jobs[1].pk]


def test_a_failure_to_send_is_not_the_worker_s_end(ask, worker, monkeypatch, caplog):
    monkeypatch.setattr(dispatch, "runnable", lambda host, most: 1 / 0)
    worker._send_runnable()
    assert "Could not send the tasks of queued jobs" in caplog.text


def test_after_a_job_whose_message_was_lost_the_next_is_sent_at_once(ask, worker, sent):
    first, second = ask("test-start"), ask("test-start", "server:2")
    worker._send_runnable()
    assert worker.run(first.pk).state is State.SUCCEEDED
    assert sent == [first.pk, second.pk]
    assert worker._lost == {second.pk}
    assert worker.run(second.pk).state is State.SUCCEEDED
    assert worker._lost == set()


def test_after_a_job_whose_message_came_nothing_is_sent(ask, worker, sent):
    first, _second = ask("test-start"), ask("test-start", "server:2")
    worker.receive(first.pk)
    worker.run(first.pk)
    assert sent == []


def test_a_message_is_only_received_while_there_is_a_slot(ask, worker):
    assert not worker.receive(5)
    assert (worker._newest, worker._coming) == (5, {5})
    worker._in_slots.add(9)
    assert worker.receive(3)
    assert worker._newest == 5


# --- the end ---


class Run:
    def __init__(self, *, may_run_again: bool) -> None:
        self.may_run_again, self.asked = may_run_again, []

    def request_stop(self, why: Stop) -> None:
        self.asked.append(why)


@pytest.fixture
def exits(monkeypatch) -> list[int]:
    exits: list[int] = []
    monkeypatch.setattr(worker_module.os, "_exit", exits.append)
    monkeypatch.setattr(worker_module, "_SECONDS_TO_STOP", 0.01)
    return exits


def test_an_idle_worker_stops_at_once(worker, exits):
    worker.stop(within=60)
    assert worker._stopping.is_set() and worker._stopped.is_set()
    assert exits == []


def test_jobs_that_may_run_again_are_told_at_once_and_others_after_their_time(worker, exits, caplog):
    again, once = Run(may_run_again=True), Run(may_run_again=False)
    worker._runs.update({2: again, 1: once})  # type: ignore[dict-item]
    worker.stop(within=0.01)
    assert again.asked == [Stop.SHUTDOWN] * 2
    assert once.asked == [Stop.SHUTDOWN]
    assert exits == [0]
    assert "Jobs [1, 2] do not stop. The worker exits without them" in caplog.text


def test_a_worker_waits_for_jobs_that_end_in_time(worker, exits):
    once = Run(may_run_again=False)
    worker._runs[1] = once  # type: ignore[assignment]

    def end() -> None:
        with worker._idle:
            worker._runs.clear()
            worker._idle.notify_all()

    timer = threading.Timer(0.02, end)
    timer.start()
    worker.stop(within=30)
    timer.join()
    assert (once.asked, exits) == ([], [])


def test_a_worker_has_a_name_of_its_own():
    one, other = JobWorker(host="local", slots=1), JobWorker(host="local", slots=1)
    assert one.worker != other.worker
    assert not identity.is_provably_dead(one.worker)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("fault", "pause"), [(None, 3.0), (OSError("away"), 1.0)])
def test_lost_messages_are_sent_again_every_three_seconds(monkeypatch, fault: Exception | None, pause: float):
    worker = JobWorker(host="local", slots=1)
    waits: list[float] = []

    class Stopping:
        def wait(self, seconds: float) -> None:
            waits.append(seconds)

        def is_set(self) -> bool:
            return len(waits) == 2

    def take_over(**_: Any) -> int:
        if fault is not None:
            raise fault
        return 0

    monkeypatch.setattr(sweep, "take_over_dead", take_over)
    monkeypatch.setattr(worker, "_send_runnable", lambda: None)
    monkeypatch.setattr(worker, "_stopping", Stopping())
    worker._send_again()
    assert waits == [pause] * 2


def test_jobs_that_were_told_to_stop_have_two_seconds(worker, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(worker, "_wait_until_idle", lambda seconds: bool(waits.append(seconds)))
    monkeypatch.setattr(worker_module.os, "_exit", lambda status: None)
    worker.stop(within=9)
    assert waits == [9, 2.0]


def test_a_thousand_messages_are_held_at_most(worker):
    worker._in_slots.add(1)
    for number in range(2, 1_005):
        worker.hold(number, pytest.fail)
    assert len(worker._deferred) == 1_000
