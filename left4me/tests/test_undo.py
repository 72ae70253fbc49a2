"""Undo: what was just removed comes back as it was, once, for the person who removed it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from left4me.audit.models import AuditEntry
from left4me.jobs.models import Job
from left4me.schedules.models import Schedule
from left4me.schedules.tests.factories import make_schedule
from left4me.testing.buttons import cures, press
from left4me.testing.cast import Cast
from overlays.models import Overlay, OverlayCollection, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers.models import DeletedServer, Server, ServerShare
from servers.tests.factories import make_blueprint, make_server, share
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna(client: Client, cast: Cast, redis_client: object) -> Client:
    client.force_login(cast.owner)
    return client


@pytest.fixture
def workshop(cast: Cast) -> Overlay:
    """Three items, the second of a collection; added in this order, a day apart."""
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner, name="Campaigns")
    collection = OverlayCollection.objects.create(overlay=overlay, steam_id=900, title="Best of")
    for number in (1, 2, 3):
        item = WorkshopItem.objects.create(steam_id=number, title=f"Item {number}")
        link = OverlayWorkshopItem.objects.create(
            overlay=overlay, item=item, collection=collection if number == 2 else None
        )
        added_at = timezone.now() - timedelta(days=10 - number)
        OverlayWorkshopItem.objects.filter(pk=link.pk).update(added_at=added_at)
    return overlay


def links(overlay: Overlay) -> list[tuple[object, ...]]:
    return list(overlay.workshop_links.values_list("item__steam_id", "collection__steam_id", "added_at"))


def test_removed_workshop_items_come_back_in_their_order_and_collection(anna: Client, workshop: Overlay):
    before = links(workshop)
    removed = anna.post(f"/overlays/{workshop.pk}/items/remove", {"item": ["1", "2"]}, follow=True)
    assert [each[0] for each in links(workshop)] == [3]
    press(anna, removed, "Undo")
    assert links(workshop) == before
    assert AuditEntry.objects.filter(action="overlay.items_added").count() == 1


@pytest.mark.parametrize("keep", [{}, {"keep": "1"}])
def test_a_collection_is_followed_again_with_its_items(anna: Client, workshop: Overlay, keep: dict[str, str]):
    before, collection = links(workshop), workshop.collections.get()
    url = f"/overlays/{workshop.pk}/collections/{collection.pk}/unfollow"
    press(anna, anna.post(url, keep, follow=True), "Undo")
    assert links(workshop) == before
    assert workshop.collections.get().title == "Best of"


def test_an_undo_works_once_and_for_its_user_only(anna: Client, cast: Cast, workshop: Overlay):
    removed = anna.post(f"/overlays/{workshop.pk}/items/remove", {"item": ["1"]}, follow=True)
    url, operation = cures(removed)["Undo"]
    admin = Client()
    admin.force_login(cast.admin)
    assert "can&#x27;t be undone" in admin.post(url, {"operation": operation}, follow=True).content.decode()
    assert workshop.workshop_links.count() == 2
    press(anna, removed, "Undo")
    assert workshop.workshop_links.count() == 3
    assert "can&#x27;t be undone" in press(anna, removed, "Undo").content.decode()
    assert anna.get(url).status_code == 405


def test_an_overlay_that_was_taken_out_of_a_blueprint_comes_back_at_its_place(anna: Client, cast: Cast):
    layers = [make_overlay(owner=cast.owner) for _ in range(3)]
    blueprint = make_blueprint(cast.owner, overlays=layers, name="Friday", config="sv_alltalk 1")
    form = {"name": "Friday", "version": 1, "config": "sv_alltalk 0", "connect_ports": blueprint.connect_ports}
    saved = anna.post(f"/blueprints/{blueprint.pk}/edit", form | {"overlays": [layers[2].pk]}, follow=True)
    assert [each.pk for each in type(blueprint).objects.with_layers().get().layers] == [layers[2].pk]
    press(anna, saved, "Undo")
    now = type(blueprint).objects.with_layers().get()
    assert (now.layers, now.config) == (layers, "sv_alltalk 1")
    assert AuditEntry.objects.filter(action="blueprint.restore").exists()


def test_an_undo_never_overwrites_what_somebody_else_saved_since(anna: Client, cast: Cast):
    server = make_server(cast.owner, name="Friday")
    form = {"name": "Renamed", "version": 1, "blueprint": server.blueprint_id, "port": server.port, "tag_list": ""}
    saved = anna.post(f"/servers/{server.pk}/settings", form | {"host": server.host_id}, follow=True)
    Server.objects.update(version=7, name="Of somebody else")
    answer = press(anna, saved, "Undo")
    assert "Someone else edited this" in answer.content.decode()
    assert Server.objects.get().name == "Of somebody else"


def test_a_tag_that_was_removed_comes_back(anna: Client, cast: Cast):
    server = make_server(cast.owner, name="Friday")
    server.tag_list = ["public", "versus"]
    server.save()
    form = {
        "name": "Friday",
        "version": 1,
        "blueprint": server.blueprint_id,
        "port": server.port,
        "tag_list": "versus",
    }
    saved = anna.post(f"/servers/{server.pk}/settings", form | {"host": server.host_id}, follow=True)
    assert Server.objects.get().tag_list == ["versus"]
    press(anna, saved, "Undo")
    assert Server.objects.get().tag_list == ["public", "versus"]


def test_a_share_that_was_removed_comes_back_with_its_role(anna: Client, cast: Cast):
    shared = share(make_server(cast.owner), cast.operator, ServerShare.Role.OPERATOR)
    removed = anna.post(f"/servers/{shared.server_id}/shares/{shared.pk}/revoke", follow=True)
    assert not ServerShare.objects.exists()
    press(anna, removed, "Undo")
    again = ServerShare.objects.get()
    assert (again.user, again.role) == (cast.operator, "operator")


def test_a_deleted_schedule_comes_back_as_it_was(anna: Client, cast: Cast):
    schedule = make_schedule(
        cast.owner, after=timezone.now(), name="nightly", warn_minutes=[10, 5], condition="wait_run", is_enabled=False
    )
    before = Schedule.objects.values("name", "cron", "warn_minutes", "condition", "is_enabled", "owner").get()
    press(anna, anna.post(f"/schedules/{schedule.pk}/delete", follow=True), "Undo")
    assert Schedule.objects.values(*before).get() == before


def test_a_server_whose_deletion_waits_stays(anna: Client, cast: Cast):
    server = make_server(cast.owner, name="Friday", desired_state="running")
    press(anna, anna.post(f"/servers/{server.pk}/delete", follow=True), "Undo")
    assert Job.objects.get().state == "cancelled"
    assert Server.objects.get().desired_state == "running"


def test_a_server_that_is_being_deleted_comes_back_when_it_is_gone(anna: Client, cast: Cast):
    server = make_server(cast.owner, name="Friday")
    deleted = anna.post(f"/servers/{server.pk}/delete", follow=True)
    Job.objects.update(state="running", lease_expires_at=timezone.now(), worker="one", attempt=1)
    refused = press(anna, deleted, "Undo")
    assert "Undo this again in a moment" in refused.content.decode()
    DeletedServer.remember(server, now=timezone.now())
    server.delete()
    Job.objects.update(state="succeeded", lease_expires_at=None, worker="", finished_at=timezone.now())
    press(anna, refused, "Undo")
    assert Server.objects.get().name == "Friday"


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_undo_is_a_toast_that_waits_while_it_is_used_and_a_message_without_scripts(
    cast: Cast, workshop: Overlay, sign_in, axe, browser, live_server
):
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto(f"/overlays/{workshop.pk}/items")
    page.get_by_label("Select Item 1").check()
    page.get_by_role("button", name="Remove selected").click()
    toast = page.locator("#toasts").get_by_role("status")
    expect(toast).to_contain_text("1 item removed.")
    expect(page.locator("#messages")).to_be_hidden()
    axe(page)
    undo = toast.get_by_role("button", name="Undo")
    undo.focus()
    page.clock.run_for(60_000)
    expect(undo).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Select Item 1")).to_be_visible()
    assert workshop.workshop_links.count() == 3

    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(page.context.cookies())
    page = plain.new_page()
    page.goto(f"/overlays/{workshop.pk}/items")
    page.get_by_label("Select Item 2").check()
    page.get_by_role("button", name="Remove selected").click()
    message = page.locator("#messages")
    expect(message).to_contain_text("1 item removed.")
    message.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Select Item 2")).to_be_visible()
    plain.close()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_toast_goes_by_itself_after_its_time(cast: Cast, workshop: Overlay, sign_in):
    page = sign_in(cast.owner)
    page.clock.install()
    page.goto(f"/overlays/{workshop.pk}/items")
    page.get_by_label("Select Item 1").check()
    page.get_by_role("button", name="Remove selected").click()
    toast = page.locator("#toasts").get_by_role("status")
    expect(toast).to_be_visible()
    page.mouse.move(5, 5)
    page.clock.run_for(8_000)
    expect(toast).to_be_visible()
    page.clock.run_for(13_000)
    expect(toast).to_have_count(0)
