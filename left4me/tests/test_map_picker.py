"""The choice of a map by campaign: with pictures, search and arrow keys, and as a plain list without scripts."""

from __future__ import annotations

import pytest
from django.test import Client
from playwright.sync_api import expect

from left4me.schedules.models import Schedule
from left4me.testing.cast import Cast
from livestate.models import Order
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers.models import Blueprint, Server
from servers.tests.factories import make_blueprint, make_host, make_server
from workshop.models import WorkshopItem


@pytest.fixture
def layer(cast: Cast) -> Overlay:
    """An overlay with the campaign City of two maps."""
    named = {"campaign": "City", "modes": ["coop"]}
    chapters = [{"map": f"city_{number}", "title": f"Street {number}", **named} for number in (1, 2)]
    preview_url = "https://images.steamusercontent.com/city.jpg"
    item = WorkshopItem.objects.create(
        steam_id=7, title="City", is_valid=True, chapters=chapters, preview_url=preview_url
    )
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner)
    OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    return overlay


@pytest.fixture
def server(cast: Cast, layer: Overlay) -> Server:
    blueprint = make_blueprint(cast.owner, overlays=[layer], name="With City")
    return make_server(cast.owner, name="Friday", blueprint=blueprint, actual_state="running", desired_state="running")


def options(response: object) -> list[str]:
    page = response.content.decode()  # type: ignore[attr-defined]
    select = page[page.index("data-maps") :]
    return [part.split('"')[0] for part in select[: select.index("</select>")].split('<option value="')[1:]]


@pytest.mark.django_db
def test_only_maps_that_the_overlays_contain_are_offered_beside_those_of_the_game(
    client: Client, cast: Cast, server: Server, redis_client: object
):
    client.force_login(cast.owner)
    offered = options(client.get(f"/servers/{server.pk}/console"))
    assert offered[:3] == ["city_1", "city_2", "c1m1_hotel"]
    other = make_server(cast.owner, actual_state="running")
    assert options(client.get(f"/servers/{other.pk}/console"))[0] == "c1m1_hotel"


@pytest.mark.django_db
def test_a_new_server_refuses_a_map_that_its_base_does_not_contain(client: Client, cast: Cast, server: Server):
    client.force_login(cast.owner)
    plain = make_blueprint(cast.owner, name="Plain")
    form = {"name": "New", "base": f"blueprint-{plain.pk}", "host": make_host().pk, "start_map": "city_1"}
    refused = client.post("/servers/new", form)
    assert "“Plain” does not contain this map." in refused.content.decode()
    made = client.post("/servers/new", {**form, "base": f"blueprint-{server.blueprint_id}", "create_only": "yes"})
    assert made.status_code == 302
    assert "+map city_1" in Server.objects.get(name="New").blueprint.arguments


@pytest.mark.django_db
def test_a_schedule_keeps_the_map_that_was_chosen_and_needs_one(client: Client, cast: Cast, server: Server):
    client.force_login(cast.owner)
    form = {"name": "evening", "target": "all", "action": "map", "repeat": "daily", "at": "20:00", "time_zone": "UTC"}
    form |= {"condition": "always", "wait_minutes": 60, "warn_minutes": ""}
    assert "Choose a map." in client.post("/schedules/new", form).content.decode()
    client.post("/schedules/new", {**form, "map": "city_2"})
    schedule = Schedule.objects.get()
    assert schedule.argument == "city_2"
    # A map that an overlay no longer has stays chosen until another one is.
    Schedule.objects.update(argument="gone_1")
    shown = client.get(f"/schedules/{schedule.pk}/edit")
    assert '<option value="gone_1" selected>' in shown.content.decode()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_map_is_found_and_chosen_by_keyboard_alone(cast: Cast, server: Server, sign_in, axe):
    page = sign_in(cast.owner)
    page.route(
        "https://images.steamusercontent.com/**", lambda route: route.fulfill(body="", content_type="image/png")
    )
    page.goto(f"/servers/{server.pk}/console")
    page.get_by_text("Map, difficulty, mode, message").click()
    button = page.get_by_role("button", name="Map City: Street 1")
    expect(button.locator("img")).to_have_attribute("src", "https://images.steamusercontent.com/city.jpg")
    button.press("Enter")
    dialog = page.get_by_role("dialog", name="Choose a map")
    expect(dialog.get_by_role("heading", name="City")).to_be_visible()
    expect(dialog.locator("img").nth(1)).to_have_attribute("src", "/static/left4me/campaigns/c1.svg")
    axe(page)
    page.keyboard.type("carnival")
    expect(dialog.get_by_role("button", name="Dark Carnival")).to_have_count(5)
    expect(dialog.get_by_role("heading", name="City")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(dialog.get_by_role("button", name="Dark Carnival: The Fairgrounds")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Map Dark Carnival: The Fairgrounds")).to_be_focused()
    page.get_by_role("button", name="Change map", exact=True).click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".order")).to_be_visible()
    assert (Order.objects.get().kind, Order.objects.get().value) == ("map", "c2m2_fairgrounds")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_without_scripts_the_start_map_of_a_blueprint_is_a_plain_list(cast, server, sign_in, browser, live_server):
    sign_in(cast.owner)
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(sign_in(cast.owner).context.cookies())
    page = plain.new_page()
    page.goto(f"/blueprints/{server.blueprint_id}/edit")
    page.get_by_label("Start map").select_option("city_2")
    page.get_by_role("button", name="Set as +map").click()
    page.get_by_role("button", name="Save").last.click()
    page.wait_for_url(f"**/blueprints/{server.blueprint_id}")
    assert "+map city_2" in Blueprint.objects.get().arguments
    plain.close()
