"""What a host notes of the demos that it finds, and what it removes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from left4me.core import moments
from left4me.testing.cast import Cast
from livestate.demos import recorder, retention, tasks
from livestate.demos.models import Demo
from livestate.demos.tests.factories import content, make_demo, write
from servers.hosts import this_host
from servers.models import Server
from servers.sourcetv import application
from servers.sourcetv.options import GB, Limits
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db

NOW = datetime(2030, 1, 10, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AUTO = "left4dead2/auto-20300110-1100-c1m1_hotel.dem"


@pytest.fixture
def server(cast: Cast, settings: Any, tmp_path: Path, redis_client: object) -> Server:
    settings.LEFT4ME_ROOT = tmp_path
    row = make_server(cast.owner, actual_state="running", started_at=NOW - 3 * HOUR)
    this_host.storage().of(row.pk).prepare()
    return row


@pytest.fixture
def running(server: Server) -> Iterator[None]:
    """A game holds the lock of its directory."""
    lock = this_host.storage().of(server.pk).try_lock()
    assert lock is not None
    yield
    os.close(lock)


def put(server: Server, name: str = AUTO, *, ended: datetime = NOW, **fields: Any) -> Path:
    return write(this_host.storage().of(server.pk).upper, name, content(**fields), changed_at=ended)


def noted(server: Server) -> list[tuple[str, str]]:
    recorder.note([server])
    return list(Demo.objects.order_by("started_at").values_list("path", "state"))


def test_demos_of_the_game_and_of_plugins_are_noted_with_their_times(server: Server):
    put(server, seconds=1200)
    put(server, "left4dead2/demos/auto-20300110-090000-x.dem", ended=NOW - 2 * HOUR, seconds=60)
    put(server, "left4dead2/addons/sourcemod/data/demos/af01.dem", ended=NOW - 3 * HOUR, seconds=60)
    put(server, "left4dead2/cfg/no.dem", seconds=60)
    recorder.note([server])
    assert Demo.objects.count() == 3
    latest = Demo.objects.get(path=AUTO)
    assert (latest.map, latest.state, latest.length) == ("c1m1_hotel", "complete", timedelta(minutes=20))
    assert latest.ended_at == NOW


def test_a_demo_is_recorded_while_its_game_runs_and_unfinished_afterwards(server: Server, running: None):
    path = put(server, ended=NOW - HOUR / 2)
    assert noted(server) == [(AUTO, "recording")]
    # The game writes on, and ends the recording.
    path.write_bytes(content(seconds=1500))
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    assert noted(server) == [(AUTO, "complete")]


def test_the_length_of_a_demo_whose_game_was_killed_is_estimated(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(moments, "machine_zone", lambda: UTC)
    put(server, ended=NOW - 15 * HOUR / 60)
    put(server, "left4dead2/mine.dem", ended=NOW)
    assert {state for _path, state in noted(server)} == {"unfinished"}
    # By the name of an automatic recording, which tells when it began.
    assert Demo.objects.get(path=AUTO).length == timedelta(minutes=45)
    assert Demo.objects.get(path="left4dead2/mine.dem").length == timedelta()


def test_a_demo_seen_while_it_was_recorded_keeps_the_time_when_it_began(server: Server):
    make_demo(server, NOW - 2 * HOUR, path=AUTO, state="recording")
    # The game slept most of the time: its own count is shorter.
    put(server, seconds=600)
    recorder.note([server])
    assert Demo.objects.get().length == 2 * HOUR


def test_an_unfinished_demo_of_a_game_that_goes_on_is_recorded_again(server: Server):
    put(server)
    assert noted(server) == [(AUTO, "unfinished")]
    lock = this_host.storage().of(server.pk).try_lock()
    assert noted(server) == [(AUTO, "recording")]
    os.close(lock or 0)
    assert noted(server) == [(AUTO, "unfinished")]


def test_what_is_no_demo_is_noted_and_what_is_gone_forgotten(server: Server):
    (path := put(server)).write_bytes(b"nothing of a demo")
    link = path.with_name("link.dem")
    link.symlink_to("/etc/passwd")
    assert noted(server) == [(AUTO, "damaged")]
    path.unlink()
    assert noted(server) == []


def test_a_new_look_writes_nothing_where_nothing_changed(server: Server, django_assert_num_queries: Any):
    put(server, seconds=60)
    recorder.note([server])
    with django_assert_num_queries(1):
        recorder.note([server])


def test_old_demos_go_at_night_and_those_of_a_running_game_are_left_to_it(server: Server, settings: Any):
    settings.LEFT4ME_DEMO_DAYS, settings.LEFT4ME_DISK_LOW_GB = 7, 0
    now = timezone.now()
    old, young = put(server, ended=now - 8 * DAY, seconds=60), put(server, "left4dead2/b.dem", ended=now, seconds=60)
    tasks.look()
    assert old.exists() and Demo.objects.count() == 2
    directory = this_host.storage().of(server.pk)
    lock = directory.try_lock()
    tasks.tidy()
    # The kernel would not free the room: process 1 of the game removes it.
    assert old.exists() and AUTO in (directory.removals / "list.json").read_text()
    os.close(lock or 0)
    tasks.tidy()
    assert not old.exists() and young.exists()
    assert Demo.objects.get().path == "left4dead2/b.dem"


def demos(*given: tuple[int, timedelta, float], **fields: Any) -> list[Demo]:
    """Demos by server, age and gigabytes."""
    return [
        Demo(
            server_id=server_id,
            path=f"left4dead2/{number}.dem",
            size=int(size * GB),
            state=fields.get("state", "complete"),
            started_at=NOW - age - HOUR,
            ended_at=NOW - age,
        )
        for number, (server_id, age, size) in enumerate(given)
    ]


def chosen(rows: list[Demo], *, days: int = 0, size: float = 0, missing: float = 0) -> tuple[list[str], list[str]]:
    limits = {row.server_id: Limits(days=days, size=int(size * GB)) for row in rows}
    found = retention.choose(rows, limits, now=NOW, with_days=True, missing=int(missing * GB))
    return [row.path[11:-4] for row in found.removed], [row.path[11:-4] for row in found.ended]


def test_the_oldest_demos_of_a_server_go_when_all_are_too_large():
    rows = demos((1, 3 * DAY, 1), (1, 2 * DAY, 1), (1, DAY, 1), (2, 9 * DAY, 1))
    assert chosen(rows, size=2) == (["0"], [])
    assert chosen(rows, size=0.5) == (["3", "0", "1", "2"], [])
    assert chosen(rows) == ([], [])
    assert chosen(rows, days=2) == (["3", "0"], [])


def test_the_demos_of_a_host_are_bounded_together(settings: Any):
    settings.LEFT4ME_DEMOS_GB = 2
    assert chosen(demos((1, 3 * DAY, 1), (2, 4 * DAY, 1), (3, DAY, 1))) == (["1"], [])


def test_demos_give_way_on_a_disk_that_is_nearly_full_and_recording_ends():
    rows = demos((1, 3 * DAY, 1), (2, 2 * DAY, 1), (1, HOUR, 1))
    assert chosen(rows, missing=0.5) == (["0"], [])
    # The last day is kept, and nothing is added to it.
    recording = demos((3, timedelta(), 0.1), state="recording")
    assert chosen([*rows, *recording], missing=9) == (["0", "1"], ["0"])


def test_a_recording_is_ended_before_it_exceeds_the_bounds_or_what_the_kernel_allows():
    rows = demos((1, timedelta(), 1.6), (2, timedelta(), 0.2), state="recording")
    assert chosen(rows) == ([], ["0"])
    assert chosen(rows, size=0.1) == ([], ["0", "1"])


def test_the_game_is_told_to_end_its_recording(
    server: Server, running: None, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.LEFT4ME_DISK_LOW_GB = 1_000_000
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(application, "tell", lambda server, command: told.append((server.pk, command)))
    put(server)
    tasks.look()
    assert told == [(server.pk, "tv_stoprecord")]
