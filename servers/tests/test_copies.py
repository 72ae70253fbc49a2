"""Copies of a worker host's servers on the web's machine, and servers that are restored from them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from django.core.management import call_command
from django.utils import timezone

from left4me.alerts.models import Incident
from left4me.audit.models import AuditEntry
from left4me.core.files import walk
from left4me.core.version import VERSION
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs import transitions
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from servers import tasks
from servers.actions import copies
from servers.copies import desk, doors, store
from servers.copies.store import Store
from servers.gamehost.port import State
from servers.hosts import this_host
from servers.hosts.server_steps import Declined
from servers.models import Host, Server, ServerCopy
from servers.state import attention
from servers.tests.factories import make_host, make_server
from servers.tests.far_web import Pair, far_web, pair_of_hosts, port_of_web, process_of_web, worker_host  # noqa: F401 -- fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def server(pair: Pair, cast: Cast) -> Server:
    """A running server of the worker host, with files of every kind."""
    return pair.make_server_with_files(cast.owner)


def copied(pair: Pair, server: Server) -> ServerCopy:
    """Copy the servers of the worker host now."""
    copies.request_of_host(host=pair.two, by=None)
    job = pair.drain("two")
    assert job.state == "succeeded", job.error
    return ServerCopy.objects.get(server=server)


def content(upper: Path) -> dict[str, bytes]:
    return {str(path.relative_to(upper)): path.read_bytes() for path in upper.rglob("*") if path.is_file()}


def lose(pair: Pair, capsys: pytest.CaptureFixture[str], to: str = "local") -> str:
    with pair.on("local"):
        call_command("remove_host", "two", "--gone", "--move-servers-to", to)
    return capsys.readouterr().out


def test_a_server_of_a_lost_host_gets_back_what_its_game_had_written(pair: Pair, server: Server, capsys):
    before = content(pair.upper("two", server))
    copy = copied(pair, server)
    assert pair.runtime.observe([server.pk])[server.pk].state is State.RUNNING, "the game runs on"
    told = lose(pair, capsys)
    job = Job.objects.live().get()
    assert f"Job {job.pk} restores its files from the copy of {copy.copied_at:%Y-%m-%d %H:%M} UTC" in told
    assert (job.operation, job.host) == ("restore_copy", "local")
    pair.runtime.set(server.pk, State.STOPPED)
    ended = pair.drain("local")
    assert ended.state == "succeeded", ended.error
    upper = pair.upper("local", server)
    assert content(upper) == before
    assert walk.is_deletion_mark((upper / "left4dead2/motd.txt").lstat())
    with pair.on("local"):
        assert this_host.storage().of(server.pk).read_kept() == {"left4dead2/cfg/own.cfg": (1, 2)}
        tasks.tidy()
        assert content(upper) == before, "nothing is taken for a leftover of a move"
        tasks.copy_due()
        assert store.ids() == [] and not ServerCopy.objects.exists(), "on the web's host it needs no copy"
    there = Server.objects.select_related("host").get()
    assert (there.host, there.desired_state) == (pair.local, "stopped")
    assert "server.restore_copy" in AuditEntry.objects.values_list("action", flat=True)


def test_only_what_has_changed_is_sent_again(pair: Pair, server: Server):
    first = copied(pair, server)
    assert first.sent == first.size > 9_000_000
    log = pair.upper("two", server) / "left4dead2/a.log"
    log.write_text("a line\n")
    second = copied(pair, server)
    assert 0 < second.sent < 1_000_000 and second.size > first.size
    with (pair.upper("two", server) / "left4dead2/demo.dem").open("ab") as demo:
        demo.write(os.urandom(1000))
    third = copied(pair, server)
    assert third.sent < 4_500_000, "the beginning of a file that has grown is there already"
    assert copied(pair, server).sent == 0
    with pair.on("local"):
        kept = sum(path.stat().st_size for path in (store.root() / str(server.pk)).rglob("pieces/*/*"))
    assert kept == third.size == ServerCopy.objects.get().stored, "pieces of older copies are removed"


def test_a_worker_that_dies_goes_on_where_it_was(pair: Pair, server: Server, monkeypatch):
    copies.request_of_host(host=pair.two, by=None)
    put, sent = doors.FarDoor.put, []

    class Died(BaseException):
        pass

    def dying(self, piece):
        put(self, piece)
        sent.append(piece)
        if len(sent) == 3:
            raise Died

    monkeypatch.setattr(doors.FarDoor, "put", dying)
    with pytest.raises(Died):
        pair.drain("two")
    transitions.recover(Job.objects.get(), now=timezone.now())
    assert pair.drain("two").state == "succeeded"
    assert len(sent) == len(set(sent)), "nothing is sent twice"


def test_a_copy_that_fails_leaves_the_one_before(pair: Pair, server: Server, monkeypatch, capsys):
    first = copied(pair, server)
    before = content(pair.upper("two", server))
    (pair.upper("two", server) / "left4dead2/later.dem").write_bytes(os.urandom(3_000_000))

    def refused(self, told):
        raise Declined("No.")

    monkeypatch.setattr(doors.FarDoor, "finish", refused)
    copies.request_of_host(host=pair.two, by=None)
    assert pair.drain("two").state == "failed"
    assert ServerCopy.objects.get().copied_at == first.copied_at
    lose(pair, capsys)
    pair.runtime.set(server.pk, State.STOPPED)
    assert pair.drain("local").state == "succeeded"
    assert content(pair.upper("local", server)) == before


def test_another_worker_host_takes_the_servers_of_a_lost_one(pair: Pair, server: Server, cast: Cast, settings, capsys):
    """The web's process gives the copy over HTTP, to the host that has the server now and to nobody else."""
    before = content(pair.upper("two", server))
    copied(pair, server)
    lost = Host.objects.create(name="lost", address="203.0.113.7", last_seen_at=timezone.now())
    Server.objects.filter(pk=server.pk).update(host=lost)
    with pair.on("local"):
        call_command("remove_host", "lost", "--gone", "--move-servers-to", "two")
    pair.runtime.set(server.pk, State.STOPPED)
    job = pair.drain("two")
    assert job.state == "succeeded", job.error
    assert content(pair.upper("two", server)) == before
    assert ServerCopy.objects.get().lost_host == "", "from now on it is copied from there"


