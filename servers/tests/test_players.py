"""The page that a server's players are given."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from overlays.models import Overlay, OverlayAddon, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers.models import PlayersLink
from servers.tests.factories import make_blueprint, make_host, make_server
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(cast):
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner, name="secret plans")
    for steam_id, version in ((11, 5), (12, None)):
        item = WorkshopItem.objects.create(steam_id=steam_id, title=f"Item {steam_id}", file_size=1000)
        OverlayWorkshopItem.objects.create(overlay=overlay, item=item, linked_version=version)
    blueprint = make_blueprint(cast.owner, overlays=[overlay, make_overlay()])
    return make_server(cast.owner, blueprint=blueprint, host=make_host(address="play.example"))


def test_players_read_what_to_subscribe_to_without_an_account(server):
    link = PlayersLink.objects.create(server=server)
    answer = Client().get(link.get_absolute_url())
    text = answer.content.decode()
    assert "Item 11" in text
    assert "steam://url/CommunityFilePage/11" in text
    assert f"steam://connect/play.example:{server.port}" in text
    assert "Item 12" not in text, "nothing serves it"
    assert "secret plans" not in text
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer["X-Robots-Tag"]


def test_a_guessed_address_leads_nowhere(server):
    assert Client().get(reverse("servers:join", args=["guessed"])).status_code == 404


def test_the_owner_makes_renews_and_takes_back_the_page(client, cast, server):
    client.force_login(cast.owner)
    url = reverse("servers:players_link", args=[server.pk])
    assert "No link yet" in client.get(url).content.decode()
    assert "Link created." in client.post(url, follow=True).content.decode(), "no older link ends"
    first = PlayersLink.objects.get()
    assert first.token in client.get(url).content.decode()
    assert "Link reset. The old one no longer works." in client.post(url, follow=True).content.decode()
    assert PlayersLink.objects.get().token != first.token
    assert Client().get(first.get_absolute_url()).status_code == 404
    client.post(url, {"remove": "1"})
    assert not PlayersLink.objects.exists()


def test_players_are_told_of_uploaded_campaigns_and_where_to_get_them(server):
    [overlay] = [layer for layer in server.blueprint.layers if layer.kind == Overlay.Kind.FILES]
    maps = [{"map": "city_1", "title": "Streets", "campaign": "City 17", "modes": ["coop"]}]
    campaigns = [{"name": "City17", "title": "City 17", "modes": {}}]
    found = {"overlay": overlay, "is_valid": True, "campaigns": campaigns}
    OverlayAddon.objects.create(path="left4dead2/addons/a.vpk", chapters=maps, link="https://get.example/1", **found)
    OverlayAddon.objects.create(path="left4dead2/addons/b.vpk", chapters=maps, **found)
    OverlayAddon.objects.create(path="left4dead2/addons/plugin.vpk", overlay=overlay, is_valid=True)
    stock = [{"map": "c1m1_hotel", "title": "x", "campaign": "x", "modes": []}]
    OverlayAddon.objects.create(path="left4dead2/addons/mode.vpk", overlay=overlay, is_valid=True, chapters=stock)
    text = Client().get(PlayersLink.objects.create(server=server).get_absolute_url()).content.decode()
    assert 'href="https://get.example/1"' in text
    assert "City 17" in text
    assert text.count("Ask the owner of the server for this file.") == 1
    assert "plugin.vpk" not in text
    assert "mode.vpk" not in text


def preview(server) -> dict[str, str]:
    """What a chat program reads of the link."""
    page = Client().get(PlayersLink.objects.get_or_create(server=server)[0].get_absolute_url()).content.decode()
    return dict(re.findall(r'<meta property="og:(\w+)" content="([^"]*)">', page))


def test_a_link_preview_shows_the_campaign_that_the_server_starts_with(server):
    server.blueprint.arguments = "+map c2m1_highway versus"
    server.blueprint.save()
    shown = preview(server)
    assert shown["title"] == server.name
    assert shown["description"] == f"Dark Carnival: The Highway · connect play.example:{server.port}"
    assert re.fullmatch(r"http://testserver/static/left4me/campaigns/c2(\.\w+)?\.png", shown["image"])


def test_a_link_preview_of_a_workshop_campaign_shows_its_picture(server):
    url = "https://images.steamusercontent.com/ugc/1/"
    chapters = [{"map": "dbd_1", "title": "Begin", "campaign": "Dead Before Dawn", "modes": ["coop"]}]
    WorkshopItem.objects.filter(steam_id=11).update(preview_url=url, chapters=chapters, is_valid=True)
    server.blueprint.arguments = "+map dbd_1"
    server.blueprint.save()
    assert preview(server)["image"] == url


def test_a_link_preview_of_an_unknown_map_shows_a_card_too(server):
    assert "campaigns/other" in preview(server)["image"]
