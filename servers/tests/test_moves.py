"""Servers that move between two data directories: the web's, served by another process, and that of a worker host."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.files import room, walk
from left4me.core.net import fetch
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs import transitions
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from overlays.replication import attempts
from servers import tasks
from servers.actions import moves
from servers.gamehost import shadows
from servers.gamehost.port import State
from servers.hosts import reconcile, this_host
from servers.hosts.server_steps import SENT_AT_ONCE, Declined
from servers.models import Host, Server, ServerMove
from servers.moves import arrival, depot, desk, doors
from servers.tests.factories import make_host, make_server
from servers.tests.far_web import Pair, far_web, pair_of_hosts, port_of_web, process_of_web, worker_host  # noqa: F401 -- fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def server(pair: Pair, cast: Cast) -> Server:
    """A running server of the worker host, with files of every kind."""
    server = pair.make_server_with_files(cast.owner)
    upper = pair.upper("two", server)
    (upper / "fresh").mkdir()
    with walk.folder(upper, ("fresh",)) as handle:
        shadows.set_opaque(handle, opaque=True)
    return server


def content(upper: Path) -> dict[str, str]:
    return {
        str(path.relative_to(upper)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else oct(path.lstat().st_mode)
        for path in upper.rglob("*")
    }


def request(server: Server, target: Host, cast: Cast) -> Job:
    return moves.request_move(server=server, target=target, by=cast.owner)


def run(job: Job) -> None:
    """Let a job run whose body is not called."""
    transitions.claim(host=job.host, worker="x", limit=9, now=timezone.now(), lease=timedelta(hours=1), only=job.pk)


def fresh(server: Server) -> Server:
    return Server.objects.select_related("host").get(pk=server.pk)


def test_a_server_moves_to_the_web_s_host_and_back_with_all_that_it_has_written(
    pair: Pair, server: Server, cast: Cast
):
    before, password = content(pair.upper("two", server)), server.rcon_password
    request(server, pair.local, cast)
    first = pair.drain("two")
    assert first.state == "succeeded", first.error
    assert fresh(server).host == pair.two, "before the new host has all, nothing changes"
    second = pair.drain("local")
    assert second.state == "succeeded", second.error
    moved = fresh(server)
    assert (moved.host, moved.port, moved.desired_state, moved.actual_state) == (
        pair.local,
        27020,
        "running",
        "stopped",
    )
    assert moved.rcon_password != password and moved.next_start_at is not None
    assert content(pair.upper("local", server)) == before
    with walk.folder(pair.upper("local", server), ("fresh",)) as handle:
        assert shadows.is_opaque(handle)
    assert walk.is_deletion_mark((pair.upper("local", server) / "left4dead2/motd.txt").lstat())
    assert not ServerMove.objects.exists()
    with pair.on("local"):
        assert this_host.storage().of(server.pk).read_kept() == {"left4dead2/cfg/own.cfg": (1, 2)}
        assert not depot.folder(server.pk).exists()
    # The old host removes what it has only now.
    assert pair.upper("two", server).exists()
    with pair.on("two"):
        tasks.drop_moved()
    assert not pair.upper("two", server).parent.exists()
    back = request(moved, pair.two, cast)
    assert back.host == "local"
    assert [pair.drain("local").state, pair.drain("two").state] == ["succeeded", "succeeded"]
    assert fresh(server).host == pair.two and content(pair.upper("two", server)) == before
    with pair.on("local"):
        tasks.tidy()
    assert not pair.upper("local", server).parent.exists()
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["server.request_move", "server.move"] * 2


def test_the_new_host_starts_it_and_a_stopped_server_stays_stopped(pair: Pair, server: Server, cast: Cast):
    stopped = make_server(cast.owner, host=pair.two, actual_state="stopped")
    for each in (server, stopped):
        request(each, pair.local, cast)
    with pair.on("two"):
        drain(host="two")
    with pair.on("local"):
        drain(host="local")
        reconcile.refresh(
            "local", runtime=pair.runtime, ready=lambda _servers: set(), now=timezone.now(), rebooted=False
        )
    (start,) = Job.objects.live()
    assert (start.operation, start.resource, start.host) == ("start", server.resource, "local")
    assert fresh(stopped).host == pair.local


def test_its_port_is_kept_where_it_is_free_there(pair: Pair, server: Server, cast: Cast):
    make_server(cast.owner, host=pair.local, port=27020)
    shown = moves.preview(server=server, target=pair.local, now=timezone.now())
    assert (shown.keeps_port, shown.new_port, shown.obstacle) == (False, 27015, "")
    assert shown.address(site="left4me.example.org") == "left4me.example.org:27015"
    request(server, pair.local, cast)
    pair.drain("two")
    pair.drain("local")
    assert fresh(server).port == 27015


def test_a_cancel_in_the_middle_leaves_the_server_whole_and_its_host_starts_it(
    pair: Pair, server: Server, cast: Cast, monkeypatch
):
    before = content(pair.upper("two", server))
    job = request(server, pair.local, cast)
    put = doors._FarDoor.put

    def cancelled(self, piece, *, at):
        received = put(self, piece, at=at)
        jobs.cancel(job=Job.objects.get(pk=job.pk), by=None)
        return received

    monkeypatch.setattr(doors._FarDoor, "put", cancelled)
    ended = pair.drain("two")
    assert (ended.state, fresh(server).host) == ("failed", pair.two), ended.error
    assert "This move has ended" in ended.error
    assert content(pair.upper("two", server)) == before
    assert not Job.objects.live().exists()
    with pair.on("local"):
        assert depot.ids() == [server.pk]
        tasks.forget_moves()
        assert depot.ids() == []
    assert not ServerMove.objects.exists()
    reconcile.refresh("two", runtime=pair.runtime, ready=lambda _servers: set(), now=timezone.now(), rebooted=False)
    assert Job.objects.live().get().operation == "start"


def test_a_cancel_on_the_new_host_leaves_the_server_on_the_old_one(
    pair: Pair, server: Server, cast: Cast, monkeypatch
):
    request(server, pair.local, cast)
    pair.drain("two")
    job = Job.objects.live().get()
    in_place = arrival._put_in_place

    def cancelled(*arguments: Any) -> None:
        in_place(*arguments)
        jobs.cancel(job=Job.objects.get(pk=job.pk), by=None)

    monkeypatch.setattr(arrival, "_put_in_place", cancelled)
    pair.drain("local")
    assert fresh(server).host == pair.two and pair.upper("two", server).exists()
    with pair.on("local"):
        tasks.tidy()
    assert not pair.upper("local", server).exists()


def test_an_old_worker_that_dies_goes_on_where_it_was(pair: Pair, server: Server, cast: Cast, monkeypatch):
    before = content(pair.upper("two", server))
    job = request(server, pair.local, cast)
    put, sent = doors._FarDoor.put, []

    class Died(BaseException):
        pass

    def dying(self, piece, *, at):
        sent.append(at)
        received = put(self, piece, at=at)
        if len(sent) == 2:
            raise Died
        return received

    monkeypatch.setattr(doors._FarDoor, "put", dying)
    with pytest.raises(Died):
        pair.drain("two")
    assert transitions.recover(Job.objects.get(pk=job.pk), now=timezone.now()) == "queued"
    pair.drain("two")
    assert sent == [0, SENT_AT_ONCE, 2 * SENT_AT_ONCE], "nothing is sent twice"
    assert pair.drain("local").state == "succeeded"
    assert content(pair.upper("local", server)) == before


def test_a_new_worker_that_dies_takes_it_again(pair: Pair, server: Server, cast: Cast, monkeypatch):
    before = content(pair.upper("two", server))
    request(server, pair.local, cast)
    pair.drain("two")
    job = Job.objects.live().get()

    class Died(BaseException):
        pass

    taken = desk.taken
    calls: list[int] = []

    def dying(*arguments: Any, **named: Any) -> str:
        calls.append(1)
        address = taken(*arguments, **named)
        if len(calls) == 1:
            raise Died
        return address

    monkeypatch.setattr(desk, "taken", dying)
    with pytest.raises(Died):
        pair.drain("local")
    transitions.recover(Job.objects.get(pk=job.pk), now=timezone.now())
    again = pair.drain("local")
    assert (fresh(server).host, again.state) == (pair.local, "succeeded"), again.error
    assert content(pair.upper("local", server)) == before


def test_a_connection_that_breaks_is_made_again(pair: Pair, server: Server, cast: Cast, monkeypatch):
    """The server moves to the worker host, whose download breaks in the middle."""
    server.host = pair.local
    server.save()
    pair.upper("local", server).parent.parent.mkdir(parents=True)
    pair.upper("two", server).parent.rename(pair.upper("local", server).parent)
    before = content(pair.upper("local", server))
    request(server, pair.two, cast)
    pair.drain("local")
    chunks, broken = fetch.Answer.chunks, []

    def breaking(self):
        for number, chunk in enumerate(chunks(self)):
            yield chunk
            if number == 3 and not broken:
                broken.append(True)
                raise fetch.Unreachable("cut")

    monkeypatch.setattr(fetch.Answer, "chunks", breaking)
    job = pair.drain("two")
    assert (job.state, broken) == ("succeeded", [True]), job.error
    assert any("retrying" in line.line for line in job.log.all())
    assert content(pair.upper("two", server)) == before


def test_bytes_that_change_on_the_way_are_found(pair: Pair, server: Server, cast: Cast):
    request(server, pair.local, cast)
    pair.drain("two")
    with pair.on("local"):
        (parcel,) = depot.folder(server.pk).glob("*.parcel")
        with parcel.open("r+b") as file:
            file.seek(5_000_000)
            file.write(b"XXXX")
    job = pair.drain("local")
    assert job.state == "failed" and "not those that were sent" in job.error
    assert fresh(server).host == pair.two and not pair.upper("local", server).exists()


def test_a_full_disk_is_found_before_the_game_stops(pair: Pair, server: Server, cast: Cast, monkeypatch):
    Host.objects.filter(pk=pair.local.pk).update(facts={"disk": {"free": 1, "total": 10**9}})
    make_host(name="three", last_seen_at=timezone.now(), game_version="1", facts={"disk": {"free": 1000}})
    request(server, Host.objects.get(name="three"), cast)
    job = pair.drain("two")
    assert job.state == "failed" and "The disk of host three is too full" in job.error
    assert pair.runtime.observe([server.pk])[server.pk].state is State.RUNNING


def test_a_new_host_that_is_full_after_all_leaves_the_server_where_it_is(
    pair: Pair, server: Server, cast: Cast, monkeypatch
):
    request(server, pair.local, cast)
    pair.drain("two")
    monkeypatch.setattr(room, "left", lambda path, **_: 1000)
    job = pair.drain("local")
    assert job.state == "failed" and "The disk of this host is too full" in job.error
    assert "The server stays on its host" in job.error
    assert fresh(server).host == pair.two


def test_while_the_web_is_away_the_old_host_waits_and_then_gives_up(
    pair: Pair, server: Server, cast: Cast, monkeypatch
):
    request(server, pair.local, cast)
    pair.web.stop()
    back = threading.Timer(1.5, pair.web.start)
    back.start()
    assert pair.drain("two").state == "succeeded"
    back.join()
    other = make_server(cast.owner, host=pair.two)
    request(other, pair.local, cast)
    monkeypatch.setattr(attempts, "PATIENCE_SECONDS", 0.0)
    pair.web.stop()
    job = pair.drain("two")
    assert job.state == "failed" and "does not answer" in job.error


def test_hosts_that_do_not_answer_are_refused_with_what_to_do(pair: Pair, server: Server, cast: Cast):
    Host.objects.filter(name="two").update(last_seen_at=timezone.now() - timedelta(days=1))
    with pytest.raises(Refused, match="left4mectl host remove two --gone"):
        request(server, pair.local, cast)
    Host.objects.update(last_seen_at=timezone.now())
    Host.objects.filter(name="local").update(is_enabled=False)
    with pytest.raises(Refused, match="does not accept new servers"):
        request(server, Host.objects.get(name="local"), cast)
    with pytest.raises(Refused, match="on this host already"):
        request(server, pair.two, cast)
    Host.objects.update(is_enabled=True, game_version="")
    with pytest.raises(Refused, match="The game is not installed"):
        request(server, Host.objects.get(name="local"), cast)
    assert not Job.objects.exists() and not ServerMove.objects.exists()


def test_while_it_moves_nothing_else_is_asked_of_it(pair: Pair, server: Server, cast: Cast):
    request(server, pair.local, cast)
    for operation in ("start", "restart", "stop", "delete"):
        with pytest.raises(Refused, match="“Move to another host” is in progress"):
            jobs.request(operation=operation, resource=server.resource, by=cast.owner, host="two")
    with pytest.raises(Refused, match="being moved already"):
        request(server, pair.local, cast)


def test_a_host_leaves_a_server_alone_that_has_moved_away(pair: Pair, cast: Cast):
    """A start that was requested in the same moment does not run two games of one server."""
    server = make_server(cast.owner, host=pair.local, actual_state="stopped")
    jobs.request(operation="start", resource=server.resource, by=None, host="two")
    job = pair.drain("two")
    assert (job.state, "The server is on host local now" in job.error) == ("failed", True)
    assert not pair.runtime.specs


def test_files_are_removed_only_where_a_move_has_marked_them(pair: Pair, server: Server, cast: Cast, monkeypatch):
    request(server, pair.local, cast)
    pair.drain("two")
    monkeypatch.setattr(room, "left", lambda path, **_: 1000)
    pair.drain("local")
    with pair.on("two"):
        tasks.drop_moved()
        assert pair.upper("two", server).exists(), "its move failed"
        Server.objects.filter(pk=server.pk).update(host=pair.local)
        tasks.drop_moved()
        assert pair.upper("two", server).exists(), "a database that was restored is no reason"


def test_a_retry_of_a_move_that_has_ended_changes_nothing(pair: Pair, server: Server, cast: Cast, monkeypatch):
    request(server, pair.local, cast)
    pair.drain("two")
    monkeypatch.setattr(room, "left", lambda path, **_: 1000)
    failed = pair.drain("local")
    monkeypatch.undo()
    jobs.retry(job=failed, by=cast.owner)
    with pair.on("local"):
        (again,) = drain(host="local")
    assert again.state == "failed" and "Move the server again" in again.error
    assert fresh(server).host == pair.two


STEPS: list[tuple[str, Callable[..., Any]]] = [
    ("begin", lambda url, headers: requests.post(url, json={"expected": 1}, headers=headers, timeout=10)),
    ("pieces", lambda url, headers: requests.post(f"{url}&at=0", data=b"x", headers=headers, timeout=10)),
    ("pieces", lambda url, headers: requests.get(f"{url}&at=0", headers=headers, timeout=10)),
    (
        "sent",
        lambda url, headers: requests.post(url, json={"size": 0, "sha256": "0" * 64}, headers=headers, timeout=10),
    ),
    ("offer", lambda url, headers: requests.post(url, json={}, headers=headers, timeout=10)),
    ("taken", lambda url, headers: requests.post(url, json={"sha256": "0" * 64}, headers=headers, timeout=10)),
]


@pytest.mark.parametrize(("step", "ask"), STEPS)
def test_a_host_has_no_part_in_the_moves_of_others(
    pair: Pair, cast: Cast, settings, step: str, ask: Callable[..., Any]
):
    """A move from the web's host to a third one, with a job that the host `two` has written itself."""
    foreign = make_server(cast.owner, host=pair.local, actual_state="stopped")
    third = make_host(name="three", last_seen_at=timezone.now(), game_version="1")
    job = request(foreign, third, cast)
    run(job)
    own = Job.objects.create(
        operation="move",
        resource=foreign.resource,
        host="two",
        params={"stage": "unpack"},
        state="running",
        started_at=timezone.now(),
        lease_expires_at=timezone.now() + timedelta(hours=1),
        worker="x",
    )
    empty = hashlib.sha256(b"x").hexdigest()
    headers = {"Authorization": f"Bearer {settings.LEFT4ME_HOST_TOKEN}", "X-Content-SHA256": empty}
    for number in (job.pk, own.pk):
        url = f"{pair.web.url}/api/v1/hosts/self/servers/{foreign.pk}/move/{step}?job={number}"
        assert ask(url, {}).status_code == 401
        answer = ask(url, headers)
        assert (answer.status_code, "This move has ended" in answer.text) == (409, True), answer.text
    assert fresh(foreign).host == pair.local


def test_a_host_that_sends_without_end_is_stopped(pair: Pair, server: Server, cast: Cast, settings):
    job = request(server, pair.local, cast)
    run(job)
    with pair.on("local"):
        settings.LEFT4ME_SERVER_DISK_GB, settings.LEFT4ME_BACKUP_QUOTA_MB = 0.001, 1
        with pytest.raises(Declined, match="more than a server may take along"):
            desk.begin("two", server.pk, job.pk, expected=10**9)
        with pytest.raises(Declined, match="More was sent"):
            desk.append("two", server.pk, job.pk, b"x", at=10**9)
        settings.LEFT4ME_SERVER_DISK_GB = 0
        assert desk.append("two", server.pk, job.pk, b"abc", at=0) == 3
        assert desk.append("two", server.pk, job.pk, b"abc", at=0) == 3, "a piece that is sent again is not added"
        with pytest.raises(Declined, match="Not all files have arrived"):
            desk.sent("two", server.pk, job.pk, size=4, sha256="0" * 64)
