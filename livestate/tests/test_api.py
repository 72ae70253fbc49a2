from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.utils import timezone

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from left4me.testing import wire
from left4me.testing.caller import Caller
from livestate.models import Order
from livestate.tests.factories import make_profile, make_session, make_snapshot
from overlays.models import OverlayAddon
from overlays.tests.factories import make_overlay
from servers.models import BlueprintOverlay, Server
from servers.tests.factories import make_server, share

pytestmark = pytest.mark.django_db

PATHS = ["live", "history", "players", "maps"]
WIRE = Path(__file__).parent / "wire"
EVENING = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)


def ago(**parts: float):
    return timezone.now() - timedelta(**parts)


@pytest.fixture
def server(cast):
    server = make_server(cast.owner, actual_state=Server.State.RUNNING)
    share(server, cast.viewer, "viewer")
    return server


def read(client, user, server, path: str, **query: object):
    client.force_login(user)
    return client.get(f"/api/v1/servers/{server.pk}/{path}", query)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("who", "status"), [("owner", 200), ("viewer", 200), ("admin", 200), ("stranger", 404)])
def test_the_api_checks_what_the_pages_check(client, cast, server, path, who, status):
    assert read(client, getattr(cast, who), server, path).status_code == status


@pytest.mark.parametrize("path", PATHS)
def test_the_api_wants_to_know_who_asks(client, server, path):
    assert client.get(f"/api/v1/servers/{server.pk}/{path}").status_code == 401


def test_live_tells_the_latest_snapshot_and_who_is_on(client, cast, server):
    make_snapshot(server, ago(minutes=5), ago(seconds=2), players=1, bots=3, map="c2m3_coaster")
    make_session(server, 101, ago(minutes=4))
    found = read(client, cast.owner, server, "live").json()
    assert (found["state"], found["players"], found["max_players"], found["bots"]) == ("played", 1, 8, 3)
    assert (found["map"], found["campaign"], found["chapter"]) == ("c2m3_coaster", "Dark Carnival", "The Coaster")
    assert [player["steam_id_64"] for player in found["current"]] == [str(STEAM_ID_64_BASE + 101)]


def test_live_of_a_server_that_does_not_run_knows_nothing(client, cast, server):
    make_snapshot(server, ago(minutes=5), ago(seconds=2), players=1)
    Server.objects.update(actual_state=Server.State.STOPPED)
    found = read(client, cast.owner, server, "live").json()
    assert (found["state"], found["players"], found["map"]) == ("off", None, None)


def test_history_sums_up_a_span(client, cast, server):
    make_snapshot(server, ago(hours=2), ago(hours=1), players=4, map="c1m1_hotel")
    make_session(server, 101, ago(hours=2), ago(hours=1))
    found = read(client, cast.owner, server, "history", span="7d").json()
    assert found["span"] == "7d"
    assert max(step["most"] or 0 for step in found["steps"]) == 4
    assert found["maps"][0]["played_seconds"] == pytest.approx(3600, abs=1)
    assert found["top_players"][0]["seconds"] == pytest.approx(3600, abs=1)


def test_an_unknown_span_is_refused(client, cast, server):
    assert read(client, cast.owner, server, "history", span="1y").status_code == 422


def test_stays_come_in_pages_the_latest_first(client, cast, server):
    for hours in range(5):
        make_session(server, 101 + hours, ago(hours=hours + 1), ago(hours=hours))
    found = read(client, cast.owner, server, "players", limit=2, offset=1).json()
    assert found["count"] == 5
    assert [item["steam_id_64"] for item in found["items"]] == [str(STEAM_ID_64_BASE + n) for n in (102, 103)]


def test_a_player_who_is_still_loading_is_shown_as_connecting(client, cast, server):
    steam_id = str(STEAM_ID_64_BASE + 101)
    make_snapshot(server, ago(seconds=2), players=2, connecting=[["<Loading>", None], ["Zoey", steam_id]])
    make_session(server, 101, ago(seconds=2))
    found = read(client, cast.owner, server, "live").json()
    assert (found["players"], found["connecting"]) == (
        2,
        [{"name": "<Loading>", "steam_id_64": None}, {"name": "Zoey", "steam_id_64": steam_id}],
    )
    page = client.get(f"/servers/{server.pk}/live-state").content.decode()
    assert "2 connecting" in page
    assert page.count("<bdi>&lt;Loading&gt;</bdi>") == 1
    server.actual_state = Server.State.STOPPED
    server.save()
    assert read(client, cast.owner, server, "live").json()["connecting"] == []


def test_the_maps_to_change_to_come_from_every_layer(client, cast, server):
    overlay = make_overlay(owner=cast.owner)
    chapters = [{"map": "city_1", "title": "Streets", "campaign": "City 17", "modes": ["coop"]}]
    OverlayAddon.objects.create(overlay=overlay, path="left4dead2/addons/a.vpk", is_valid=True, chapters=chapters)
    BlueprintOverlay.objects.create(blueprint=server.blueprint, overlay=overlay, position=0)
    found = read(client, cast.viewer, server, "maps").json()
    assert found[0] == {"map": "city_1", "title": "Streets", "campaign": "City 17", "modes": ["coop"]}
    assert found[1]["map"] == "c1m1_hotel"
    make_snapshot(server, ago(seconds=2), players=1, map="city_1")
    assert read(client, cast.owner, server, "live").json()["campaign"] == "City 17"


# --- the wire format is frozen --------------------------------------------------------------------------------


@time_machine.travel(EVENING, tick=False)
def test_the_wire_of_live_state_and_history(cast, api: Caller, server):
    api = api.by(cast.viewer)
    wire.check(api.get(f"/servers/{server.pk}/live")[1], WIRE / "live_unheard.json")
    make_snapshot(server, ago(minutes=5), ago(seconds=2), players=1, bots=3, map="c2m3_coaster")
    make_session(server, 101, ago(minutes=4))
    make_session(server, 202, ago(hours=2), ago(hours=1), min_ping=None, max_ping=None)
    make_profile(101, ago(hours=1), persona_name="Zoey", avatar_url="https://avatars.steamstatic.com/z_medium.jpg")
    wire.check(api.get(f"/servers/{server.pk}/live")[1], WIRE / "live.json")
    wire.check(api.get(f"/servers/{server.pk}/players")[1], WIRE / "players.json")
    history = api.get(f"/servers/{server.pk}/history")[1]
    history["steps"] = history["steps"][-2:]
    wire.check(history, WIRE / "history.json")


def test_the_wire_of_orders(cast, api: Caller, server):
    api = api.by(cast.owner)
    Order.objects.create(
        server=server,
        user=cast.owner,
        kind="ban",
        value=str(STEAM_ID_64_BASE + 101),
        minutes=30,
        state="uncertain",
        output="said",
        note="The ban does not appear in the game's ban list.",
        created_at=timezone.now(),
        finished_at=timezone.now(),
    )
    wire.check(api.get(f"/servers/{server.pk}/orders")[1], WIRE / "orders.json")
    wire.check(api.post(f"/servers/{server.pk}/orders", {"value": "quit"})[1], WIRE / "order_refused.json")
