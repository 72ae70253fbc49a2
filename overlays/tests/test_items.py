"""Adding, removing and refreshing workshop items, at the page and at the API."""

from __future__ import annotations

import html
import re

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from left4me.jobs.models import Job
from left4me.testing.simulated_steam import Fault
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from overlays.workshop_items import membership
from workshop import metadata
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def overlay(cast, left4me_root):
    return make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner)


@pytest.fixture
def paste(client, cast, overlay):
    """Post to the item page as the overlay's owner."""
    client.force_login(cast.owner)

    def post(text="", *, confirm=True, **more):
        data = {"input": text, **({"confirm": "1"} if confirm else {}), **more}
        return client.post(reverse("overlays:items", args=[overlay.pk]), data)

    return post


@pytest.fixture
def api(client, cast):
    client.force_login(cast.owner)

    def call(method, path, body=None):
        return client.generic(method, f"/api/v1{path}", body and __import__("json").dumps(body), "application/json")

    return call


def held(overlay):
    return sorted(overlay.workshop_links.values_list("item__steam_id", flat=True))


def test_items_looked_up_at_the_same_time_share_one_limit(overlay, steam_world, cast, monkeypatch):
    for steam_id in (11, 12, 13):
        steam_world.add(steam_id)
    monkeypatch.setattr(membership, "MOST_ITEMS", 2)
    with metadata.connect() as api:
        first, second = (membership.look_up(overlay=overlay, text=text, api=api) for text in ("11 12", "12 13"))
    membership.add(overlay=overlay, preview=first, by=cast.owner, follow=False, now=timezone.now())
    with pytest.raises(membership.NotAddable, match="at most 2 items"):
        membership.add(overlay=overlay, preview=second, by=cast.owner, follow=False, now=timezone.now())
    assert held(overlay) == [11, 12]


def test_what_is_pasted_is_previewed_then_added_and_built(paste, overlay, steam_world, cast):
    steam_world.add(11, title="Helm's Deep")
    steam_world.add(12)
    preview = paste("11 https://steamcommunity.com/sharedfiles/filedetails/?id=12", confirm=False)
    assert preview.status_code == 200
    assert b"Helm&#x27;s Deep" in preview.content
    assert held(overlay) == []
    assert paste("11 12").status_code == 302
    assert held(overlay) == [11, 12]
    job = Job.objects.get()
    assert (job.operation, job.resource, job.user) == ("build", overlay.resource, cast.owner)


def test_adding_twice_keeps_one_link_and_one_queued_build(paste, overlay, steam_world):
    steam_world.add(11)
    paste("11")
    paste("11")
    assert held(overlay) == [11]
    assert Job.objects.count() == 1


def test_an_unreadable_line_is_named_and_nothing_is_added(paste, overlay, steam_world):
    steam_world.add(11)
    answer = paste("11\nhello")
    assert answer.status_code == 422
    assert "Line 2: “hello” is not a workshop ID" in answer.content.decode()
    assert held(overlay) == []
    assert b"11\nhello" in answer.content


def test_items_that_cannot_be_used_are_left_out_with_the_reason(paste, overlay, steam_world):
    steam_world.add(11)
    steam_world.add(12, consumer_app_id=730)
    text = paste("11 12 13", confirm=False).content.decode()
    assert "for another game (app 730), not Left 4 Dead 2" in text
    assert "not found on Steam: it was deleted or hidden, or the ID is wrong" in text
    paste("11 12 13")
    assert held(overlay) == [11]


def test_a_steam_that_does_not_answer_is_named(paste, overlay, steam_world):
    steam_world.api_faults.extend([Fault(status=503)] * 3)
    answer = paste("11")
    assert answer.status_code == 502
    assert b"Steam has an internal error (HTTP status 503)" in answer.content


def test_a_collection_is_expanded_and_followed(paste, overlay, steam_world):
    for steam_id in (1, 2, 3):
        steam_world.add(steam_id)
    steam_world.add(50, title="My maps", file_url="", file_size=0, filename="")
    steam_world.collections = {50: [(1, 0), (51, 2)], 51: [(2, 0), (50, 2)]}
    paste("50", follow="on")
    assert held(overlay) == [1, 2]
    [collection] = overlay.collections.all()
    assert (collection.steam_id, collection.title) == (50, "My maps")


