"""Demos on pages and in the API: listed with players, downloaded, deleted, and linked from players."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from livestate.demos import lookups, recorder
from livestate.demos.models import Demo
from livestate.demos.tests.factories import content, make_demo, write
from livestate.matches import demos as match_demos
from livestate.tests.factories import make_session
from servers.hosts import rpc, this_host
from servers.models import Server
from servers.tests.factories import make_host, make_server, share
from servers.tests.near_host import answer_here

NOW = timezone.now().replace(microsecond=0)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AUTO = "left4dead2/auto-20300110-1100-c1m1_hotel.dem"


@pytest.fixture
def server(cast: Cast, settings: Any, tmp_path: Path, monkeypatch: Any, redis_client: object) -> Server:
    settings.LEFT4ME_ROOT = tmp_path
    answer_here(monkeypatch)
    row = make_server(cast.owner, host=make_host(last_seen_at=timezone.now()), name="Friday", actual_state="stopped")
    this_host.storage().of(row.pk).prepare()
    return row


@pytest.fixture
def anna(client: Client, cast: Cast) -> Client:
    client.force_login(cast.owner)
    return client


def record(server: Server, name: str = AUTO, **fields: Any) -> tuple[Demo, Path]:
    """A demo of twenty minutes that has just ended, on the disk and as a row."""
    upper = this_host.storage().of(server.pk).upper
    path = write(upper, name, content(seconds=1200, body=b"0123456789" * 300_000, **fields), changed_at=NOW)
    recorder.note([server])
    return Demo.objects.get(path=name), path


def test_a_demo_is_listed_with_map_players_and_size_and_downloaded(anna: Client, server: Server):
    make_session(server, 1, NOW - HOUR, NOW - 15 * MINUTE, name_at_join="Nick")
    make_session(server, 2, NOW - 5 * MINUTE, None, name_at_join="Zoey")
    make_session(server, 3, NOW - 2 * HOUR, NOW - HOUR, name_at_join="Bill")
    demo, path = record(server)
    page = anna.get(f"/servers/{server.pk}/demos").content.decode()
    assert "The Hotel" in page and "20 min" in page and "3" in page
    assert "Nick" in page and "Zoey" in page and "Bill" not in page
    detail = anna.get(demo.get_absolute_url()).content.decode()
    assert "playdemo friday-auto-20300110-1100-c1m1_hotel" in detail and "2100" in detail
    answer = anna.get(f"/servers/{server.pk}/demos/{demo.pk}/download")
    assert b"".join(answer) == path.read_bytes()
    assert "friday-auto" in answer["Content-Disposition"]
    part = anna.get(f"/servers/{server.pk}/demos/{demo.pk}/download", headers={"range": "bytes=0-6"})
    assert (part.status_code, b"".join(part)) == (206, b"HL2DEMO")


def test_the_api_lists_demos_by_time(cast: Cast, api: Caller, server: Server):
    early, late = make_demo(server, NOW - 5 * HOUR), make_demo(server, NOW - HOUR)
    make_session(server, 1, NOW - HOUR, NOW, name_at_join="Nick")
    share(server, cast.viewer)
    seen = api.by(cast.viewer).get(f"/servers/{server.pk}/demos")[1]
    assert [each["id"] for each in seen["items"]] == [late.pk, early.pk]
    assert seen["items"][0]["players"] == [{"steam_id_64": "76561197960265729", "name": "Nick"}]
    since = (NOW - 2 * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert api.by(cast.viewer).get(f"/servers/{server.pk}/demos?start={since}")[1]["count"] == 1
    assert api.by(cast.viewer).get(f"/servers/{server.pk}/demos?end={since}")[1]["items"][0]["id"] == early.pk
    assert api.by(cast.viewer).get(f"/servers/{server.pk}/demos/{late.pk}")[1]["seconds"] == 1200


def test_demos_are_found_by_the_time_of_a_match_and_of_a_visit(cast: Cast, server: Server):
    one, two = make_demo(server, NOW - 5 * HOUR), make_demo(server, NOW - HOUR)
    make_demo(server, NOW - HOUR, path="left4dead2/x.dem", state="damaged")
    assert lookups.between(server, NOW - 2 * HOUR, NOW) == [two]
    assert lookups.between(server, NOW - 9 * HOUR, NOW) == [one, two]
    assert [demo.title for demo in match_demos.of(server, NOW - 2 * HOUR, NOW)] == [two.map]
    assert lookups.between(make_server(cast.owner), NOW - 9 * HOUR, NOW) == []
    visits = [
        make_session(server, 1, NOW - 2 * HOUR),
        make_session(server, 2, NOW - 9 * HOUR, NOW - 5 * HOUR + MINUTE),
    ]
    assert lookups.of_visits(visits) == {visits[0].pk: [two], visits[1].pk: [one]}


def test_the_page_of_a_player_links_the_demos_of_each_visit(anna: Client, server: Server):
    visit = make_session(server, 1, NOW - HOUR, NOW)
    url = f"/players/{visit.steam_id_64}"
    assert "Demos" not in anna.get(url).content.decode().partition("<table")[2]
    demo = make_demo(server, NOW - HOUR)
    assert f'href="{demo.get_absolute_url()}"' in anna.get(url).content.decode()


def test_chosen_demos_are_deleted_by_a_job(anna: Client, cast: Cast, server: Server):
    (one, first), (_two, second) = record(server), record(server, "left4dead2/b.dem")
    anna.post(f"/servers/{server.pk}/demos/delete", {"demo": [one.pk, "x"]})
    assert "In progress" in anna.get(f"/servers/{server.pk}/demos").content.decode()
    (job,) = drain(host="local")
    assert job.state == Job.State.SUCCEEDED
    assert not first.exists() and second.exists()
    assert Demo.objects.get().path == "left4dead2/b.dem"
    entry = AuditEntry.objects.get(action="server.delete_demos")
    assert (entry.details["count"], entry.details["files"]) == (1, one.name)


def test_the_job_looks_again_before_it_deletes(cast: Cast, api: Caller, server: Server):
    demo, path = record(server)
    assert api.by(cast.owner).delete(f"/servers/{server.pk}/demos/{demo.pk}")[0] == 202
    # The row tells of another state of the file.
    os.utime(path, (1, 1))
    drain(host="local")
    assert not path.exists() and not Demo.objects.exists()


def test_a_demo_that_is_recorded_is_neither_downloaded_nor_deleted(
    anna: Client, cast: Cast, api: Caller, server: Server
):
    demo = make_demo(server, NOW - HOUR, state="recording")
    page = anna.get(f"/servers/{server.pk}/demos").content.decode()
    assert "Recording" in page and "/download" not in page
    shown = anna.get(f"/servers/{server.pk}/demos/{demo.pk}/download", follow=True).content.decode()
    assert "still recording" in shown
    refused = api.by(cast.owner).delete(f"/servers/{server.pk}/demos/{demo.pk}")
    assert refused[0] == 409 and "after the map" in refused[1]["detail"]


def test_a_host_that_is_silent_is_said(anna: Client, server: Server, monkeypatch: pytest.MonkeyPatch):
    def silent(*_: object, **__: object) -> None:
        raise rpc.HostSilent

    demo, _path = record(server)
    monkeypatch.setattr(rpc, "call", silent)
    shown = anna.get(f"/servers/{server.pk}/demos/{demo.pk}/download", follow=True).content.decode()
    assert "did not respond" in shown


def test_nothing_but_demos_is_read(server: Server):
    upper = this_host.storage().of(server.pk).upper
    write(upper, "left4dead2/cfg/server.cfg", b'rcon_password "x"', changed_at=NOW)
    for path in ("left4dead2/cfg/server.cfg", "left4dead2/../../../etc/passwd", "/etc/passwd", "left4dead2/cfg/a.dem"):
        with pytest.raises(rpc.NotFound):
            rpc.call(server.host, "demo_piece", server=server.pk, file=path, offset=0)
