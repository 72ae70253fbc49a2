"""Leases of running jobs: renewed, lost, and what a cancel in the rows or in Redis does."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.utils import timezone

from left4me.core.redis import keys
from left4me.jobs import actions, leases, transitions
from left4me.jobs.execution import ActiveRun, Stop
from left4me.jobs.leases import CancelListener, LeaseKeeper
from left4me.jobs.models import Job
from left4me.jobs.output.log_writer import LogWriter
from left4me.jobs.tests.conftest import LEASE, NOW


@pytest.fixture
def clock(monkeypatch) -> Any:
    """The monotonic clock of leases, which stands still until a test moves it."""
    now = SimpleNamespace(seconds=1_000.0)
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def run(ask) -> ActiveRun:
    ask("test-start")
    (job,) = transitions.claim(host="local", worker="me", limit=1, now=NOW, lease=LEASE)
    return ActiveRun(job, LogWriter(), lease_ends=1_005.0)


def keeper(*runs: ActiveRun) -> LeaseKeeper:
    return LeaseKeeper("me", {run.job_id: run for run in runs}, threading.Event())


def renewed(run: ActiveRun) -> bool:
    expires = Job.objects.get(pk=run.job_id).lease_expires_at
    Job.objects.update(lease_expires_at=NOW + LEASE)
    return expires != NOW + LEASE


def test_a_lease_is_renewed_every_three_seconds_and_lets_the_run_go_on(run, clock):
    keeping = keeper(run)
    found = []
    for clock.seconds in (1_000.0, 1_002.9, 1_003.0, 1_005.0, 1_006.0):
        keeping._look([run])
        found.append((renewed(run), run.lease_ends))
    assert found == [(True, 1_010.0), (False, 1_010.0), (True, 1_013.0), (False, 1_013.0), (True, 1_016.0)]
    assert run.stopped_for is None


def test_a_lease_lasts_as_long_as_the_row_says(run, clock):
    before = timezone.now()
    keeper(run)._look([run])
    expires = Job.objects.get().lease_expires_at
    assert before + leases.LEASE <= expires <= timezone.now() + leases.LEASE
    assert leases.LEASE.total_seconds() - leases.STOP_WITHOUT_RENEWAL_AFTER >= 5


def test_a_longer_lease_is_not_made_shorter(run, clock):
    run.lease_ends = 5_000.0
    keeper(run)._look([run])
    assert run.lease_ends == 5_000.0


@pytest.mark.parametrize("change", [{"worker": "other"}, {"state": "queued", "worker": "", "lease_expires_at": None}])
def test_a_run_whose_row_is_no_longer_its_own_stops(run, clock, change):
    Job.objects.update(**change)
    keeper(run)._look([run])
    assert run.stopped_for is Stop.LEASE_LOST
    assert run.lease_ends == 1_005.0
    assert run.cancelled()


def test_a_cancel_in_the_row_stops_the_run_and_a_lost_one_no_other(ask, run, clock, anna):
    ask("test-start", "server:2")
    (job,) = transitions.claim(host="local", worker="me", limit=1, now=NOW, lease=LEASE)
    other = ActiveRun(job, LogWriter(), lease_ends=1_005.0)
    Job.objects.filter(pk=run.job_id).update(worker="thief")
    actions.cancel(job=job, by=anna)
    keeper(run, other)._look([run, other])
    assert (run.stopped_for, other.stopped_for) == (Stop.LEASE_LOST, Stop.CANCEL)


def test_a_process_whose_job_ignores_the_loss_of_its_lease_exits(run, clock, monkeypatch):
    exits: list[int] = []
    monkeypatch.setattr(leases.os, "_exit", exits.append)
    keeping = keeper(run)
    for clock.seconds in (1_005.0, 1_010.0):
        keeping._exit_if_deaf([run])
    assert exits == []
    clock.seconds = 1_010.1
    keeping._exit_if_deaf([run])
    assert exits == [70]
    keeper()._exit_if_deaf([run])
    assert exits == [70], "a job that has just ended is no reason"


@pytest.mark.django_db(transaction=True)
def test_the_thread_survives_a_database_that_is_away_and_asks_nothing_while_idle(monkeypatch, caplog):
    monkeypatch.setattr(leases, "_LOOK_EVERY", 0.001)
    stopped, looks = threading.Event(), []
    run = SimpleNamespace(job_id=1, lease_ends=float("inf"))
    runs: dict[int, Any] = {}
    keeping = LeaseKeeper("me", runs, stopped)

    def look(these: list[Any]) -> None:
        looks.append(these)
        if len(looks) == 3:
            stopped.set()
        raise OSError("away")

    monkeypatch.setattr(keeping, "_look", look)
    keeping.start()
    time.sleep(0.02)
    assert looks == []
    runs[1] = run
    assert stopped.wait(20)
    assert looks[:3] == [[run]] * 3
    assert "Could not renew leases" in caplog.text


# --- cancels over Redis ---


def test_a_cancel_that_is_published_stops_its_run_and_other_messages_none(redis_client: redis.Redis):
    stopped, asked = threading.Event(), []
    runs: Any = {7: SimpleNamespace(request_stop=lambda why: asked.append(why))}
    listener = CancelListener("local", runs, stopped)
    thread = threading.Thread(target=listener._listen)
    thread.start()
    channel = keys.cancel_channel("local")
    while not redis_client.pubsub_numsub(channel)[0][1]:
        time.sleep(0.005)
    for message in ("8", '{"server": 7}', "", "7"):
        redis_client.publish(channel, message)
    deadline = time.monotonic() + 20
    while not asked and time.monotonic() < deadline:
        time.sleep(0.005)
    stopped.set()
    redis_client.publish(channel, "7")
    thread.join(20)
    assert not thread.is_alive()
    assert asked == [Stop.CANCEL]


def test_a_listener_begins_again_after_an_outage(monkeypatch, caplog):
    stopped, tries = threading.Event(), []

    def listen(channel: str) -> Any:
        tries.append(channel)
        if len(tries) == 3:
            stopped.set()
        raise redis.ConnectionError("away")

    monkeypatch.setattr(leases.pubsub, "listen", listen)
    monkeypatch.setattr(leases, "_PAUSE_AFTER_FAILURE", 0.001)
    CancelListener("local", {}, stopped)._listen()
    assert tries == [keys.cancel_channel("local")] * 3
    assert "Cancellations are delayed: away" in caplog.text


# --- how often ---


class Stopped:
    """Stops whoever waits for it, and notes how long they would have waited."""

    def __init__(self, *, turns: int = 1) -> None:
        self.waits: list[float] = []
        self.turns = turns

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_set()

    def is_set(self) -> bool:
        return len(self.waits) >= self.turns


def test_rows_are_looked_at_every_second():
    stopped: Any = Stopped(turns=3)
    LeaseKeeper("me", {}, stopped)._keep()
    assert stopped.waits == [1.0] * 3


def test_after_an_outage_redis_is_tried_again_after_a_second(monkeypatch):
    def listen(channel: str) -> Any:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(leases.pubsub, "listen", listen)
    stopped: Any = Stopped(turns=2)
    CancelListener("local", {}, stopped)._listen()
    assert stopped.waits == [1.0] * 2
