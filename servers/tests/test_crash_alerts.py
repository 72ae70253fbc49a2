"""From the observed states of servers and hosts to alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from left4me.alerts import delivery, incidents
from left4me.alerts.models import Delivery, Incident
from left4me.alerts.tests.factories import make_channel
from left4me.alerts.tests.receiver import Receiver
from left4me.jobs import actions as jobs
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from servers.gamehost.port import Exit, State
from servers.gamehost.tests.stage import free_port
from servers.hosts import reconcile, silence
from servers.models import Host, Server, ServerShare
from servers.state import crash_alerts, state_log
from servers.tests.factories import make_host, make_server, share
from servers.tests.fake_runtime import EPOCH, FakeRuntime

NOW = EPOCH + timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner, name="Friday versus")


def look(runtime: FakeRuntime, *, now: Any) -> None:
    reconcile.refresh(
        "local", runtime=runtime, ready=lambda servers: {each.pk for each in servers}, now=now, rebooted=False
    )


def told() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("event", flat=True))


def test_a_server_that_gives_up_is_told_of_at_the_receiver(
    server: Server, runtime: FakeRuntime, cast: Cast, receiver: Receiver
):
    make_channel(cast.owner, receiver.url("/hook"))
    make_channel(cast.stranger, receiver.url("/not-theirs"))
    runtime.crash(server.pk, at=NOW, state=State.GAVE_UP)
    look(runtime, now=NOW)
    look(runtime, now=NOW + 8 * SECOND)
    assert delivery.send(now=NOW + 9 * SECOND).messages == 1
    assert receiver.paths == ["/hook"]
    (alert,) = receiver.bodies[0]["alerts"]
    assert (alert["event"], alert["subject"]) == ("server_gave_up", server.resource)
    assert alert["title"] == "“Friday versus” keeps crashing"
    assert "signal 11" in alert["text"]
    assert alert["url"].endswith(f"/servers/{server.pk}")
    assert "Segmentation" not in alert["text"], "log lines stay in the house"
    assert delivery.send(now=NOW + timedelta(minutes=5)).messages == 0


def test_a_crash_and_its_restarts_are_one_alert_and_giving_up_another(
    server: Server, runtime: FakeRuntime, cast: Cast
):
    make_channel(cast.owner)
    now = NOW
    for _ in range(4):
        runtime.crash(server.pk, at=now)
        look(runtime, now=now)
        runtime.set(server.pk, State.RUNNING, started_at=now + 2 * SECOND, restarts=1)
        look(runtime, now=now + 8 * SECOND)
        now += 16 * SECOND
    runtime.crash(server.pk, at=now, state=State.GAVE_UP)
    look(runtime, now=now)
    assert told() == ["server_crashed", "server_gave_up"]
    assert Incident.objects.get().count == 5


def test_a_crash_that_was_mended_between_two_looks_is_told_of(server: Server, runtime: FakeRuntime, cast: Cast):
    make_channel(cast.owner)
    runtime.set(server.pk, State.RUNNING, started_at=NOW - 60 * SECOND)
    look(runtime, now=NOW)
    ended = Exit(status=None, signal=9, at=NOW + 3 * SECOND)
    runtime.set(server.pk, State.RUNNING, started_at=NOW + 4 * SECOND, restarts=1, last_exit=ended)
    for seconds in (8, 16, 24):
        look(runtime, now=NOW + seconds * SECOND)
    assert told() == ["server_crashed"]
    assert "signal 9" in Delivery.objects.get().text


def test_an_asked_stop_and_start_is_no_crash(server: Server, runtime: FakeRuntime, cast: Cast):
    make_channel(cast.owner)
    runtime.set(server.pk, State.RUNNING, started_at=NOW - 60 * SECOND)
    look(runtime, now=NOW)
    ended = Exit(status=0, signal=None, at=NOW + 3 * SECOND)
    runtime.set(server.pk, State.RUNNING, started_at=NOW + 4 * SECOND, last_exit=ended)
    look(runtime, now=NOW + 8 * SECOND)
    assert told() == []


def test_what_runs_again_for_two_minutes_has_recovered(server: Server, runtime: FakeRuntime, cast: Cast):
    make_channel(cast.owner)
    runtime.crash(server.pk, at=NOW)
    look(runtime, now=NOW)
    runtime.set(server.pk, State.RUNNING, started_at=NOW + SECOND)
    look(runtime, now=NOW + 8 * SECOND)
    assert incidents.announce_recoveries(now=NOW + 60 * SECOND) == 0
    assert incidents.announce_recoveries(now=NOW + 129 * SECOND) == 1
    assert told() == ["server_crashed", "server_recovered"]
    runtime.crash(server.pk, at=NOW + 300 * SECOND)
    look(runtime, now=NOW + 300 * SECOND)
    assert told()[-1] == "server_crashed"


def test_a_server_that_somebody_stops_is_told_of_no_more(server: Server, runtime: FakeRuntime, cast: Cast):
    make_channel(cast.owner)
    runtime.crash(server.pk, at=NOW, state=State.GAVE_UP)
    look(runtime, now=NOW)
    state_log.record_state(server, Server.State.STOPPED, now=NOW + 5 * SECOND)
    assert Incident.objects.get().closed_at == NOW + 5 * SECOND
    assert incidents.announce_recoveries(now=NOW + timedelta(hours=1)) == 0
    assert told() == ["server_gave_up"]


def test_one_that_gives_up_again_after_somebody_started_it_is_news(server: Server, runtime: FakeRuntime, cast: Cast):
    make_channel(cast.owner)
    for minute in (0, 1):
        now = NOW + timedelta(minutes=minute)
        runtime.crash(server.pk, at=now, state=State.GAVE_UP)
        look(runtime, now=now)
        runtime.set(server.pk, State.RUNNING, started_at=now + SECOND)
        look(runtime, now=now + 8 * SECOND)
    assert told() == ["server_gave_up", "server_gave_up"]


def test_an_observation_that_is_not_written_raises_no_alert(server: Server, cast: Cast):
    make_channel(cast.owner)
    state_log.record_state(server, Server.State.RUNNING, now=NOW)
    assert not state_log.record_state(server, Server.State.GAVE_UP, now=NOW - SECOND)
    assert told() == []


def test_a_failed_job_is_told_to_the_owner_of_the_server_and_to_who_asked(server: Server, cast: Cast):
    # A game of this machine may have the usual port; then that would be the failure.
    Server.objects.filter(pk=server.pk).update(port=free_port())
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    make_channel(cast.owner, name="owner")
    make_channel(cast.operator, name="asked")
    make_channel(cast.viewer, name="neither")
    make_channel(cast.admin, name="admin of all", everything=True)
    make_channel(cast.admin, name="admin of own")
    jobs.request(operation="start", resource=server.resource, by=cast.operator, host="local")
    drain(host="local")
    names = set(Delivery.objects.values_list("channel__name", flat=True))
    assert names == {"owner", "asked", "admin of all"}
    alert = Delivery.objects.first()
    assert alert is not None
    assert alert.title == "“Start” failed: Friday versus"
    assert "not installed" in alert.text
    server.refresh_from_db()
    assert "not installed" in server.last_error, "the server's page shows why, not only the job"
    jobs.request(operation="start", resource=server.resource, by=cast.operator, host="local")
    drain(host="local")
    assert Delivery.objects.count() == 3, "the same failure within the hour is no news"


def test_who_heard_that_a_server_gave_up_does_not_hear_that_its_start_failed(server: Server, cast: Cast):
    make_channel(cast.owner, name="both")
    make_channel(cast.owner, name="jobs", events=["job_failed"])
    state_log.record_state(server, Server.State.GAVE_UP, now=NOW, detail="status 1")
    jobs.request(operation="start", resource=server.resource, by=cast.owner, host="local")
    drain(host="local")
    heard = Delivery.objects.order_by("pk").values_list("channel__name", "event")
    assert list(heard) == [("both", "server_gave_up"), ("jobs", "job_failed")]


@pytest.fixture
def host(db: None) -> Host:
    return make_host(name="second", last_seen_at=NOW)


def test_a_full_disk_is_told_once_and_again_when_there_is_room(host: Host, cast: Cast, settings: Any):
    settings.LEFT4ME_DISK_LOW_GB = 5
    make_channel(cast.admin)
    make_channel(cast.owner)
    for free in (6_100_000_000, 4_000_000_000, 5_500_000_000, 3_000_000_000):
        crash_alerts.disk_was_seen(host, free=free, now=NOW)
    assert told() == ["disk_low"]
    assert "4.0 GB" in Delivery.objects.get().text
    crash_alerts.disk_was_seen(host, free=7_000_000_000, now=NOW)
    incidents.announce_recoveries(now=NOW + timedelta(minutes=3))
    assert told() == ["disk_low", "host_recovered"]


def test_nobody_is_told_of_disks_where_the_limit_is_0(host: Host, cast: Cast, settings: Any):
    settings.LEFT4ME_DISK_LOW_GB = 0
    make_channel(cast.admin)
    crash_alerts.disk_was_seen(host, free=1, now=NOW)
    assert told() == []


def looking(watch: silence.SilenceMonitor, *, first: float, last: float) -> None:
    for seconds in range(int(first), int(last) + 1, 15):
        watch.check(here="local", now=NOW + seconds * SECOND)


def test_a_silent_host_is_told_of_once_and_again_when_it_is_back(host: Host, cast: Cast):
    make_channel(cast.admin)
    watch = silence.SilenceMonitor()
    looking(watch, first=0, last=60)
    assert told() == []
    looking(watch, first=75, last=300)
    assert told() == ["host_silent"]
    Host.objects.filter(pk=host.pk).update(last_seen_at=NOW + 314 * SECOND)
    looking(watch, first=315, last=315)
    incidents.announce_recoveries(now=NOW + 440 * SECOND)
    assert told() == ["host_silent", "host_recovered"]


def test_silence_counts_only_where_somebody_listened(host: Host, cast: Cast):
    make_channel(cast.admin)
    watch = silence.SilenceMonitor()
    looking(watch, first=3600, last=3660)
    assert told() == [], "the application was down; the host gets its minute"
    looking(watch, first=3660 + 600, last=3660 + 600 + 60)
    assert told() == [], "nobody looked for ten minutes"
    looking(watch, first=3660 + 600 + 75, last=3660 + 600 + 75)
    assert told() == ["host_silent"]


def test_whoever_looks_is_not_silent_and_a_host_that_never_spoke_is_not_missed(cast: Cast):
    make_channel(cast.admin)
    make_host(last_seen_at=NOW - timedelta(hours=1))
    make_host(name="planned", last_seen_at=None)
    looking(silence.SilenceMonitor(), first=0, last=300)
    assert told() == []


def test_a_hundred_servers_that_fall_at_once_hold_up_neither_the_look_nor_the_sender(
    runtime: FakeRuntime, cast: Cast, receiver: Receiver, django_assert_max_num_queries: Any
):
    make_channel(cast.owner, receiver.url("/hook"))
    servers = [make_server(cast.owner) for _ in range(100)]
    for server in servers:
        runtime.set(server.pk, State.RUNNING, started_at=NOW - 60 * SECOND)
    look(runtime, now=NOW)
    for server in servers:
        runtime.crash(server.pk, at=NOW + SECOND)
    # Each its state and its history, as before, and its incident with the alert.
    with django_assert_max_num_queries(100 * 22):
        look(runtime, now=NOW + 8 * SECOND)
    with django_assert_max_num_queries(20):
        assert delivery.send(now=NOW + 9 * SECOND).messages == 1
    (body,) = receiver.bodies
    assert len(body["alerts"]) + body["left_out"] == 100


def test_a_missed_backup_is_told_once_and_again_when_one_was_made(host: Host, cast: Cast):
    make_channel(cast.admin)
    make_channel(cast.owner)
    for hours, is_nightly in ((35, True), (37, False), (37, True), (61, True), (1, True)):
        host.facts = {"backup": {"since": (NOW - timedelta(hours=hours)).isoformat(), "is_nightly": is_nightly}}
        crash_alerts.backup_was_seen(host, now=NOW)
    assert told() == ["backup_late"]
    assert Delivery.objects.get().path == "/backups"
    incidents.announce_recoveries(now=NOW + timedelta(minutes=3))
    assert told() == ["backup_late", "host_recovered"]
