"""A clock that is set back or forward while left4me runs: what is measured goes on, and nothing happens twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis
import time_machine
from celery import Celery
from celery.schedules import crontab
from django.conf import settings
from django.test import Client
from django.utils import timezone

from left4me.alerts import tasks as alert_tasks
from left4me.alerts.models import Channel
from left4me.alerts.tests.factories import make_channel
from left4me.beat import SteadyScheduler
from left4me.core import clock
from left4me.core.redis import hosts, keys
from left4me.core.redis.client import client as redis_client
from left4me.jobs import actions, sweep, transitions
from left4me.jobs.leases import LEASE
from left4me.schedules import tasks as schedule_tasks
from left4me.schedules.models import Run, Schedule
from left4me.schedules.tests.factories import make_schedule
from left4me.site import pulse
from servers.models import Server
from servers.state import state_log
from servers.tests.factories import make_server

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
TEN_MINUTES = 600


@pytest.fixture
def machine_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Seconds since boot that pass only when the test says so."""
    seconds = [1000.0]
    monkeypatch.setattr(clock, "since_boot", lambda: seconds[0])

    def passes(more: float) -> None:
        seconds[0] += more

    return passes


class Sent(SteadyScheduler):
    """The scheduler, with what it would send in a list."""

    sent: list[str]

    def apply_async(self, entry, producer=None, advance=True, **options):
        self.sent.append(entry.name)

    @property
    def producer(self):
        return None

    def send_due(self) -> list[str]:
        self.sent = []
        while self.tick() == 0:
            pass
        return self.sent


def beat(**schedules: object) -> Sent:
    app = Celery("clock", set_as_current=False)
    app.conf.beat_schedule = {name: {"task": name, "schedule": each} for name, each in schedules.items()}
    app.conf.timezone = "UTC"
    scheduler = Sent(app, lazy=True, schedule={})
    scheduler.setup_schedule()
    return scheduler


@pytest.mark.parametrize("step", [-TEN_MINUTES, 3600])
def test_beat_goes_on_in_its_rhythm_when_the_clock_is_set(machine_time, step):
    with time_machine.travel(NOW, tick=False) as travel:
        scheduler = beat(pulse=5.0)
        assert scheduler.send_due() == []
        travel.shift(step)
        assert scheduler.send_due() == [], "the rhythm goes on, it does not begin again"
        for _ in range(3):
            travel.shift(5)
            machine_time(5)
            assert scheduler.send_due() == ["pulse"]


def test_beat_runs_a_time_of_day_again_that_it_saw_years_ahead(machine_time):
    with time_machine.travel(NOW, tick=False) as travel:
        scheduler = beat(night=crontab(hour="5", minute="0"))
        scheduler.send_due()
        travel.shift(timedelta(days=3650))
        assert scheduler.send_due() == ["night"]
        travel.shift(timedelta(days=-3650))
        assert scheduler.send_due() == []
        travel.shift(HOUR)
        machine_time(3600)
        assert scheduler.send_due() == ["night"]


def test_beat_never_sleeps_longer_than_a_step_may_stay_unnoticed(machine_time):
    with time_machine.travel(NOW, tick=False):
        assert beat(night=crontab(hour="5", minute="0")).tick() <= 5


def test_beat_sends_nothing_while_too_much_waits_for_the_worker(redis_client: redis.Redis, monkeypatch):
    monkeypatch.setattr(hosts, "MOST_WAITING", 3)
    application = Celery("waiting", set_as_current=False, broker=settings.CELERY_BROKER_URL)
    application.conf.task_default_queue = settings.CELERY_TASK_DEFAULT_QUEUE
    application.conf.beat_schedule = {"pulse": {"task": "pulse", "schedule": 5.0}}
    scheduler = SteadyScheduler(application, lazy=True, schedule={})
    scheduler.setup_schedule()
    for _ in range(5):
        scheduler.apply_entry(scheduler.schedule["pulse"], producer=scheduler.producer)
    assert redis_client.llen(settings.CELERY_TASK_DEFAULT_QUEUE) == 3


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_server")
def test_ready_sees_that_nothing_is_sent_after_the_clock_was_set_back(client: Client, machine_time):
    with time_machine.travel(NOW, tick=False) as travel:
        pulse.beat()
        travel.shift(-TEN_MINUTES)
        assert client.get("/ready").json()["checks"]["worker"] == "ok"
        machine_time(30)
        travel.shift(30)
        assert client.get("/ready").json()["checks"]["worker"] == "beat has sent no task for 30 s"


