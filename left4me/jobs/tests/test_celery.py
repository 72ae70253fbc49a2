"""Jobs as Celery tasks, seen with Celery's own tools: events, inspect and Flower, with real worker processes."""

from __future__ import annotations

import json
import queue
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from django.conf import settings

from left4me.jobs import actions, dispatch
from left4me.jobs.models import Job, JobLock
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import story
from left4me.jobs.tests.processes import Process, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client"), pytest.mark.slow]


def _state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def _has_ended(job: Job) -> bool:
    return _state(job) in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Events:
    """The events of Celery, in the order in which they arrive."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._arrived: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._seen: list[dict[str, Any]] = []
        self._receiver: Any = None
        self.ready = threading.Event()

    def capture(self) -> None:
        with self._app.connection_for_read() as connection:
            self._receiver = self._app.events.Receiver(connection, handlers={"*": self._arrived.put})
            self._receiver.on_consume_ready = lambda *_, **__: self.ready.set()
            self._receiver.capture(limit=None, timeout=None, wakeup=False)

    def stop(self) -> None:
        self._receiver.should_stop = True

    def of_job(self, job: Job, last: str) -> set[str]:
        """The types of all events about the task of this job that ends with `last`.

        A job can have several tasks: one that came before the worker was ready is sent again.
        """
        while not (ended := [event["uuid"] for event in self._about(job) if event["type"] == last]):
            self._seen.append(self._arrived.get(timeout=30))
        return {event["type"] for event in self._seen if event.get("uuid") == ended[0]}

    def jobs(self) -> set[str]:
        """The arguments of all tasks of jobs that there were events about."""
        return {event["args"] for event in self._seen if event.get("name", "").startswith("jobs.")}

    def received(self, job: Job) -> dict[str, Any]:
        return next(event for event in self._about(job) if event["type"] == "task-received")

    def _about(self, job: Job) -> list[dict[str, Any]]:
        ids = {event["uuid"] for event in self._seen if event["type"] == "task-received" and _is_of(event, job)}
        return [event for event in self._seen if event.get("uuid") in ids]


def _is_of(event: dict[str, Any], job: Job) -> bool:
    return event["name"] == dispatch.task_name(job.operation) and event["args"] == f"({job.pk},)"


@pytest.fixture
def events() -> Iterator[Events]:
    captured = Events(current_app._get_current_object())
    thread = threading.Thread(target=captured.capture, daemon=True)
    thread.start()
    assert captured.ready.wait(30)
    yield captured
    captured.stop()
    thread.join(30)


def _wait_for_worker(ask: Callable[..., Job]) -> None:
    first = ask("diagnostic", "diagnostic:1", lines=1)
    wait_until(lambda: _has_ended(first), what="the worker")


def _enable_events() -> None:
    wait_until(lambda: current_app.control.enable_events(reply=True, timeout=1), what="the worker")


def test_a_worker_sends_no_events_of_tasks_that_nobody_asked_for(events, ask, worker):
    worker()
    _wait_for_worker(ask)
    _enable_events()
    job = ask("diagnostic", "diagnostic:2", lines=1)
    wait_until(lambda: _has_ended(job), what="the job")
    assert events.of_job(job, "task-succeeded") >= {"task-received", "task-succeeded"}
    assert events.jobs() == {f"({job.pk},)"}


def test_a_job_is_seen_by_celery_under_the_name_of_its_operation(events, ask, worker):
    worker()
    _enable_events()
    job = ask("diagnostic", "diagnostic:1", lines=1)
    wait_until(lambda: _has_ended(job), what="the job")
    assert events.of_job(job, "task-succeeded") == {"task-received", "task-started", "task-succeeded"}
    assert events.received(job)["name"] == "jobs.diagnostic"
    assert events.received(job)["args"] == f"({job.pk},)"


def test_a_job_that_fails_fails_for_celery_too(events, ask, worker):
    worker()
    _enable_events()
    job = ask("test-break", "server:1", how="failed")
    wait_until(lambda: _has_ended(job), what="the job")
    assert events.of_job(job, "task-failed") == {"task-received", "task-started", "task-failed"}
    assert events.received(job)["name"] == "jobs.test-break"


def test_inspect_answers_with_what_runs_and_what_could(ask, worker):
    worker()
    job = ask("test-child", "server:1")
    wait_until(lambda: _state(job) == State.RUNNING, what="the job's start")
    inspect = current_app.control.inspect(timeout=5)

    def active_jobs() -> list[tuple[str, list[int]]]:
        ((_name, tasks),) = inspect.active().items()
        return [(task["name"], task["args"]) for task in tasks if task["name"].startswith("jobs.")]

    # A message that was sent twice is a task too, for the moment in which it is refused.
    wait_until(lambda: active_jobs() == [("jobs.test-child", [job.pk])], what="the job alone")
    ((_name, registered),) = inspect.registered().items()
    assert {"jobs.diagnostic", "jobs.start", "jobs.install", "left4me.jobs.sweep"} <= set(registered)
    assert list(inspect.scheduled().values()) == [[]]


def test_a_worker_whose_monitoring_is_off_answers_no_question(ask, worker, monkeypatch):
    monkeypatch.setenv("LEFT4ME_CELERY_MONITORING", "false")
    worker()
    _wait_for_worker(ask)
    assert current_app.control.inspect(timeout=1).active() is None


def test_flower_shows_jobs_by_their_operation(ask, worker, tmp_path: Path):
    worker()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    flower = Process(
        tmp_path / "flower.log",
        *("-m", "celery", "--broker", settings.CELERY_BROKER_URL, "flower", "--address=127.0.0.1", f"--port={port}"),
        FLOWER_UNAUTHENTICATED_API="true",
    )
    try:
        wait_until(lambda: _tasks(port) is not None, what="Flower")
        asked: list[Job] = []

        def is_one_shown() -> bool:
            # Flower enables events some seconds after its start.
            asked.append(ask("diagnostic", "diagnostic:1", lines=1))
            return any(_is_shown(task, job) for task in (_tasks(port) or {}).values() for job in asked)

        wait_until(is_one_shown, what="a job in Flower")
    finally:
        flower.kill()


def _tasks(port: int) -> dict[str, dict[str, Any]] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=5) as answer:
            tasks: dict[str, dict[str, Any]] = json.load(answer)
            return tasks
    except OSError:
        return None


def _is_shown(task: dict[str, Any], job: Job) -> bool:
    return (task["name"], task["args"], task["state"]) == ("jobs.diagnostic", f"({job.pk},)", "SUCCESS")


# --- what a message may be ---


def test_a_doubled_message_runs_the_job_once(ask, worker):
    worker()
    job = ask("diagnostic", "diagnostic:1", lines=1)
    for _ in range(5):
        dispatch.send(job.host, job.pk, job.operation)
    later = ask("diagnostic", "diagnostic:1", lines=1)
    wait_until(lambda: _has_ended(later), what="the job after it")
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
    assert story(job).count("line 1 of 1") == 1


def test_a_message_for_a_job_that_is_gone_is_dropped(ask, worker):
    worker()
    dispatch.send("local", 987_654_321, "diagnostic")
    job = ask("diagnostic", "diagnostic:1", lines=1)
    wait_until(lambda: _has_ended(job), what="the next job")
    assert _state(job) == State.SUCCEEDED


def test_a_job_whose_message_was_lost_is_found_by_the_worker(ask, worker, redis_client):
    worker()
    _wait_for_worker(ask)
    lost = Job.objects.create(operation="diagnostic", resource="diagnostic:7", host="local", params={"lines": 1})
    JobLock.objects.create(job=lost, resource="diagnostic:7", exclusive=True)
    wait_until(lambda: _has_ended(lost), what="the job that was never sent")
    assert _state(lost) == State.SUCCEEDED


def test_jobs_beyond_the_slots_wait_while_periodic_tasks_run(ask, worker, redis_client):
    worker()
    busy = [ask("test-child", f"server:{number + 1}") for number in range(settings.LEFT4ME_JOB_SLOTS)]
    wait_until(lambda: all(_state(job) == State.RUNNING for job in busy), what="jobs in every slot")
    # More than the worker may have received without acknowledging them.
    waiting, *_ = (ask("test-child", f"server:{number}") for number in range(91, 111))
    redis_client.delete("left4me:pulse")
    current_app.send_task("left4me.pulse", queue="host.local")
    wait_until(lambda: redis_client.exists("left4me:pulse"), what="the periodic task")
    assert _state(waiting) == State.QUEUED


def test_a_job_that_waits_for_a_slot_is_one_task_for_celery(events, ask, worker, ada):
    worker()
    _enable_events()
    busy = [ask("test-child", f"server:{number + 1}") for number in range(settings.LEFT4ME_JOB_SLOTS)]
    wait_until(lambda: all(_state(job) == State.RUNNING for job in busy), what="jobs in every slot")
    waiting, unwanted = (ask("diagnostic", f"diagnostic:{number}", lines=1) for number in (1, 2))
    actions.cancel(job=unwanted, by=ada)
    assert events.of_job(unwanted, "task-retried") == {"task-received", "task-started", "task-retried"}
    assert _state(waiting) == State.QUEUED
    actions.cancel(job=busy[0], by=ada)
    assert events.of_job(waiting, "task-succeeded") == {"task-received", "task-started", "task-succeeded"}