def test_what_does_not_fit_is_left_out_and_named(pair: Pair, server: Server, settings):
    logs = pair.upper("two", server).parent / "log"
    logs.mkdir()
    for number, age in (("old", 3), ("new", 1)):
        (logs / f"{number}.log").write_bytes(os.urandom(3_000_000))
        moment = timezone.now().timestamp() - age * 86400
        os.utime(logs / f"{number}.log", (moment, moment))
    begin = doors.FarDoor.begin
    settings.LEFT4ME_HOST_COPY_GB = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doors.FarDoor, "begin", lambda self: begin(self) and 13_000_000)
        copy = copied(pair, server)
        assert (copy.left_out, copy.left_out_paths) == (1, ["log/old.log"])
        patch.setattr(doors.FarDoor, "begin", lambda self: 1_000_000)
        copies.request_of_host(host=pair.two, by=None)
        job = pair.drain("two")
    assert job.state == "failed" and "more than LEFT4ME_HOST_COPY_GB" in job.error


def test_all_copies_together_stay_below_their_bound(pair: Pair, server: Server, settings):
    copies.request_of_host(host=pair.two, by=None)
    job = Job.objects.get()
    transitions.claim(host="two", worker="x", limit=9, now=timezone.now(), lease=timedelta(hours=1), only=job.pk)
    who = ("two", server.pk, job.pk)
    settings.LEFT4ME_HOST_COPIES_GB = settings.LEFT4ME_HOST_COPY_GB = 0.000_002
    with pair.on("local"):
        desk.put(*who, b"x" * 1500)
        desk.put(*who, b"x" * 1500)
        assert ServerCopy.objects.get().stored == 1500, "the same piece takes its place once"
        with pytest.raises(Declined, match="have reached LEFT4ME_HOST_COPIES_GB"):
            desk.put(*who, b"y" * 1500)
        assert (ServerCopy.objects.get().stored, store.ids()) == (0, []), "what there is no room for does not stay"
        settings.LEFT4ME_HOST_COPIES_GB = 1
        settings.LEFT4ME_HOST_COPY_GB = 0.000_000_5
        with pytest.raises(Declined, match="more than may be copied"):
            desk.put(*who, b"z" * 1500)


