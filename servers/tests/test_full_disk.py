"""Ending games while nothing can be written, from pages, jobs, the watch of the disk and the command."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client

from left4me.core.files import reserve
from left4me.core.redis import pubsub
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from servers.actions import servers as actions
from servers.gamehost import rcon
from servers.gamehost.port import State
from servers.gamehost.storage import Storage
from servers.hosts import disk_watch, this_host
from servers.hosts.disk_watch import DiskWatch
from servers.lifecycle import lifecycle
from servers.models import Server
from servers.tests.factories import make_server
from servers.tests.fake_runtime import FakeRuntime

MB = 1024**2


@pytest.fixture
def runtime(monkeypatch, tmp_path: Path, settings) -> FakeRuntime:
    settings.LEFT4ME_ROOT = tmp_path
    fake = FakeRuntime()
    monkeypatch.setattr(this_host, "runtime", lambda: fake)
    monkeypatch.setattr(rcon, "execute", lambda *args, **kwargs: "")
    return fake


@pytest.fixture
def server(cast: Cast, runtime: FakeRuntime, tmp_path: Path) -> Server:
    made = make_server(cast.owner, desired_state="running", actual_state="running")
    (tmp_path / "servers" / str(made.pk) / "upper").mkdir(parents=True)
    runtime.set(made.pk, State.RUNNING)
    return made


@pytest.fixture
def said(monkeypatch) -> list[Any]:
    """What is published, which Redis does also while it can store nothing."""
    messages: list[Any] = []
    monkeypatch.setattr(pubsub, "publish", lambda channel, message: messages.append((channel, message)) or True)
    return messages


def refuse_writes(monkeypatch, *, until_given_up: bool) -> None:
    given_up: list[Path] = []
    really = actions.jobs.request

    def request(**options: Any) -> Any:
        if given_up and until_given_up:
            return really(**options)
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(actions.jobs, "request", request)
    monkeypatch.setattr(reserve, "give_up", lambda root: given_up.append(root) or True)


def test_the_reserve_is_given_up_for_a_stop(server: Server, client: Client, cast: Cast, monkeypatch):
    refuse_writes(monkeypatch, until_given_up=True)
    client.force_login(cast.owner)
    client.post(f"/servers/{server.pk}/actions", {"operation": "stop"})
    assert Job.objects.get().operation == "stop"


@pytest.mark.parametrize("operation", ["stop", "kill"])
def test_without_any_room_the_game_is_ended_without_a_job(
    server: Server, client: Client, cast: Cast, monkeypatch, said: list[Any], operation: str
):
    refuse_writes(monkeypatch, until_given_up=False)
    client.force_login(cast.owner)
    answer = client.post(f"/api/v1/servers/{server.pk}/actions", {"operation": operation}, "application/json")
    assert "The game is being ended without one." in answer.content.decode()
    ((channel, message),) = said
    assert channel == f"left4me:cancel:{server.host.name}"
    assert json.loads(message) == {"end": server.pk, "forcibly": operation == "kill"}


def test_a_start_gives_up_no_reserve(server: Server, client: Client, cast: Cast, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(reserve, "_PLENTY", 0)
    reserve.keep(tmp_path)
    refuse_writes(monkeypatch, until_given_up=False)
    client.force_login(cast.owner)
    client.raise_request_exception = False
    assert client.post(f"/servers/{server.pk}/actions", {"operation": "start"}).status_code == 503
    assert (tmp_path / "reserve").exists()


def test_a_stop_ends_the_game_although_its_job_can_note_nothing(server: Server, runtime: FakeRuntime, monkeypatch):
    def full(*args: object, **options: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(lifecycle.state_log, "record_state", full)
    lifecycle.stop(server, RecordedRun(server.resource))
    assert runtime.observe([server.pk])[server.pk].state is State.STOPPED


def watch(runtime: FakeRuntime, root: Path, **options: Any) -> DiskWatch:
    return DiskWatch(root, runtime=runtime, **{"limit": 0, "scarce": 0, **options})


def write(root: Path, server: Server, size: int) -> None:
    (root / "servers" / str(server.pk) / "upper" / "big").write_bytes(b"x" * size)


def test_a_server_that_writes_more_than_it_may_is_stopped_and_says_so(
    server: Server, runtime: FakeRuntime, tmp_path: Path
):
    write(tmp_path, server, 2 * MB)
    watch(runtime, tmp_path, limit=3 * MB).look()
    assert runtime.observe([server.pk])[server.pk].state is State.RUNNING
    watch(runtime, tmp_path, limit=MB).look()
    assert runtime.observe([server.pk])[server.pk].state is State.STOPPED
    server.refresh_from_db()
    assert (server.desired_state, server.actual_state) == ("stopped", "stopped")
    assert "LEFT4ME_SERVER_DISK_GB" in server.last_error


def test_on_a_full_disk_the_game_that_wrote_most_is_ended_and_the_others_are_not(
    server: Server, runtime: FakeRuntime, tmp_path: Path, cast: Cast, monkeypatch
):
    other = make_server(cast.owner, desired_state="running", actual_state="running")
    (tmp_path / "servers" / str(other.pk) / "upper").mkdir(parents=True)
    runtime.set(other.pk, State.RUNNING)
    monkeypatch.setattr(disk_watch, "_MUCH", disk_watch.Used(size=MB, files=10))
    given_up: list[Path] = []
    monkeypatch.setattr(reserve, "give_up", lambda root: given_up.append(root) or True)
    write(tmp_path, other, 3 * MB)
    watching = watch(runtime, tmp_path)
    watching.look()
    write(tmp_path, server, 2 * MB)
    watching._scarce = 1 << 62
    watching.look()
    assert given_up == [tmp_path]
    states = {pk: seen.state for pk, seen in runtime.observe([server.pk, other.pk]).items()}
    assert states == {server.pk: State.STOPPED, other.pk: State.RUNNING}, "the larger one wrote nothing more"
    watching.look()
    assert runtime.observe([other.pk])[other.pk].state is State.RUNNING
    server.refresh_from_db()
    assert "it wrote most" in server.last_error


def test_what_was_ended_is_noted_down_as_soon_as_there_is_room(
    server: Server, runtime: FakeRuntime, tmp_path: Path, monkeypatch
):
    def full(*args: object) -> None:
        raise OperationalError("database or disk is full")

    watching = watch(runtime, tmp_path)
    with monkeypatch.context() as without_room:
        without_room.setattr(disk_watch, "_note_down", full)
        watching.end(server.pk, forcibly=False, why="It was ended.")
        watching.look()
    assert runtime.observe([server.pk])[server.pk].state is State.STOPPED
    assert Server.objects.get(pk=server.pk).last_error == ""
    watching.look()
    assert Server.objects.get(pk=server.pk).last_error == "It was ended."


def test_games_are_stopped_by_the_command_whatever_the_database_can_do(
    server: Server, runtime: FakeRuntime, monkeypatch
):
    def full(*args: object, **options: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(Server.objects.__class__, "on_host", full, raising=False)
    monkeypatch.setattr(Server.objects.__class__, "filter", full, raising=False)
    said, faults = StringIO(), StringIO()
    call_command("stop_games", stdout=said, stderr=faults)
    assert runtime.observe([server.pk])[server.pk].state is State.STOPPED
    assert said.getvalue() == f"stopped server {server.pk}\n"
    assert "cannot be written" in faults.getvalue()


def test_the_command_names_the_servers_and_wants_them_stopped(server: Server, runtime: FakeRuntime):
    said = StringIO()
    call_command("stop_games", stdout=said)
    assert said.getvalue() == f"stopped {server.name}\n"
    server.refresh_from_db()
    assert (server.desired_state, server.actual_state) == ("stopped", "stopped")


def test_servers_are_found_by_their_directories(tmp_path: Path):
    for name in ("7", "12", "lost+found"):
        (tmp_path / "servers" / name).mkdir(parents=True)
    assert Storage(tmp_path).ids() == [7, 12]
