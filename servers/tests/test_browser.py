"""The stack of a blueprint in a real browser: by keyboard, by pointer, by buttons."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from overlays.tests.factories import make_overlay
from servers.models import Blueprint, Server
from servers.tests.factories import make_blueprint, make_host, make_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def editing(cast, sign_in):
    layers = [make_overlay(name=name) for name in ("first", "second", "third")]
    blueprint = make_blueprint(cast.owner, name="b", overlays=layers)
    page = sign_in(cast.owner)
    page.goto(f"/blueprints/{blueprint.pk}/edit")
    return page


def saved(page) -> list[str]:
    page.get_by_role("button", name="Save").last.click()
    page.wait_for_url(re.compile(r"/blueprints/\d+$"))
    return [layer.name for layer in Blueprint.objects.with_layers().get().layers]


def test_the_stack_is_ordered_by_keyboard(editing):
    editing.get_by_role("button", name="Move first", exact=True).press("ArrowDown")
    editing.get_by_role("button", name="Move third", exact=True).press("ArrowUp")
    assert saved(editing) == ["second", "third", "first"]


def test_the_stack_is_ordered_by_dragging(editing):
    grip = editing.get_by_role("button", name="Move third", exact=True).bounding_box()
    target = editing.get_by_role("button", name="Move first", exact=True).bounding_box()
    editing.mouse.move(grip["x"] + 5, grip["y"] + 5)
    editing.mouse.down()
    editing.mouse.move(target["x"] + 5, target["y"] + 20, steps=10)
    editing.mouse.move(target["x"] + 5, target["y"] - 2, steps=5)
    editing.mouse.up()
    assert saved(editing)[0] == "third"


def test_buttons_move_and_take_out_and_keep_what_was_typed(editing):
    editing.get_by_label("Name").fill("typed")
    editing.get_by_role("button", name="second up").click()
    editing.get_by_role("button", name="Remove third").click()
    assert editing.get_by_label("Name").input_value() == "typed"
    assert saved(editing) == ["second", "first"]
    assert Blueprint.objects.get().name == "typed"


def test_enter_in_a_field_saves_and_moves_nothing(editing):
    editing.get_by_label("Name").press("Enter")
    editing.wait_for_url(re.compile(r"/blueprints/\d+$"))
    assert [layer.name for layer in Blueprint.objects.with_layers().get().layers] == ["first", "second", "third"]


def test_the_tab_carries_the_state_of_the_server(cast, sign_in):
    host = make_host(last_seen_at=timezone.now())
    server = make_server(cast.owner, host=host, name="Friday night", desired_state="running", actual_state="running")
    page = sign_in(cast.owner)
    page.goto(server.get_absolute_url())
    expect(page).to_have_title("● Friday night · left4me")
    Server.objects.update(actual_state="gave_up")
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page).to_have_title("⚠ Friday night · left4me")
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("favicon-bad"))
