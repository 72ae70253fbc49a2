"""A map from the workshop, from Steam's answer to a game that plays it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from django.utils import timezone

from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from left4me.testing.simulated_steam import SimulatedSteam
from overlays import builds
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers.gamehost import rcon
from servers.hosts import installs, this_host
from servers.lifecycle import lifecycle
from servers.models import Server
from servers.tests.factories import make_blueprint, make_host, make_server
from workshop import metadata

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MISSION = b'"mission" { "Name" "helms" "modes" { "coop" { "1" { "Map" "helms_gate" } } } }'


@pytest.fixture
def steam_world(tmp_path, settings, db) -> Iterator[SimulatedSteam]:
    settings.LEFT4ME_ROOT = tmp_path / "root"
    folder = tmp_path / "steam"
    folder.mkdir()
    this_host.runtime.cache_clear()
    installs.install(RecordedRun("game"))
    with SimulatedSteam(folder) as steam:
        settings.LEFT4ME_STEAM_API_URL = steam.url
        settings.LEFT4ME_STEAM_CONTENT_HOSTS = [steam.url]
        yield steam
    for server_id in Server.objects.values_list("pk", flat=True):
        with contextlib.suppress(Exception):
            this_host.runtime().kill(server_id)
    this_host.runtime.cache_clear()


def test_a_server_plays_a_map_from_the_workshop(steam_world: SimulatedSteam, cast: Cast):
    steam_world.add(3434972877, files={"maps/helms_gate.bsp": b"VBSP", "missions/helms.txt": MISSION})
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP)
    with metadata.connect() as api:
        rows = metadata.save(api.all_items([3434972877]), now=timezone.now())
    OverlayWorkshopItem.objects.create(overlay=overlay, item=rows[3434972877])
    builds.build(RecordedRun(overlay.resource), overlay)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    blueprint = make_blueprint(cast.owner, overlays=[overlay], arguments="+map helms_gate")
    server = make_server(cast.owner, blueprint=blueprint, host=make_host(last_port=65535), port=port)
    lifecycle.start(server, RecordedRun(server.resource))
    status = rcon.execute("127.0.0.1", server.port, server.live_rcon_password, "status", timeout=10)
    assert "map     : helms_gate" in status
    lifecycle.stop(server, RecordedRun(server.resource))