def test_a_host_reaches_only_what_is_its_turn(pair: Pair, server: Server, cast: Cast, web, settings):
    other = make_server(cast.owner, host=pair.local)
    copied(pair, server)
    job = Job.objects.get()
    path = f"{web.url}/api/v1/hosts/self/servers/{server.pk}/copy"
    assert requests.post(f"{path}/begin?job={job.pk}", timeout=5).status_code == 401
    headers = {"Authorization": f"Bearer {settings.LEFT4ME_HOST_TOKEN}"}

    def status(url: str) -> int:
        return requests.post(url, headers=headers, json={}, timeout=5).status_code

    assert status(f"{path}/begin?job={job.pk}") == 409, "the job has ended"
    assert requests.get(f"{path}/pieces?job={job.pk}&at=0", headers=headers, timeout=5).status_code == 409
    assert status(f"{web.url}/api/v1/hosts/self/servers/{other.pk}/copy/offer?job={job.pk}") == 409
    assert status(f"{path}/nothing?job={job.pk}") == 404
    # A job that a host has written for itself opens no copy of a server that is not lost.
    own = jobs.request(operation="restore_copy", resource=server.resource, by=None, host="two")
    transitions.claim(host="two", worker="x", limit=9, now=timezone.now(), lease=timedelta(hours=1), only=own.pk)
    refused = requests.post(f"{path}/offer?job={own.pk}", headers=headers, json={}, timeout=5)
    assert refused.status_code == 409 and "no copy that waits" in refused.json()["title"]


def test_each_server_is_copied_once_a_night(pair: Pair, server: Server, cast: Cast, settings):
    make_server(cast.owner, host=pair.local)
    night = timezone.now().replace(hour=3, minute=0)
    assert copies.request_due(night) == 0, "a host that never reported its release is asked for nothing"
    Host.objects.update(version=VERSION)
    assert copies.request_due(night) == 1
    ServerCopy.objects.update(requested_at=night)
    assert copies.request_due(night + timedelta(hours=22)) == 0
    assert copies.request_due(night + timedelta(hours=24)) == 1
    assert Job.objects.count() == 1, "one that still waits is not requested again"
    settings.LEFT4ME_HOST_COPIES_GB = 0
    assert copies.request_due(night + timedelta(hours=48)) == 0
    with pytest.raises(Refused, match="turned off"):
        copies.request_of_host(host=pair.two, by=cast.admin)
    with pytest.raises(Refused, match="left4mectl backup"):
        copies.request_of_host(host=pair.local, by=cast.admin)


def test_a_server_that_was_never_copied_is_named_when_its_host_is_lost(pair: Pair, server: Server, capsys):
    told = lose(pair, capsys)
    assert "There was no copy of its files: what its game has written is lost." in told
    assert not Job.objects.live().exists()


def test_a_server_that_was_never_started_has_an_empty_copy(pair: Pair, cast: Cast):
    server = make_server(cast.owner, host=pair.two, actual_state="stopped")
    copy = copied(pair, server)
    assert copy.copied_at is not None and copy.size < 1000
    assert not list((pair.upper("two", server).parent).glob("notes"))


def test_until_it_has_its_files_it_does_not_start_and_is_not_copied(pair: Pair, server: Server, capsys):
    copied(pair, server)
    make_host(name="three", last_seen_at=timezone.now(), game_version="1")
    lose(pair, capsys, to="three")
    moved = Server.objects.get()
    with pytest.raises(Refused, match="“Restore from the copy” is in progress"):
        jobs.request(operation="start", resource=moved.resource, by=None, host="three")
    assert copies.request_of_host(host=Host.objects.get(name="three"), by=None) == []
    with pair.on("local"):
        tasks.copy_due()
        assert store.ids() == [server.pk]