def test_items_and_collections_are_told_apart_by_steam(paste, overlay, steam_world):
    for steam_id in (1, 2, 3):
        steam_world.add(steam_id)
    steam_world.add(60, file_url="", file_size=0, filename="")
    # Steam describes 50 not at all, as some collections, and 60 as a file without content: an empty collection.
    steam_world.collections = {50: [(1, 0), (2, 0)]}
    preview = paste("50 3 60", confirm=False).content.decode()
    assert "Keep in sync with the collection" in preview
    assert "has no file to download" in preview
    paste("50 3 60")
    assert held(overlay) == [1, 2, 3]
    assert not overlay.collections.exists()


def test_adding_or_removing_nothing_does_not_claim_success(client, paste, overlay, steam_world):
    steam_world.add(1)
    paste("1")
    again = paste("1")
    removed = client.post(reverse("overlays:remove_items", args=[overlay.pk]), {})
    texts = [(str(m), m.level_tag) for answer in (again, removed) for m in get_messages(answer.wsgi_request)]
    assert ("Nothing to add: these items are already in this overlay.", "info") in texts
    assert ("No items removed. Select the items to remove first.", "warning") in texts


def test_items_are_removed_in_bulk(client, paste, overlay, steam_world):
    for steam_id in (1, 2, 3):
        steam_world.add(steam_id)
    paste("1 2 3")
    client.post(reverse("overlays:remove_items", args=[overlay.pk]), {"item": ["1", "3", "x"]})
    assert held(overlay) == [2]
    assert WorkshopItem.objects.count() == 3


def test_refreshing_an_empty_overlay_says_so(client, paste, overlay):
    answer = client.post(reverse("overlays:refresh", args=[overlay.pk]))
    assert answer.status_code == 400
    assert b"This overlay has no workshop items yet" in answer.content


def test_refreshing_updates_the_rows_and_asks_for_a_build(client, paste, overlay, steam_world):
    steam_world.add(1)
    paste("1")
    Job.objects.all().delete()
    WorkshopItem.objects.update(last_downloaded_at=timezone.now())
    before = WorkshopItem.objects.get().last_downloaded_at
    steam_world.add(1, title="New", time_updated=1_800_000_000)
    assert client.post(reverse("overlays:refresh", args=[overlay.pk])).status_code == 302
    item = WorkshopItem.objects.get()
    assert (item.title, item.time_updated, item.last_downloaded_at) == ("New", 1_800_000_000, before)
    assert Job.objects.get().operation == "build"


def test_refreshing_follows_collections(client, paste, overlay, steam_world):
    for steam_id in (1, 2, 3, 9):
        steam_world.add(steam_id)
    steam_world.add(50, file_url="", file_size=0, filename="")
    steam_world.collections = {50: [(1, 0), (2, 0)]}
    paste("50", follow="on")
    paste("9")
    steam_world.collections = {50: [(2, 0), (3, 0)]}
    client.post(reverse("overlays:refresh", args=[overlay.pk]))
    assert held(overlay) == [2, 3, 9]


def test_a_refresh_that_fails_changes_nothing_and_names_steam(client, paste, overlay, steam_world):
    steam_world.add(1)
    paste("1")
    Job.objects.all().delete()
    steam_world.add(1, title="New")
    steam_world.api_faults.extend([Fault(status=500)] * 3)
    answer = client.post(reverse("overlays:refresh", args=[overlay.pk]))
    assert answer.status_code == 502
    assert "Nothing was changed. Steam has an internal error" in answer.content.decode()
    assert WorkshopItem.objects.get().title == "Item 1"
    assert not Job.objects.exists()


def test_an_item_that_is_gone_from_steam_is_marked_in_a_refresh(client, paste, overlay, steam_world):
    steam_world.add(1)
    paste("1")
    del steam_world.items[1]
    client.post(reverse("overlays:refresh", args=[overlay.pk]))
    assert (
        WorkshopItem.objects.get().last_error
        == "Steam: not found on Steam: it was deleted or hidden, or the ID is wrong"
    )


@pytest.mark.parametrize("name", ["items", "refresh", "remove_items", "build"])
def test_strangers_find_no_such_overlay_and_viewers_of_the_catalog_may_not_change_it(name, client, cast, overlay):
    client.force_login(cast.stranger)
    assert client.post(reverse(f"overlays:{name}", args=[overlay.pk])).status_code == 404
    catalog = make_overlay(kind=Overlay.Kind.WORKSHOP)
    assert client.post(reverse(f"overlays:{name}", args=[catalog.pk])).status_code == 403


