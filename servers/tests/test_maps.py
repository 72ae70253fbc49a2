"""The maps of a blueprint: those of its layers in their order, then those of the game; and the start map."""

from __future__ import annotations

import pytest
from django.contrib.staticfiles.finders import find
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from overlays.models import Overlay, OverlayAddon, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers.blueprints import maps
from servers.tests.factories import make_blueprint, make_server
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db


def chapter(name: str, campaign: str = "", title: str = "") -> dict[str, object]:
    return {"map": name, "title": title or name, "campaign": campaign, "modes": ["coop"] if campaign else []}


@pytest.fixture
def layers(cast) -> list[Overlay]:
    """A files overlay above a workshop overlay above a script overlay, all inspected."""
    files = make_overlay(owner=cast.owner, is_inspected=True)
    workshop = make_overlay(kind=Overlay.Kind.WORKSHOP, is_inspected=True)
    script = make_overlay(kind=Overlay.Kind.SCRIPT, is_inspected=True)
    OverlayAddon.objects.create(overlay=files, path="a.vpk", is_valid=True, chapters=[chapter("both", "", "")])
    OverlayAddon.objects.create(overlay=files, path="b.vpk", is_valid=True, chapters=[chapter("up_1", "Upload", "Up")])
    OverlayAddon.objects.create(overlay=files, path="c.vpk", is_valid=False, chapters=[chapter("broken_1", "Broken")])
    item = WorkshopItem.objects.create(
        steam_id=1, title="Item", is_valid=True, chapters=[chapter("item_1", "Item"), chapter("up_1", "Other")]
    )
    OverlayWorkshopItem.objects.create(overlay=workshop, item=item)
    OverlayAddon.objects.create(
        overlay=script, path="d.vpk", is_valid=True, chapters=[chapter("s_1", "Script"), chapter("both", "Named", "B")]
    )
    return [files, workshop, script]


def test_maps_of_every_layer_come_in_the_order_of_the_blueprint_and_before_the_game(cast, layers):
    blueprint = make_blueprint(cast.owner, overlays=layers)
    found = maps.playable(blueprint.pk)
    assert list(found)[:5] == ["both", "up_1", "item_1", "s_1", "c1m1_hotel"]
    assert (found["up_1"].campaign, found["both"].campaign) == ("Upload", "Named")
    assert maps.of_layers(list(reversed(layers)))["up_1"].campaign == "Other"
    assert "broken_1" not in found


def test_a_mod_that_describes_stock_maps_again_does_not_rename_them(cast):
    overlay = make_overlay(owner=cast.owner)
    OverlayAddon.objects.create(
        overlay=overlay, path="a.vpk", is_valid=True, chapters=[chapter("c2m1_highway", "Hard Mode", "c2m1_highway")]
    )
    assert maps.of_layers([overlay])["c2m1_highway"].campaign == "Dark Carnival"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("+map c2m1_highway", ""),
        ("-tickrate 60\n+MAP Up_1", ""),
        ('+map "item_1 versus"', ""),
        ("+map itme_1", "Did you mean item_1?"),
        ("+map nowhere", "Add an overlay with this map."),
        ("+sv_gametypes map", ""),
    ],
)
def test_a_start_map_that_no_layer_has_is_a_warning(layers, arguments, message):
    findings = maps.check_start_map(arguments, layers)
    assert len(findings) == bool(message)
    assert all(message in str(finding) and finding.line == 1 for finding in findings)


def test_nothing_is_said_about_a_start_map_while_a_layer_was_not_inspected(layers):
    Overlay.objects.filter(pk=layers[2].pk).update(is_inspected=False)
    layers[2].refresh_from_db()
    assert maps.check_start_map("+map nowhere", layers) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("-tickrate 60", "+map up_1\n-tickrate 60"),
        ('-tickrate 60\n+map "c1m1_hotel versus"', '-tickrate 60\n+map "up_1 versus"'),
        ("+MAP c1m1_hotel +maxplayers 8", "+MAP up_1 +maxplayers 8"),
    ],
)
def test_the_start_map_is_chosen_on_the_form_without_saving(client, cast, layers, before, after):
    blueprint = make_blueprint(cast.owner, overlays=layers, arguments=before)
    client.force_login(cast.owner)
    url = reverse("servers:blueprint_edit", args=[blueprint.pk])
    fields = {"name": "x", "arguments": before, "overlays": [layer.pk for layer in layers]}
    answer = client.post(url, {**fields, "rearrange": "start_map", "start_map": "up_1"})
    assert answer.context["form"]["arguments"].value() == after
    assert '<option value="up_1" selected>' in answer.content.decode()
    blueprint.refresh_from_db()
    assert blueprint.arguments == before


def test_the_list_of_blueprints_checks_start_maps_in_a_constant_number_of_queries(
    client, cast, layers, django_assert_num_queries
):
    for number in range(5):
        make_blueprint(cast.owner, overlays=layers, arguments=f"+map nowhere_{number}")
    client.force_login(cast.owner)
    with CaptureQueriesContext(connection) as few:
        found = client.get("/api/v1/blueprints?limit=2").json()["items"]
    assert ["Neither the game" in row["warnings"][0]["message"] for row in found] == [True, True]
    with django_assert_num_queries(len(few)):
        client.get("/api/v1/blueprints")


def test_every_campaign_of_the_game_has_a_drawing_and_a_card():
    drawings = {chapter.drawing for chapter in maps.stock().values()}
    assert len(drawings) == 14
    for drawing in drawings:
        svg = find(drawing)
        assert svg is not None, drawing
        assert find(drawing.replace(".svg", ".png")) is not None, "run bin/campaign-cards"


def test_cards_of_servers_show_the_campaign_they_start_with(client, cast):
    blueprint = make_blueprint(cast.owner, arguments="+map c8m1_apartment")
    make_server(cast.owner, blueprint=blueprint)
    make_server(cast.owner, blueprint=make_blueprint(cast.owner, arguments="+map of_a_mod"))
    client.force_login(cast.owner)
    page = client.get(reverse("dashboard")).content.decode()
    assert page.count('class="art"') == 1
    assert "left4me/campaigns/c8" in page