def test_a_copy_that_is_damaged_is_not_put_in_place(pair: Pair, server: Server, cast: Cast, client, capsys):
    copied(pair, server)
    lose(pair, capsys)
    pair.runtime.set(server.pk, State.STOPPED)
    with pair.on("local"):
        damaged = max(store.root().rglob("pieces/*/*"), key=lambda path: path.stat().st_size)
        with damaged.open("r+b") as file:
            file.seek(damaged.stat().st_size // 4)
            file.write(b"XXXX")
    job = pair.drain("local")
    assert job.state == "failed" and "not those that were sent" in job.error
    assert "The copy stays on the web server's machine" in job.error
    client.force_login(cast.owner)
    page = client.get(f"/servers/{server.pk}/backups").content.decode()
    assert "not those that were sent" in page and f"/jobs/{job.pk}/retry" in page
    assert not pair.upper("local", server).exists()
    damaged.unlink()
    with pair.on("local"):
        assert Store(server.pk).head() is not None
        copies.request_restore(ServerCopy.objects.get(), lost_host="two", to=pair.local)
        (again,) = drain(host="local")
    assert again.state == "failed" and "not whole any more" in again.error


def test_after_a_restore_of_the_web_s_machine_rows_say_what_is_on_the_disk(pair: Pair, server: Server):
    copy = copied(pair, server)
    ServerCopy.objects.all().delete()
    with pair.on("local"):
        tasks.copy_due()
        found = ServerCopy.objects.get()
        assert (found.copied_at, found.sha256, found.size) == (copy.copied_at, copy.sha256, copy.size)
        Store(server.pk).drop()
        tasks.copy_due()
    assert ServerCopy.objects.get().copied_at is None


def test_servers_that_were_not_copied_for_two_days_are_told_of(pair: Pair, server: Server, cast: Cast):
    copied(pair, server)
    two = Host.objects.filter(pk=pair.two.pk)

    def told() -> list[str]:
        tasks.copy_due()
        row = two.select_related("game_check").get()
        reasons = attention.of_hosts([row], user=cast.admin, now=timezone.now())[row.pk]
        assert not any(
            reason.kind == "copies_late"
            for reason in attention.of_hosts([row], user=cast.owner, now=timezone.now())[row.pk]
        ), "names of servers are for admins"
        return [reason.text for reason in reasons if reason.kind == "copies_late"]

    with pair.on("local"):
        assert told() == []
        late = timezone.now() - timedelta(days=2, hours=1)
        ServerCopy.objects.update(copied_at=late)
        assert "did not succeed for: Friday" in told()[0]
        assert Incident.objects.get().key == f"host:{pair.two.pk}:copies"
        ServerCopy.objects.update(copied_at=timezone.now())
        assert told() == []
    assert Incident.objects.get().well_since is not None


def test_the_host_s_page_and_the_api_show_what_was_copied_and_what_failed(
    pair: Pair, server: Server, client, cast: Cast, capsys
):
    copied(pair, server)
    client.force_login(cast.admin)
    page = client.get(f"/hosts/{pair.two.pk}").content.decode()
    assert "Copies of its servers" in page and "Last copied" in page
    told = client.get(f"/api/v1/hosts/{pair.two.pk}/copies").json()
    (item,) = told["items"]
    assert (item["name"], item["is_late"], item["error"], item["size"]) == ("Friday", False, "", told["size"])
    assert client.get(f"/api/v1/hosts/{pair.local.pk}/copies").json()["items"] == []
    for tab in ("backups", "settings"):
        assert "Last copied" in client.get(f"/servers/{server.pk}/{tab}").content.decode()
    Host.objects.filter(pk=pair.two.pk).update(last_seen_at=timezone.now() - timedelta(days=1))
    assert "Last copied" in client.get(f"/servers/{server.pk}").content.decode(), "its host is down"
    Host.objects.filter(pk=pair.two.pk).update(last_seen_at=timezone.now())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doors.FarDoor, "begin", lambda self: 1)
        assert client.post(f"/hosts/{pair.two.pk}/copies/create").status_code == 302
        pair.drain("two")
    part = client.get(f"/hosts/{pair.two.pk}/copies", headers={"HX-Request": "true"}).content.decode()
    assert "more than LEFT4ME_HOST_COPY_GB" in part
    answer = client.post(f"/api/v1/hosts/{pair.two.pk}/copies", content_type="application/json")
    assert [job["operation"] for job in answer.json()] == ["copy_files"]
    call_command("copy_servers", "two")
    assert f"copies {server.resource}" in capsys.readouterr().out
    client.force_login(cast.owner)
    assert "Copies of its servers" not in client.get(f"/hosts/{pair.two.pk}").content.decode()
