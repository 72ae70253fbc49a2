"""How a job ends as a Celery task, and which messages are held."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Ignore, Retry

from left4me.jobs import dispatch, operations, tasks
from left4me.jobs.execution import Ending
from left4me.jobs.states import State
from left4me.jobs.tasks import JobFailed, JobTask, QueuedAgain
from left4me.jobs.worker import NotNow, NotToRun


class Worker:
    """Answers as it is told."""

    def __init__(self, ending: Ending | Exception | None = None, *, is_full: bool = False) -> None:
        self.ending, self.is_full = ending, is_full
        self.received: list[int] = []
        self.held: list[int] = []

    def run(self, job_id: int) -> Ending:
        if isinstance(self.ending, Exception):
            raise self.ending
        assert self.ending is not None
        return self.ending

    def receive(self, job_id: int) -> bool:
        self.received.append(job_id)
        return self.is_full

    def hold(self, job_id: int, start: Any) -> bool:
        self.held.append(job_id)
        return True


class Events:
    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled, self.sent = enabled, []

    def send(self, kind: str, **fields: Any) -> None:
        self.sent.append((kind, fields))


class TaskOfRequest(JobTask):
    """As Celery runs it for the message abc."""

    request = SimpleNamespace(id="abc")


def task(worker: Worker, events: Events | None = None) -> JobTask:
    celery_worker = SimpleNamespace(consumer=SimpleNamespace(event_dispatcher=events))
    return TaskOfRequest("jobs.test", worker, celery_worker)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ending", "raised", "words", "is_revoked"),
    [
        (Ending(State.FAILED, "no room"), JobFailed, "no room", False),
        (Ending(State.QUEUED), Retry, "job 7 is queued again", False),
        (NotNow("all job slots are taken"), Retry, "job 7 waits: all job slots are taken", False),
        (Ending(State.CANCELLED), Ignore, "was cancelled", True),
        (Ending(None, "settled by another process"), Ignore, "taken over by another worker", True),
        (NotToRun("it is succeeded"), Ignore, "job 7 is not to run: it is succeeded", True),
    ],
    ids=str,
)
def test_a_job_that_did_not_succeed_ends_its_task_as_celery_names_it(ending, raised, words, is_revoked):
    events = Events()
    with pytest.raises(raised, match=words) as ended:
        task(Worker(ending), events).run(7)
    revoked = ("task-revoked", {"uuid": "abc", "terminated": False, "signum": None, "expired": False})
    assert events.sent == ([revoked] if is_revoked else [])
    if raised is Retry:
        assert isinstance(ended.value.exc, QueuedAgain | NotNow)


def test_a_job_that_succeeded_is_a_success():
    events = Events()
    assert task(Worker(Ending(State.SUCCEEDED)), events).run(7) == "succeeded"
    assert events.sent == []


@pytest.mark.parametrize("events", [None, Events(enabled=False)])
def test_without_monitoring_no_event_is_sent(events: Events | None):
    with pytest.raises(Ignore):
        task(Worker(Ending(State.CANCELLED)), events).run(7)
    assert events is None or events.sent == []


@pytest.mark.parametrize(
    ("args", "is_full", "is_held", "received"),
    [
        ([7], True, True, [7]),
        ([7], False, False, [7]),
        (["7"], True, False, []),
        ([7, 8], True, False, []),
        ([], True, False, []),
    ],
)
def test_a_message_of_a_job_is_held_and_acknowledged_while_all_slots_are_taken(args, is_full, is_held, received):
    acknowledged: list[bool] = []
    worker = Worker(is_full=is_full)
    request = SimpleNamespace(args=args, acknowledge=lambda: acknowledged.append(True))
    assert task(worker).hold(request, lambda: None) is is_held
    assert worker.received == received
    assert acknowledged == ([True] if is_held else [])
    assert worker.held == (args if is_held else [])


def test_there_is_a_task_for_each_operation_and_one_for_unknown_ones():
    registered: dict[str, Any] = {}
    app = SimpleNamespace(register_task=lambda each: registered.update({each.name: each}))
    tasks._register(SimpleNamespace(app=app), Worker())
    assert set(registered) == {*map(dispatch.task_name, operations.names()), dispatch.UNKNOWN_TASK}


def test_a_consumer_starts_other_messages_at_once(monkeypatch):
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        tasks.Consumer, "__init__", lambda self, on_task_request, *args: given.update(call=on_task_request)
    )
    started: list[Any] = []
    tasks.PromptConsumer(started.append)
    other = SimpleNamespace(task=object())
    given["call"](other)
    held = SimpleNamespace(task=task(Worker(is_full=True)), args=[7], acknowledge=lambda: None)
    given["call"](held)
    free = SimpleNamespace(task=task(Worker(is_full=False)), args=[7])
    given["call"](free)
    assert started == [other, free]


def test_a_consumer_tries_to_connect_every_two_seconds(monkeypatch):
    options: dict[str, Any] = {}
    connection = SimpleNamespace(ensure_connection=lambda **given: options.update(given))
    monkeypatch.setattr(tasks.Consumer, "__init__", lambda self, *args: None)
    monkeypatch.setattr(tasks.Consumer, "ensure_connected", lambda self, conn: conn.ensure_connection() or conn)
    assert tasks.PromptConsumer(lambda request: None).ensure_connected(connection) is connection
    assert options == {"interval_max": 2}


class StoppedWorker:
    def __init__(self, **options: Any) -> None:
        self.options, self.calls = options, []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self, *, within: float) -> None:
        self.calls.append(within)


def test_the_worker_of_jobs_starts_and_stops_with_that_of_celery(settings, monkeypatch):
    settings.LEFT4ME_SHUTDOWN_SECONDS = 9
    monkeypatch.setattr(tasks, "JobWorker", StoppedWorker)
    monkeypatch.setattr(tasks.process_guard, "guard_this_process", lambda: 4711)
    monkeypatch.setattr(tasks.bootsteps.StartStopStep, "__init__", lambda self, parent, **options: None)
    app = SimpleNamespace(register_task=lambda each: None)
    step = tasks.JobsStep(SimpleNamespace(app=app))
    step.start(None)
    step.stop(None)
    step.terminate(None)
    assert step.worker.calls == ["start", 9, 0]
    assert step.worker.options["guard"] == 4711
    assert step.worker.options["host"] == settings.LEFT4ME_HOST
    assert step.worker.options["slots"] == settings.LEFT4ME_JOB_SLOTS
