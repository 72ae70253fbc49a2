"""The tab of a server's maps, the page of a blueprint's rotation, and the API of both."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.redis import hosts
from livestate.models import Order
from livestate.rotation import actions
from livestate.rotation.models import GameEvent, MapState, Rotation
from livestate.tests.factories import make_snapshot
from overlays.models import OverlayAddon
from overlays.tests.factories import make_overlay
from servers.models import BlueprintOverlay, Server
from servers.tests.factories import make_run, make_server, share

pytestmark = pytest.mark.django_db

CAMPAIGNS = ["campaign:c1m1_hotel", "campaign:c2m1_highway"]


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch) -> None:
    monkeypatch.setattr(hosts, "send", lambda *args, **options: True)


@pytest.fixture
def server(cast) -> Server:
    now = timezone.now()
    server = make_server(
        cast.owner, actual_state="running", desired_state="running", started_at=now - timedelta(hours=1)
    )
    # It answers during the whole test, however long that takes.
    make_snapshot(server, now, now + timedelta(hours=1), map="c1m4_atrium", players=2)
    share(server, cast.viewer)
    share(server, cast.operator, "operator")
    return server


def page(client, user, server, status: int = 200) -> str:
    client.force_login(user)
    response = client.get(reverse("rotation:of_server", args=[server.pk]))
    assert response.status_code == status
    return response.content.decode()


def post(client, user, name: str, pk: int, **values: str):
    client.force_login(user)
    return client.post(reverse(f"rotation:{name}", args=[pk]), values, follow=True)


def entries(of) -> list[str]:
    return [entry.code for entry in Rotation.objects.get(**Rotation.place(of)).listed]


def test_the_tab_shows_what_comes_next_to_everybody_and_buttons_to_those_who_may(cast, client, server):
    actions.set_rotation(of=server, by=cast.owner, codes=CAMPAIGNS)
    text = page(client, cast.viewer, server)
    assert "Dark Carnival" in text and "Change now" not in text and "Add to the queue" not in text
    text = page(client, cast.operator, server)
    assert "Change now" in text and "Add to the queue" in text and "Change the rotation" not in text
    assert "Change the rotation" in page(client, cast.owner, server)
    page(client, cast.stranger, server, 404)


def test_an_announced_change_is_shown_with_a_button_that_cancels_it(cast, client, server):
    actions.set_rotation(of=server, by=cast.owner, codes=CAMPAIGNS)
    due = timezone.now() + timedelta(seconds=15)
    MapState.objects.create(
        server=server, map="c1m4_atrium", due_at=due, announced_at=timezone.now(), reason="finished"
    )
    assert "Next: Dark Carnival in" in page(client, cast.viewer, server)
    assert "The change was cancelled." in post(client, cast.operator, "next", server.pk).content.decode()
    assert MapState.objects.get().due_at is None
    assert "No change of the map is announced." in post(client, cast.operator, "next", server.pk).content.decode()


def test_an_operator_changes_the_queue_and_the_map(cast, client, server):
    post(client, cast.operator, "queue", server.pk, entry="campaign:c5m1_waterfront")
    post(client, cast.operator, "queue", server.pk, entry="map:c8m5_rooftop")
    assert "Rooftop Finale" in page(client, cast.viewer, server)
    post(client, cast.operator, "queue", server.pk, take="1,map:c8m5_rooftop")
    assert [entry.code for entry in MapState.objects.get().queued] == ["campaign:c5m1_waterfront"]
    stale = post(client, cast.operator, "queue", server.pk, take="0,map:c8m5_rooftop")
    assert "The list has changed in the meantime." in stale.content.decode()
    post(client, cast.operator, "next", server.pk, operation="now")
    assert Order.objects.get().value == "c5m1_waterfront"
    assert MapState.objects.get().queue == []
    assert AuditEntry.objects.filter(action="server.map_queue").count() == 3


def test_the_owner_arranges_the_rotation_of_a_blueprint(cast, client, server):
    blueprint = server.blueprint

    def change(**values: str):
        return post(client, cast.owner, "rotation_of_blueprint", blueprint.pk, **values)

    for code in (*CAMPAIGNS, "map:c3m1_plankcountry"):
        change(entry=code)
    change(up="2,map:c3m1_plankcountry")
    assert entries(blueprint) == [CAMPAIGNS[0], "map:c3m1_plankcountry", CAMPAIGNS[1]]
    change(down="0,campaign:c1m1_hotel")
    change(take="2,campaign:c2m1_highway")
    assert entries(blueprint) == ["map:c3m1_plankcountry", CAMPAIGNS[0]]
    change(operation="all")
    assert len(entries(blueprint)) == 15
    assert "neither in the game" in change(entry="campaign:nothing").content.decode()
    change(operation="save", is_on="on", sequence="shuffled", wait_seconds="30", survival_rounds="3")
    row = Rotation.objects.get()
    assert (row.sequence, row.repeats, row.wait_seconds, row.survival_rounds) == ("shuffled", False, 30, 3)
    assert "From the blueprint" in page(client, cast.viewer, server)
    change(operation="remove")
    assert not Rotation.objects.exists()


def test_settings_out_of_bounds_are_refused_at_their_field(cast, client, server):
    values = {"sequence": "listed", "wait_seconds": "1", "survival_rounds": "2"}
    response = post(client, cast.owner, "rotation_of_server", server.pk, operation="save", **values)
    assert response.status_code == 422
    assert not Rotation.objects.exists()


def test_the_first_change_of_a_server_copies_the_rotation_of_its_blueprint(cast, client, server):
    actions.set_rotation(of=server.blueprint, by=cast.owner, codes=CAMPAIGNS, wait_seconds=60)
    post(client, cast.owner, "rotation_of_server", server.pk, take="0,campaign:c1m1_hotel")
    assert entries(server) == CAMPAIGNS[1:]
    assert Rotation.objects.get(server=server).wait_seconds == 60
    assert entries(server.blueprint) == CAMPAIGNS
    post(client, cast.owner, "rotation_of_server", server.pk, operation="remove")
    assert not Rotation.objects.filter(server=server).exists()


def test_a_campaign_that_was_added_since_the_start_says_so_and_offers_a_restart(cast, client, server):
    make_run(server, server.started_at)
    overlay = make_overlay(is_inspected=True)
    BlueprintOverlay.objects.create(blueprint=server.blueprint, overlay=overlay, position=0)
    maps = [{"map": "yama_1", "title": "", "campaign": "Yama", "modes": []}]
    OverlayAddon.objects.create(overlay=overlay, path="yama.vpk", size=1, modified_us=1, chapters=maps)
    actions.set_queue(server=server, codes=["campaign:yama_1"], by=cast.owner)
    text = page(client, cast.operator, server)
    assert "Some campaigns need a restart" in text and "Restart when empty" in text
    assert "Restart when empty" not in page(client, cast.viewer, server)


def test_the_tab_shows_votes(cast, client, server):
    details = ["#L4D_vote_change_difficulty", "#L4D_DifficultyHard", "255", "Zoey", ""]
    GameEvent.objects.create(server=server, key="a", name="vote_started", details=details, at=timezone.now())
    details = ["#L4D_vote_passed_change_difficulty", "#L4D_DifficultyHard", "255", "3", "1", "4"]
    GameEvent.objects.create(server=server, key="b", name="vote_passed", details=details, at=timezone.now())
    text = page(client, cast.viewer, server)
    assert "Change the difficulty" in text and "Zoey" in text and "3 yes, 1 no" in text


def api(client, user, method: str, path: str, given: object = None):
    client.force_login(user)
    return getattr(client, method)(f"/api/v1{path}", given, content_type="application/json")


def test_programs_read_and_change_all_of_it(cast, client, server):
    path, of_blueprint = f"/servers/{server.pk}", f"/blueprints/{server.blueprint_id}/rotation"
    changed = api(client, cast.owner, "patch", of_blueprint, {"entries": CAMPAIGNS, "sequence": "listed"}).json()
    assert [entry["title"] for entry in changed["entries"]] == ["Dead Center", "Dark Carnival"]
    assert api(client, cast.owner, "get", of_blueprint).json() == changed
    found = api(client, cast.viewer, "get", f"{path}/rotation").json()
    assert (found["source"], found["next"]["map"], found["next_from"]) == ("blueprint", "c2m1_highway", "rotation")
    queued = api(client, cast.operator, "put", f"{path}/map-queue", {"entries": ["map:c8m5_rooftop"]}).json()
    assert (queued["next"]["code"], queued["next_from"]) == ("map:c8m5_rooftop", "queue")
    own = api(client, cast.owner, "patch", f"{path}/rotation", {"repeats": False}).json()
    assert (own["source"], own["rotation"]["repeats"]) == ("server", False)
    assert api(client, cast.operator, "post", f"{path}/next-map", {"operation": "cancel"}).status_code == 409
    assert api(client, cast.operator, "post", f"{path}/next-map", {"operation": "now"}).status_code == 200
    assert Order.objects.get().value == "c8m5_rooftop"
    assert api(client, cast.owner, "delete", f"{path}/rotation").status_code == 204
    assert api(client, cast.owner, "delete", of_blueprint).status_code == 204
    assert api(client, cast.viewer, "get", f"{path}/rotation").json()["source"] == "none"
    assert api(client, cast.owner, "patch", of_blueprint, {"entries": ["campaign:nothing"]}).status_code == 422
    assert api(client, cast.viewer, "get", f"{path}/votes").json() == []
