"""The engine with everything real: worker processes, Redis, the database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Max, Min
from django.utils import timezone

from left4me.core import schema
from left4me.jobs import actions, transitions
from left4me.jobs.models import Job, JobLock, JobLog
from left4me.jobs.states import State
from left4me.jobs.tests.conftest import LEASE, story
from left4me.jobs.tests.processes import alive, wait_until
from left4me.testing.redis_server import own_redis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client"), pytest.mark.slow]


def _state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def _ended(job: Job) -> bool:
    return _state(job) in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


def _child_of(job: Job) -> int:
    wait_until(lambda: any(line.startswith("pid ") for line in story(job)), what="the child's pid")
    return int(next(line for line in story(job) if line.startswith("pid ")).split()[1])


def _lease_keeper(*jobs: Job) -> Callable[[], None]:
    """Return what renews the leases of a dead worker: only a successor that knows it dead takes its jobs then."""
    dead = Job.objects.get(pk=jobs[0].pk).worker

    def keep() -> None:
        transitions.renew(worker=dead, jobs=[job.pk for job in jobs], now=timezone.now(), lease=LEASE)

    return keep


def test_a_request_puts_a_wake_up_on_the_queue_of_its_host(ask, redis_client):
    ask("diagnostic", "diagnostic:1", host="far-away")
    (queue,) = redis_client.keys("host.far-away*")  # its name ends with the priority
    (message,) = redis_client.lrange(queue, 0, -1)
    assert json.loads(message)["headers"]["task"] == "jobs.diagnostic"


def test_a_worker_runs_what_is_asked_and_what_it_was_never_told_of(ask, worker):
    worker()
    first = ask("diagnostic", "diagnostic:1", lines=2)
    wait_until(lambda: _ended(first))
    assert _state(first) == State.SUCCEEDED
    assert story(first) == ["Requested by the system.", "line 1 of 2", "line 2 of 2"]

    untold = Job.objects.create(operation="diagnostic", resource="diagnostic:2", host="local")
    JobLock.objects.create(job=untold, resource="diagnostic:2", exclusive=True)
    wait_until(lambda: _ended(untold))


def test_a_cancel_ends_a_pause_and_a_program_with_its_children_at_once(ask, worker, ada):
    worker()
    pausing = ask("diagnostic", "diagnostic:1", lines=1, sleep=600)
    running = ask("test-child", "server:1")
    child = _child_of(running)
    wait_until(lambda: _state(pausing) == State.RUNNING)
    for job in (pausing, running):
        actions.cancel(job=job, by=ada)
        wait_until(lambda job=job: _ended(job), seconds=15)
        assert job.state == State.CANCELLED
    wait_until(lambda: not alive(child), seconds=15)


def test_a_killed_worker_leaves_no_program_and_its_successor_takes_over_at_once(ask, worker):
    first = worker()
    again, once = ask("test-child", "server:1"), ask("test-child-once", "server:2")
    children = [_child_of(again), _child_of(once)]
    first.kill()
    wait_until(lambda: not any(map(alive, children)))
    keep_leases = _lease_keeper(again, once)

    worker()
    wait_until(lambda: keep_leases() or (_ended(once) and _state(again) == State.RUNNING and again.attempt == 2))
    assert (once.state, once.error) == (State.FAILED, "The worker stopped unexpectedly. Retry the job.")
    assert "The worker stopped unexpectedly. The job is queued again." in story(again)


def test_a_stopped_worker_hands_back_what_may_run_again(ask, worker):
    process = worker()
    job = ask("test-child", "server:1")
    child = _child_of(job)
    assert process.stop() == 0
    assert _state(job) == State.QUEUED
    assert job.attempt == 0
    assert story(job)[-1] == "The worker is shutting down. The job is queued again."
    assert not alive(child)


def test_a_worker_ends_without_a_job_that_ignores_the_stop_and_its_successor_runs_it(ask, worker, tmp_path):
    process = worker(LEFT4ME_SHUTDOWN_SECONDS="0")
    job = ask("test-deaf", "server:1")
    wait_until(lambda: "attempt 1" in story(job), what="the job's start")
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < 10
    assert f"Jobs [{job.pk}] do not stop. The worker exits without them" in (tmp_path / "worker-0.log").read_text()
    # Nobody settled the row: the thread with the body ended in the middle of it.
    assert _state(job) == State.RUNNING
    keep_leases = _lease_keeper(job)

    worker()
    wait_until(lambda: keep_leases() or _ended(job), what="the second attempt")
    assert (job.state, job.attempt) == (State.SUCCEEDED, 2)
    assert story(job)[-2:] == ["The worker stopped unexpectedly. The job is queued again.", "attempt 2"]


def test_jobs_requested_while_redis_is_away_start_soon_after_its_return(ask, worker, tmp_path):
    sock, data, log = tmp_path / "redis.sock", tmp_path / "redis", tmp_path / "worker-0.log"
    data.mkdir()
    with own_redis(sock, data):
        worker(REDIS_URL=f"unix://{sock}")
        first = ask("diagnostic", "diagnostic:1", lines=1)
        wait_until(lambda: _ended(first), what="the worker")
    jobs = [ask("diagnostic", f"diagnostic:{number}", lines=1) for number in range(2, 42)]
    # Long enough for Celery's own pauses between two tries to become longer than what is asserted.
    wait_until(lambda: log.read_text().count("Cannot connect to redis") >= 4, what="the tries without Redis")
    assert {_state(job) for job in jobs} == {State.QUEUED}
    with own_redis(sock, data):
        assert wait_until(lambda: all(map(_ended, jobs)), what="the jobs") < 6
    assert {job.state for job in jobs} == {State.SUCCEEDED}


def test_two_workers_of_a_host_share_its_jobs_and_run_none_twice(ask, worker):
    worker(), worker()
    jobs = [ask("diagnostic", f"diagnostic:{n % 5 + 1}", lines=n + 1) for n in range(40)]
    wait_until(lambda: not Job.objects.live().exists())
    assert set(Job.objects.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}
    assert all(len(story(job)) == n + 2 for n, job in enumerate(jobs))
    for number in range(1, 6):
        # By what the bodies said: a claim reads the clock before it sees that its turn has come.
        said = JobLog.objects.filter(job__resource=f"diagnostic:{number}", stream="stdout")
        spans = said.values("job").annotate(first=Min("created_at"), last=Max("created_at")).order_by("job")
        assert len(spans) == 8
        assert all(before["last"] <= after["first"] for before, after in pairwise(spans))


def test_a_worker_on_the_database_of_a_newer_release_takes_no_jobs_until_it_fits(ask, worker, tmp_path):
    future = MigrationRecorder.Migration.objects.create(app="servers", name="9999_of_tomorrow", applied=timezone.now())
    worker()
    log = tmp_path / "worker-0.log"
    job = ask("diagnostic", "diagnostic:1")
    wait_until(lambda: "of a newer release than this host (servers.9999_of_tomorrow)" in log.read_text())
    assert (_state(job), job.attempt) == (State.QUEUED, 0)
    future.delete()
    wait_until(lambda: _ended(job), what="the job, once the database fits")
    assert _state(job) == State.SUCCEEDED


def test_a_database_that_lacks_migrations_is_named_too(db):
    first = MigrationRecorder.Migration.objects.get(app="servers", name="0001_servers")
    MigrationRecorder.Migration.objects.filter(pk=first.pk).delete()
    try:
        assert "of an older release than this host (servers.0001_servers missing)" in schema.mismatch()
    finally:
        first.save()  # Tests of this module commit, and a flush does not bring rows of migrations back.
