"""Larger forms keep what was typed: when the page is left by accident, and when the session ends before it is sent."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Session
from left4me.testing.cast import Cast
from overlays.models import Overlay, OverlayScript
from overlays.tests.factories import make_overlay
from servers.tests.factories import make_blueprint, make_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# The address, the field that is filled, and the button that sends the form.
FORMS = [
    ("/servers/new", "Name", "Create and start"),
    ("/servers/{server}/settings", "Name", "Save"),
    ("/blueprints/new", "Description", "Save"),
    ("/blueprints/{blueprint}/edit", "Description", "Save"),
    ("/schedules/new", "Name", "Create schedule"),
    ("/overlays/new", "Name", "Create overlay"),
    ("/overlays/{overlay}/edit", "Name", "Save"),
    ("/overlays/{overlay}/files/edit?path=motd.txt&new=1", "Text", "Save"),
    ("/overlays/{script}/script", "Script", "Save"),
]


@pytest.fixture
def address(cast: Cast):
    """`address("/servers/{server}/settings")` with the ids of rows of the admin."""
    blueprint = make_blueprint(cast.admin)
    script = make_overlay(kind=Overlay.Kind.SCRIPT)
    OverlayScript.objects.create(overlay=script)
    rows = {
        "blueprint": blueprint.pk,
        "server": make_server(cast.admin, blueprint=blueprint).pk,
        "overlay": make_overlay(owner=cast.admin).pk,
        "script": script.pk,
    }
    return lambda pattern: pattern.format(**rows)


def field(page: Page, label: str):
    return page.locator("main form.form").first.get_by_label(label, exact=False).first


@pytest.mark.parametrize(("pattern", "label", "button"), FORMS)
def test_a_form_keeps_what_was_typed(cast: Cast, sign_in, address, pattern: str, label: str, button: str):
    page = sign_in(cast.admin)
    page.goto(address(pattern))
    field(page, label).fill("half typed")
    # Left by accident.
    page.goto("/jobs")
    page.go_back()
    expect(field(page, label)).to_have_value("half typed")
    # The session ends, and the form is sent.
    Session.objects.all().delete()
    page.locator("main form.form").first.get_by_role("button", name=button, exact=True).last.click()
    page.wait_for_url("**/accounts/login/**")
    back = parse_qs(urlsplit(page.url).query)["next"][0]
    sign_in(cast.admin)
    page.goto(back)
    expect(field(page, label)).to_have_value("half typed")
    expect(page.get_by_text("What you typed here before is restored.")).to_be_visible()
