"""Saved filters of lists: saved under a name, shown above the list, renamed, deleted, and one that opens the list."""

from __future__ import annotations

import pytest
from django.test import Client
from playwright.sync_api import expect

from accounts.models import SavedFilter
from left4me.audit.models import AuditEntry
from left4me.testing.buttons import press
from left4me.testing.cast import Cast
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna(client: Client, cast: Cast, redis_client: object) -> Client:
    client.force_login(cast.owner)
    make_server(cast.owner, name="Friday versus", actual_state="running")
    make_server(cast.owner, name="Quiet", actual_state="stopped")
    return client


def save(client: Client, name: str = "Running", query: str = "page=3&state=running&q=", **fields: str):
    return client.post("/filters", {"place": "servers", "name": name, "query": query, **fields}, follow=True)


def test_a_filter_keeps_what_was_chosen_and_leads_back_to_it(anna: Client, cast: Cast):
    shown = save(anna)
    kept = SavedFilter.objects.get()
    assert (kept.user, kept.query) == (cast.owner, "state=running")
    page = shown.content.decode()
    assert '<a class="chip" href="?state=running" aria-current="true">' in page
    assert "Friday versus" in page and "Quiet" not in page
    assert AuditEntry.objects.filter(action="filter.save").exists()
    other = Client()
    other.force_login(cast.stranger)
    assert "Running" not in other.get("/servers?all=1").content.decode()
    assert other.post(f"/filters/{kept.pk}", {"operation": "delete"}).status_code == 404


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"query": "page=2"}, "Choose what to filter by first."),
        ({"place": "nowhere"}, "There is no such list."),
        ({"name": "running"}, "You already have a filter with this name."),
        ({"name": " "}, "Enter a name for the filter."),
        ({"name": ' "'}, "without quotation marks"),
    ],
)
def test_a_filter_that_cannot_be_saved_says_why(anna: Client, fields: dict[str, str], why: str):
    save(anna)
    assert why in save(anna, **{"name": "Other", **fields}).content.decode()
    assert SavedFilter.objects.count() == 1


def test_the_default_filter_opens_the_list_and_all_servers_stay_reachable(anna: Client):
    save(anna)
    save(anna, name="Stopped", query="state=stopped")
    running, stopped = SavedFilter.objects.order_by("pk")
    for row in (running, stopped):
        anna.post(f"/filters/{row.pk}", {"name": row.name, "operation": "default"})
    assert list(SavedFilter.objects.filter(is_default=True)) == [stopped]
    assert anna.get("/servers")["Location"] == "/servers?state=stopped"
    assert "Friday versus" in anna.get("/servers?all=1").content.decode()
    # What the form's script fetches when nothing is chosen any more is not the default.
    assert anna.get("/servers", headers={"Sec-Fetch-Mode": "cors"}).status_code == 200
    anna.post(f"/filters/{stopped.pk}", {"name": "Stopped", "operation": "ordinary"})
    assert anna.get("/servers").status_code == 200


def test_a_filter_is_renamed_and_deleted_and_comes_back(anna: Client):
    save(anna)
    row = SavedFilter.objects.get()
    anna.post(f"/filters/{row.pk}", {"name": "On", "operation": "rename"})
    deleted = anna.post(f"/filters/{row.pk}", {"name": "On", "operation": "delete"}, follow=True)
    assert not SavedFilter.objects.exists()
    press(anna, deleted, "Undo")
    assert SavedFilter.objects.values_list("name", "query").get() == ("On", "state=running")


def test_jobs_have_saved_filters_too(anna: Client):
    shown = save(anna, place="jobs", query="state=failed&whose=mine", name="My failures")
    assert shown.redirect_chain[-1][0] == "/jobs?whose=mine&state=failed"
    assert "My failures" in shown.content.decode()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_filter_is_saved_while_it_is_chosen(cast: Cast, sign_in, axe):
    make_server(cast.owner, name="Friday versus", actual_state="running")
    page = sign_in(cast.owner)
    page.goto("/servers")
    page.get_by_label("State").select_option("running")
    page.get_by_text("Save this filter").click()
    page.get_by_label("Name of the filter").fill("Running now")
    axe(page)
    page.get_by_role("button", name="Save filter").click()
    chip = page.get_by_role("navigation", name="Saved filters").get_by_role("link", name="Running now")
    expect(chip).to_have_attribute("aria-current", "true")
    page.get_by_text("Edit filter").click()
    page.get_by_role("button", name="Open the list with it").click()
    expect(page.get_by_role("link", name="Default Running now")).to_be_visible()
    page.goto("/servers")
    page.wait_for_url("**/servers?state=running")
    expect(page.get_by_role("link", name="Default Running now")).to_be_visible()
