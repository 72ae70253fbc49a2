"""The pages of logs, resources and states, with replies of a host in place of its worker."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from left4me.testing.cast import Cast
from servers.hosts import rpc
from servers.hosts.rpc import Reply
from servers.models import Server, StateChange
from servers.state import usage
from servers.tests.factories import make_host, make_server, share

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner, name="Friday", host=make_host(last_seen_at=timezone.now()))


@pytest.fixture
def viewer(cast: Cast, client: Client, server: Server) -> Client:
    share(server, cast.viewer)
    client.force_login(cast.viewer)
    return client


@pytest.fixture
def host(monkeypatch) -> dict[str, object]:
    """`host["log_files"] = Reply(…)` is what it replies; an exception is raised."""
    replies: dict[str, object] = {}

    def call(host: object, procedure: str, **values: object) -> Reply:
        reply = replies[procedure]
        reply = reply(**values) if callable(reply) and not isinstance(reply, type) else reply
        if isinstance(reply, type):
            raise reply
        assert isinstance(reply, Reply)
        return reply

    monkeypatch.setattr(rpc, "call", call)
    return replies


def _text(response) -> str:
    return b"".join(response).decode() if response.streaming else response.content.decode()


@pytest.mark.parametrize("part", ["logs", "logs/search", "logs/files", "logs/download", "resources", "states"])
def test_a_stranger_finds_nothing(part: str, cast: Cast, client: Client, server: Server):
    client.force_login(cast.stranger)
    assert client.get(f"/servers/{server.pk}/{part}").status_code == 404


def test_the_log_is_in_the_console_for_viewers_without_the_prompt(viewer: Client, server: Server):
    page = _text(viewer.get(f"/servers/{server.pk}/logs", follow=True))
    assert f'data-stream="log:{server.pk}"' in page
    assert "console-command" not in page


def test_a_search_shows_lines_as_text(viewer: Client, server: Server, host):
    host["log_search"] = lambda **asked: Reply([f"<b>{asked['text']}</b> in {asked['file'] or 'console'}"])
    part = _text(viewer.get(f"/servers/{server.pk}/logs/search?q=tank", headers=HTMX))
    assert "&lt;b&gt;tank&lt;/b&gt; in console" in part
    page = _text(viewer.get(f"/servers/{server.pk}/logs/search?q=tank&file=left4dead2/console.log"))
    assert "in left4dead2/console.log" in page and 'name="file"' in page
    host["log_search"] = Reply([])
    assert "No stored line" in _text(viewer.get(f"/servers/{server.pk}/logs/search?q=tank", headers=HTMX))


def test_a_silent_host_is_said_not_waited_for(viewer: Client, server: Server, host):
    host.update(log_search=rpc.HostSilent, log_files=rpc.HostSilent, console_log=rpc.HostSilent)
    for part in ("search?q=tank", "files"):
        page = viewer.get(f"/servers/{server.pk}/logs/{part}", headers=HTMX)
        assert (page.status_code, "did not respond" in _text(page)) == (200, True)
    answer = viewer.get(f"/servers/{server.pk}/logs/download", follow=True)
    assert "did not respond" in _text(answer)


def test_the_console_is_downloaded_as_text(viewer: Client, server: Server, host):
    host["console_log"] = Reply(None, b"one\ntwo\n")
    answer = viewer.get(f"/servers/{server.pk}/logs/download")
    assert _text(answer) == "one\ntwo\n"
    assert answer["Content-Disposition"] == 'attachment; filename="friday-console.log"'
    assert answer["Content-Type"].startswith("text/plain")


def test_a_file_is_downloaded_in_pieces_and_cut_where_it_ended_when_asked_for(viewer: Client, server: Server, host):
    whole = b"0123456789 and what the game added"
    host["log_piece"] = lambda **asked: Reply({"size": 10}, whole[asked["offset"] : asked["offset"] + 4])
    answer = viewer.get(f"/servers/{server.pk}/logs/download?file=left4dead2/logs/L1.log")
    assert (_text(answer), answer["Content-Length"]) == ("0123456789", "10")
    assert "friday-L1.log" in answer["Content-Disposition"]


def test_a_download_that_was_cut_off_continues_unless_the_file_has_changed(viewer: Client, server: Server, host):
    changed = 1
    host["log_piece"] = lambda **asked: Reply({"size": 10, "changed": changed}, b"0123456789"[asked["offset"] :])
    address = f"/servers/{server.pk}/logs/download?file=left4dead2/logs/L1.log"
    rest = {"Range": "bytes=4-", "If-Range": viewer.get(address)["ETag"]}
    answer = viewer.get(address, headers=rest)
    assert (answer.status_code, _text(answer)) == (206, "456789")
    assert answer["Content-Range"] == "bytes 4-9/10"
    changed = 2
    answer = viewer.get(address, headers=rest)
    assert (answer.status_code, _text(answer)) == (200, "0123456789")


def test_a_log_that_is_not_there_is_not_found(viewer: Client, server: Server, host):
    host.update(log_piece=rpc.NotFound, log_search=rpc.NotFound)
    assert viewer.get(f"/servers/{server.pk}/logs/download?file=etc/passwd").status_code == 404
    assert viewer.get(f"/servers/{server.pk}/logs/search?file=etc/passwd&q=root").status_code == 404


def test_the_files_lead_to_search_and_download(viewer: Client, server: Server, host):
    name = "left4dead2/addons/sourcemod/logs/errors&1.log"
    host["log_files"] = Reply([{"name": name, "size": 2048, "changed_at": timezone.now().isoformat()}])
    part = _text(viewer.get(f"/servers/{server.pk}/logs/files", headers=HTMX))
    assert "file=left4dead2%2Faddons%2Fsourcemod%2Flogs%2Ferrors%261.log" in part
    assert "2.0 kB" in part


def test_what_a_server_uses_is_shown_or_that_nothing_is_known(viewer: Client, server: Server, monkeypatch):
    now = timezone.now()
    known = usage.Usage(
        at=now,
        cpu_percent=12.5,
        memory_bytes=512_000_000,
        tasks=3,
        disk_bytes=None,
        cpu_seconds=1.0,
        disk_at=now,
    )
    monkeypatch.setattr(usage, "of_one", lambda server_id: known)
    part = _text(viewer.get(f"/servers/{server.pk}/resources", headers=HTMX))
    assert "12.5% of one core" in part and "512 MB" in part
    monkeypatch.setattr(usage, "of_one", lambda server_id: None)
    assert "No recent data from the host" in _text(viewer.get(f"/servers/{server.pk}/resources", headers=HTMX))


def test_a_server_that_gave_up_shows_its_exit_and_last_lines(viewer: Client, server: Server):
    at = timezone.now() - timedelta(minutes=1)
    StateChange.objects.create(server=server, at=at, state="running")
    lines = ["loading addons", "<Segmentation fault>"]
    StateChange.objects.create(
        server=server,
        at=timezone.now(),
        state="gave_up",
        detail="ended 6 times (last exit: signal 11)",
        last_lines=lines,
    )
    for page in (
        viewer.get(f"/servers/{server.pk}/states", headers=HTMX),
        viewer.get(f"/servers/{server.pk}/states"),
    ):
        text = _text(page)
        assert "last exit: signal 11" in text
        assert "loading addons\n&lt;Segmentation fault&gt;" in text
        assert " open>" in text, "the last words of a server that gave up are not hidden"


def test_the_api_tells_the_same(viewer: Client, server: Server, monkeypatch):
    monkeypatch.setattr(usage, "of_one", lambda server_id: None)
    assert viewer.get(f"/api/v1/servers/{server.pk}/resources").json()["memory_bytes"] is None
    StateChange.objects.create(server=server, at=timezone.now(), state="crashed", last_lines=["the end"])
    told = viewer.get(f"/api/v1/servers/{server.pk}/states").json()
    assert (told["count"], told["items"][0]["state"], told["items"][0]["last_lines"]) == (1, "crashed", ["the end"])