@pytest.mark.usefixtures("redis_server")
def test_a_pulse_from_before_the_last_boot_is_none(machine_time):
    redis_client().set(keys.PULSE, "another-boot 999")
    assert pulse.read().age is None


@pytest.mark.usefixtures("redis_server")
def test_a_program_outside_of_the_units_of_a_container_counts_by_time_alone(machine_time):
    """There, `left4mectl doctor` sees another boot id than the worker."""
    redis_client().set(keys.PULSE, "another-boot 999")
    assert pulse.read(of_any_boot=True).is_fresh
    redis_client().set(keys.PULSE, "another-boot 500000")
    assert pulse.read(of_any_boot=True).age is None


@pytest.mark.django_db
def test_a_state_from_the_future_is_replaced_by_what_is_observed_now(cast):
    server = make_server(cast.owner)
    state_log.record_state(server, Server.State.RUNNING, now=NOW + HOUR)
    assert state_log.record_state(server, Server.State.STOPPED, now=NOW)
    state_log.record_state(server, Server.State.RUNNING, now=NOW + timedelta(seconds=30))
    assert not state_log.record_state(server, Server.State.STOPPED, now=NOW), "an older observation changes nothing"


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Sweep, as a process that has run for long."""

    def sweep_now(*, after_step: bool = False) -> int:
        if after_step:
            monkeypatch.setattr(sweep, "_stepped_at", time.monotonic() - LEASE.total_seconds() - 1)
        return sweep.settle_abandoned(host="local", now=timezone.now())

    monkeypatch.setattr(sweep, "_stepped_at", float("-inf"))
    return sweep_now


@pytest.mark.django_db
def test_a_running_job_is_not_taken_for_abandoned_because_the_clock_was_set_forward(monkeypatch, machine_time, swept):
    with time_machine.travel(NOW, tick=False) as travel:
        monkeypatch.setattr(sweep, "_clock", clock.Watch())
        job = actions.request(operation="start", resource="server:1", by=None, host="elsewhere")
        claimed_by(job, "other")
        travel.shift(HOUR)
        assert swept() == 0
        # Its worker renews the lease by the new time.
        transitions.renew(worker="other", jobs=[job.pk], now=timezone.now(), lease=LEASE)
        assert swept(after_step=True) == 0
        travel.shift(20)
        machine_time(20)
        assert swept() == 1


@pytest.mark.django_db
def test_a_job_of_a_dead_worker_does_not_wait_until_a_clock_that_was_ahead_is_reached(
    monkeypatch, machine_time, swept
):
    with time_machine.travel(NOW + HOUR, tick=False) as travel:
        monkeypatch.setattr(sweep, "_clock", clock.Watch())
        job = actions.request(operation="start", resource="server:1", by=None, host="elsewhere")
        claimed_by(job, "other")
        travel.shift(-HOUR)
        assert swept() == 0
        assert swept(after_step=True) == 1


def claimed_by(job, worker: str) -> None:
    (claimed,) = transitions.claim(host=job.host, worker=worker, limit=1, now=timezone.now(), lease=LEASE)
    assert claimed.pk == job.pk


@pytest.mark.django_db
def test_schedules_are_planned_again_after_the_clock_was_set_back_and_no_time_runs_twice(
    cast, monkeypatch, machine_time
):
    make_server(cast.owner)
    schedule = make_schedule(cast.owner, after=NOW - HOUR, cron="0 5 * * *")
    with time_machine.travel(NOW, tick=False) as travel:
        monkeypatch.setattr(schedule_tasks, "_clock", clock.Watch())
        travel.shift(timedelta(days=365))
        schedule_tasks.tick()
        travel.shift(timedelta(days=-365))
        schedule_tasks.tick()
        schedule = Schedule.objects.get(pk=schedule.pk)
        assert schedule.next_at == NOW + timedelta(minutes=30)
        runs = Run.objects.count()
        travel.shift(HOUR)
        machine_time(3600)
        schedule_tasks.tick()
        assert Run.objects.count() == runs, "this time has its run already"
        assert Schedule.objects.get(pk=schedule.pk).next_at == NOW + timedelta(minutes=30, days=1)


@pytest.mark.django_db
def test_the_pause_of_an_alert_channel_does_not_last_longer_because_the_clock_was_set_back(
    cast, monkeypatch, machine_time
):
    with time_machine.travel(NOW, tick=False) as travel:
        monkeypatch.setattr(alert_tasks, "_clock", clock.Watch())
        channel = make_channel(cast.owner, not_before=NOW + timedelta(seconds=10))
        travel.shift(-HOUR)
        alert_tasks.send()
        assert Channel.objects.get(pk=channel.pk).not_before == NOW - HOUR + timedelta(seconds=10)