def test_the_table_searches_sorts_and_filters(client, paste, overlay, steam_world):
    steam_world.add(1, title="Alpha")
    steam_world.add(2, title="Beta")
    paste("1 2")
    WorkshopItem.objects.filter(steam_id=2).update(last_error="broken", warnings=[{"code": "global_scripts"}])
    url = reverse("overlays:items", args=[overlay.pk])
    text = client.get(url).content.decode()
    assert text.index("Alpha") < text.index("Beta")
    for query in ("?q=beta", "?only=failed", "?only=warned", "?q=2"):
        text = client.get(url + query).content.decode()
        assert "Beta" in text
        assert "Alpha" not in text
    assert client.get(url + "?sort=-size&page=99&only=x").status_code == 200
    assert client.get(url + "?live=1", headers={"HX-Request": "true"}).content.decode().lstrip().startswith("<div id=")


def test_a_page_with_a_build_polls_its_live_part_alone(client, paste, overlay, steam_world):
    steam_world.add(1, title="Alpha")
    paste("1")
    url = reverse("overlays:items", args=[overlay.pk])
    for query in ("", "?q=alpha&page=1"):
        text = client.get(url + query).content.decode()
        polled = re.search(r'<div id="live"[^>]* hx-get="([^"]+)"', text)
        assert polled, "no build is under way"
        answer = client.get(url + html.unescape(polled[1]), headers={"HX-Request": "true"}).content.decode()
        assert answer.lstrip().startswith('<div id="live"')
        assert "<html" not in answer


def test_the_number_of_queries_does_not_grow_with_the_items(client, paste, overlay, django_assert_max_num_queries):
    client.force_login(overlay.owner)
    url = reverse("overlays:items", args=[overlay.pk])
    WorkshopItem.objects.bulk_create(WorkshopItem(steam_id=n) for n in range(1, 90))
    links = [OverlayWorkshopItem(overlay=overlay, item=item) for item in WorkshopItem.objects.all()]
    OverlayWorkshopItem.objects.bulk_create(links)
    with django_assert_max_num_queries(15):
        client.get(url)


def test_the_api_adds_lists_refreshes_and_removes(api, overlay, steam_world):
    steam_world.add(11, title="Eleven")
    answer = api("POST", f"/overlays/{overlay.pk}/items", {"input": "11 12", "mode": "items"})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["added"], body["already"]) == (["11"], [])
    assert body["refused"] == [
        {"steam_id": "12", "reason": "not found on Steam: it was deleted or hidden, or the ID is wrong"}
    ]
    assert (body["job"]["operation"], body["job"]["state"]) == ("build", "queued")
    for path in (f"/overlays/{overlay.pk}/items", "/workshop-items"):
        listed = api("GET", path).json()
        assert listed["count"] == 1
        assert (listed["items"][0]["steam_id"], listed["items"][0]["state"]) == ("11", "missing")
    assert api("POST", f"/overlays/{overlay.pk}/refresh").json()["id"] == body["job"]["id"]
    assert api("POST", f"/overlays/{overlay.pk}/build").json()["id"] == body["job"]["id"]
    assert api("DELETE", f"/overlays/{overlay.pk}/items/11").status_code == 204
    assert api("DELETE", f"/overlays/{overlay.pk}/items/11").status_code == 404


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"input": "hello", "mode": "items"}, 400, "Line 1: “hello” is not"),
        ({"input": "", "mode": "items"}, 400, "Paste at least one workshop ID"),
        ({"input": "99", "mode": "items"}, 400, "99: not found"),
        ({"input": "99", "mode": "collection"}, 400, "99: not found"),
        ({"input": "1", "mode": "other"}, 422, "mode"),
    ],
)
def test_the_api_says_why_nothing_was_added(api, overlay, steam_world, given, status, words):
    answer = api("POST", f"/overlays/{overlay.pk}/items", given)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert held(overlay) == []


def test_the_api_names_steam_when_it_fails(api, overlay, steam_world):
    steam_world.api_faults.extend([Fault(status=429)] * 3)
    answer = api("POST", f"/overlays/{overlay.pk}/items", {"input": "1", "mode": "items"})
    assert answer.status_code == 502
    assert "Steam's rate limit was reached" in answer.json()["detail"]


def test_the_api_refuses_to_refresh_an_empty_overlay(api, overlay):
    answer = api("POST", f"/overlays/{overlay.pk}/refresh")
    assert answer.status_code == 400
    assert "no workshop items" in answer.json()["detail"]
