"""SourceTV of a server: its options on the page and in the API, in the start of the game, and in one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers.gamehost import rcon
from servers.hosts import this_host
from servers.lifecycle import launch_plan, pending_changes
from servers.models import Server
from servers.sourcetv import application
from servers.sourcetv.options import Options
from servers.tests.factories import make_host, make_server
from servers.tests.near_host import answer_here

FILE = application.FILE


@pytest.fixture
def server(cast: Cast, settings: Any, tmp_path: Path, monkeypatch: Any, redis_client: object) -> Server:
    settings.LEFT4ME_ROOT = tmp_path
    answer_here(monkeypatch)
    host = make_host(first_port=27015, last_port=27020, last_seen_at=timezone.now())
    return make_server(cast.owner, host=host)


def support(tmp_path: Path) -> Path:
    (tmp_path / "left4dead2/addons/sourcetvsupport").mkdir(parents=True)
    return tmp_path


def test_sourcetv_is_turned_on_with_a_port_of_its_own(client: Client, cast: Cast, server: Server):
    client.force_login(cast.owner)
    page = f"/servers/{server.pk}/demos"
    assert "SourceTV is off" in client.get(page).content.decode()
    assert "SourceTV Support is missing" in client.get(f"{page}/settings").content.decode()
    sent = {"is_enabled": "on", "records": "on", "spectators": 4, "delay": 45, "keep_days": 3, "keep_gb": 0}
    assert client.post(f"{page}/settings", {**sent, "password": "sesame"}).status_code == 302
    server.refresh_from_db()
    assert server.tv_port == 27020
    assert Options.of(server.sourcetv) == Options(
        is_enabled=True, spectators=4, delay=45, keep_days=3, password="sesame"
    )
    entry = AuditEntry.objects.get(action="server.sourcetv")
    assert entry.details["delay"] == 45 and "sesame" not in str(entry.details)
    assert "kept for 3 days" in client.get(page).content.decode()
    refused = client.post(f"{page}/settings", {**sent, "password": 'a"b'})
    assert refused.status_code == 422 and "quotation marks" in refused.content.decode()


def test_the_api_changes_what_it_names(cast: Cast, api: Caller, server: Server):
    api = api.by(cast.owner)
    path = f"/servers/{server.pk}/sourcetv"
    assert api.get(path)[1]["port"] is None
    assert api.patch(path, {"is_enabled": True})[1]["port"] == 27020
    assert api.patch(path, {"delay": 90})[1] == {**api.get(path)[1], "is_enabled": True, "delay": 90}
    assert api.patch(path, {"delay": 121})[0] == 422
    assert api.patch(path, {"password": "ümläut"})[0] == 422
    assert api.patch(path, {"is_enabled": False})[1]["port"] is None


def test_servers_of_a_host_never_share_a_port_and_a_full_range_is_said(cast: Cast, api: Caller, server: Server):
    others = [make_server(cast.owner, host=server.host) for _ in range(2)]
    api = api.by(cast.owner)
    ports = [api.patch(f"/servers/{each.pk}/sourcetv", {"is_enabled": True})[1]["port"] for each in (server, *others)]
    assert ports == [27020, 27019, 27018]
    one_more = Server(name="x", port=27018, host=server.host)
    assert one_more.port in Server.objects.values_list("tv_port", flat=True)
    server.host.first_port, server.host.last_port = 27015, 27017
    server.host.save()
    Server.objects.update(tv_port=None, sourcetv={})
    status, answer = api.patch(f"/servers/{server.pk}/sourcetv", {"is_enabled": True})
    assert status == 409 and "larger range" in answer["detail"]
    assert Server.objects.get(pk=server.pk).sourcetv == {}


def test_a_start_has_sourcetv_before_its_first_map(server: Server, tmp_path: Path):
    assert application.for_start(server, []).arguments == ()
    server.sourcetv = Options(is_enabled=True, spectators=2, password="a b").stored()
    part = application.for_start(server, [])
    words = launch_plan.arguments(port=1, tv_port=27020, text="+map c2m1_highway", more_arguments=part.arguments)
    assert words.index("+tv_enable") < words.index("+map") and words[words.index("+tv_enable") + 1] == "1"
    assert part.lines == ["exec left4me_sourcetv"]
    assert "a b" not in words and 'tv_password "a b"' in part.replaceable[FILE]
    # Without the extension, a broadcast would keep the game from Steam.
    assert "-hltv" not in part.arguments
    assert "-hltv" in application.for_start(server, [support(tmp_path)]).arguments
    server.sourcetv = Options(is_enabled=True).stored()
    assert "-hltv" not in application.for_start(server, [tmp_path]).arguments


def test_a_restart_is_needed_only_to_turn_it_on_and_off(cast: Cast, server: Server):
    def is_behind() -> bool:
        return pending_changes.restart_needed(Server.objects.with_blueprint().get())

    Server.objects.update(actual_state="running", applied=pending_changes.current(server))
    Server.objects.update(sourcetv=Options(delay=9).stored())
    assert not is_behind()
    Server.objects.update(sourcetv=Options(is_enabled=True).stored())
    assert is_behind()


def test_a_running_game_takes_over_what_can_change(server: Server, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    monkeypatch.setattr(rcon, "execute", lambda _address, _port, _password, command, **_: told.append(command))
    Server.objects.update(actual_state="running", sourcetv=Options(is_enabled=True, delay=60).stored())
    application.apply(server.pk)
    # Started without it: the game does not know the file.
    assert told == []
    directory = this_host.storage().of(server.pk)
    directory.write_replaceable({FILE: ""})
    application.apply(server.pk)
    assert "tv_delay 60" in (directory.replaceable / FILE).read_text()
    Server.objects.update(sourcetv=Options(is_enabled=False).stored())
    application.apply(server.pk)
    assert told == ["exec left4me_sourcetv", "exec left4me_sourcetv;tv_stoprecord"]
    assert "tv_autorecord 0" in (directory.replaceable / FILE).read_text()
