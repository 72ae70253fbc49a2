"""Taking items back, retrying one and leaving collections, at the page and at the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.web import notices
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.testing.simulated_steam import Fault
from overlays import builds
from overlays.models import Overlay, OverlayCollection, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from overlays.workshop_items import item_rows, membership, views
from workshop import inputs, metadata
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

NOW = timezone.now()


@pytest.fixture
def overlay(cast, left4me_root):
    return make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner)


@pytest.fixture
def owner(client, cast):
    client.force_login(cast.owner)
    return client


def link(overlay, steam_id, *, collection=None, added_at=None, **fields):
    item, _is_new = WorkshopItem.objects.get_or_create(steam_id=steam_id, defaults=fields)
    row = OverlayWorkshopItem.objects.create(overlay=overlay, item=item, collection=collection)
    if added_at is not None:
        OverlayWorkshopItem.objects.filter(pk=row.pk).update(added_at=added_at)
    return row


def held(overlay):
    return sorted(overlay.workshop_links.values_list("item__steam_id", flat=True))


def texts(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def undo(client, answer):
    [message] = get_messages(answer.wsgi_request)
    return client.post(notices.cure_of(message).url)


@pytest.mark.parametrize("count", [1, 2])
def test_removed_items_come_back_each_at_its_place(owner, overlay, count):
    collection = OverlayCollection.objects.create(overlay=overlay, steam_id=50, title="C")
    long_ago = NOW - timedelta(days=9)
    link(overlay, 1, collection=collection, added_at=long_ago)
    link(overlay, 2)
    link(overlay, 3)
    answer = owner.post(reverse("overlays:remove_items", args=[overlay.pk]), {"item": ["1", "2"][:count]})
    assert texts(answer)[0].startswith("1 item removed." if count == 1 else "2 items removed.")
    assert held(overlay) == [2, 3][count - 1 :]
    Job.objects.all().delete()
    back = undo(owner, answer)
    assert back.url == reverse("overlays:items", args=[overlay.pk])
    assert held(overlay) == [1, 2, 3]
    row = overlay.workshop_links.get(item__steam_id=1)
    assert (row.collection, row.added_at) == (collection, long_ago)
    assert Job.objects.get().operation == "build"
    entry = AuditEntry.objects.order_by("-pk").filter(action="overlay.items_added").first()
    assert entry.details["count"] == count


@pytest.mark.parametrize("keep", [False, True])
def test_a_collection_that_was_left_is_followed_again(owner, overlay, keep):
    collection = OverlayCollection.objects.create(overlay=overlay, steam_id=50, title="C")
    link(overlay, 1, collection=collection)
    link(overlay, 2)
    url = reverse("overlays:unfollow", args=[overlay.pk, collection.pk])
    answer = owner.post(url, {"keep": "on"} if keep else {})
    assert texts(answer)[0].startswith("Stopped syncing with the collection.")
    assert held(overlay) == ([1, 2] if keep else [2])
    assert Job.objects.filter(operation="build").exists() is not keep
    assert not OverlayCollection.objects.exists()
    undo(owner, answer)
    again = OverlayCollection.objects.get()
    assert (again.steam_id, again.title) == (50, "C")
    assert {row.item.steam_id: row.collection for row in overlay.workshop_links.all()} == {1: again, 2: None}
    assert owner.post(reverse("overlays:unfollow", args=[overlay.pk, 0])).status_code == 404


def test_what_does_not_fit_any_more_does_not_come_back(overlay, cast, monkeypatch):
    monkeypatch.setattr(membership, "MOST_ITEMS", 2)
    link(overlay, 1)
    kept = [(2, None, NOW), (3, None, NOW)]
    with pytest.raises(membership.NotAddable, match="at most 2 items"):
        membership.put_back(overlay=overlay, links=kept, by=cast.owner)
    assert held(overlay) == [1]
    membership.put_back(overlay=overlay, links=kept[:1], by=cast.owner)
    # One that is there already needs no room.
    membership.put_back(overlay=overlay, links=[(2, 99, NOW)], by=cast.owner)
    assert held(overlay) == [1, 2]
    assert overlay.workshop_links.get(item__steam_id=2).collection is None


def test_one_item_is_asked_for_again_even_if_it_was_refused(owner, overlay, steam_world):
    row = link(overlay, 1, time_updated=5, refused_version=5, refused_size=7, file_size=7, title="old")
    link(overlay, 2, refused_version=1, refused_size=1)
    steam_world.add(1, title="New")
    answer = owner.post(reverse("overlays:retry_item", args=[overlay.pk, 1]))
    assert answer.url == reverse("overlays:items", args=[overlay.pk])
    assert texts(answer) == ["Retrying “New”."]
    item = WorkshopItem.objects.get(pk=row.item_id)
    assert (item.title, item.refused_version) == ("New", None)
    assert WorkshopItem.objects.get(steam_id=2).refused_version == 1
    assert Job.objects.get().operation == "build"
    assert AuditEntry.objects.get(action="overlay.item_retried").details["item"] == 1
    assert owner.post(reverse("overlays:retry_item", args=[overlay.pk, 9])).status_code == 404
    answer = owner.post(f"/api/v1/overlays/{overlay.pk}/items/1/retry")
    assert (answer.status_code, answer.json()["operation"]) == (202, "build")
    assert owner.post(f"/api/v1/overlays/{overlay.pk}/items/9/retry").status_code == 404


def test_a_steam_that_is_busy_can_be_asked_again(owner, overlay, steam_world):
    link(overlay, 1)
    for url in (
        reverse("overlays:retry_item", args=[overlay.pk, 1]),
        reverse("overlays:refresh", args=[overlay.pk]),
    ):
        steam_world.api_faults.extend([Fault(status=500)] * 3)
        answer = owner.post(url)
        assert answer.status_code == 502
        page = answer.content.decode()
        assert "Nothing was changed. Steam has an internal error" in page
        assert f'"{url}"' in page
    for path in ("items/1/retry", "refresh"):
        steam_world.api_faults.extend([Fault(status=500)] * 3)
        answer = owner.post(f"/api/v1/overlays/{overlay.pk}/{path}")
        assert (answer.status_code, answer.json()["title"]) == (502, "Steam request failed")
    assert not Job.objects.exists()


def test_a_build_that_is_refused_is_told_on_each_page(owner, overlay, steam_world, monkeypatch):
    steam_world.add(1)
    steam_world.add(2)
    link(overlay, 1)

    def refuse(**_how):
        raise jobs.Refused("Not now.")

    monkeypatch.setattr(builds, "request", refuse)
    for url, data in (
        (reverse("overlays:items", args=[overlay.pk]), {"input": "2", "confirm": "1"}),
        (reverse("overlays:refresh", args=[overlay.pk]), {}),
        (reverse("overlays:retry_item", args=[overlay.pk, 1]), {}),
    ):
        answer = owner.post(url, data)
        assert answer.status_code == 409
        assert "Not now." in answer.content.decode()
    answer = owner.post(reverse("overlays:build", args=[overlay.pk]))
    assert (answer.url, texts(answer)) == (overlay.get_absolute_url(), ["Not now."])
    assert held(overlay) == [1]


def test_a_build_is_requested_at_the_page_of_any_kind(owner, cast):
    overlay = make_overlay(owner=cast.owner)
    answer = owner.post(reverse("overlays:build", args=[overlay.pk]))
    assert (answer.url, texts(answer)) == (overlay.get_absolute_url(), ["Rebuilding…"])
    assert Job.objects.get().resource == overlay.resource


def test_nothing_pasted_and_very_many_faults_are_told(owner, overlay, steam_world):
    url = reverse("overlays:items", args=[overlay.pk])
    assert owner.post(url, {"input": ""}).status_code == 422
    answer = owner.post(url, {"input": " ".join(f"x{number}" for number in range(60)), "confirm": "1"})
    assert answer.status_code == 422
    assert answer.content.decode().count("is not a workshop ID") == 50
    assert owner.head(url).status_code == 200
    assert owner.put(url).status_code == 405


def test_the_api_names_each_line_and_refuses_other_kinds(owner, overlay, cast, steam_world):
    answer = owner.post(f"/api/v1/overlays/{overlay.pk}/items", {"input": "1\nhello"}, content_type="application/json")
    assert answer.json()["errors"] == [
        {"line": 2, "text": "hello", "message": "Line 2: “hello” is not a workshop ID or a Steam Workshop link"}
    ]
    files = make_overlay(owner=cast.owner)
    answer = owner.get(f"/api/v1/overlays/{files.pk}/items")
    assert (answer.status_code, answer.json()["detail"]) == (409, "This overlay is not a workshop overlay.")
    shared = make_overlay(kind=Overlay.Kind.WORKSHOP)
    assert owner.get(f"/api/v1/overlays/{shared.pk}/items").json()["count"] == 0
    for method, path in (("post", "items/1/retry"), ("post", "refresh"), ("delete", "items/1"), ("post", "build")):
        assert getattr(owner, method)(f"/api/v1/overlays/{shared.pk}/{path}").status_code == 403


def test_the_api_lists_what_the_user_sees_and_what_matches(owner, overlay, cast):
    link(overlay, 1, title="Walls", time_updated=5)
    theirs = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.stranger)
    link(theirs, 2, title="Walls of others")
    link(theirs, 1)
    items = owner.get("/api/v1/workshop-items?q=walls").json()["items"]
    assert [(item["steam_id"], item["state"], item["time_updated"]) for item in items] == [("1", "missing", 5)]
    assert owner.get("/api/v1/workshop-items?q=other").json()["count"] == 0
    assert owner.get(f"/api/v1/overlays/{overlay.pk}/items?q=nothing").json()["count"] == 0
    assert owner.get(f"/api/v1/workshop-items?q={'x' * 201}").status_code == 422
    owner.force_login(cast.admin)
    assert owner.get("/api/v1/workshop-items").json()["count"] == 2


@pytest.mark.parametrize(("follow", "followed"), [({}, True), ({"follow": False}, False)])
def test_the_api_follows_collections_unless_told_otherwise(owner, overlay, steam_world, follow, followed):
    steam_world.add(1)
    steam_world.collections = {50: [(1, 0)]}
    body = {"input": "50"} | follow
    answer = owner.post(f"/api/v1/overlays/{overlay.pk}/items", body, content_type="application/json")
    assert answer.json()["added"] == ["1"]
    assert overlay.collections.exists() is followed


def test_what_the_preview_refuses_is_told_in_full_but_not_without_end(overlay, cast):
    refused = dict.fromkeys(range(1, 52), "not found")
    preview = membership.Preview({}, (), refused, frozenset())
    with pytest.raises(membership.NotAddable) as fault:
        membership.add(overlay=overlay, preview=preview, by=cast.owner, follow=False, now=NOW)
    lines = str(fault.value).splitlines()
    assert lines[:2] == ["None of these can be added:", "1: not found"]
    assert len(lines) == 51


@pytest.mark.parametrize(
    ("filename", "file_url", "file_size", "is_refused"),
    [("", "", 0, True), ("a.vpk", "", 0, False), ("", "https://x", 0, False), ("", "", 5, False)],
)
def test_an_item_without_any_sign_of_a_file_is_refused(steam_world, filename, file_url, file_size, is_refused):
    steam_world.add(1, filename=filename, file_url=file_url, file_size=file_size)
    with metadata.connect() as api:
        preview = membership.look_up(overlay=None, text="1", mode="items", api=api)
    assert preview.refused == ({1: "has no file to download"} if is_refused else {})
    assert set(preview.addable) == (set() if is_refused else {1})


@pytest.mark.parametrize(("count", "fits"), [(20, True), (21, False)])
def test_so_many_collections_are_added_at_once(steam_world, count, fits):
    assert membership.MOST_COLLECTIONS_AT_ONCE == 20
    steam_world.add(1)
    steam_world.collections = {number: [(1, 0)] for number in range(100, 100 + count)}
    text = " ".join(str(number) for number in steam_world.collections)
    with metadata.connect() as api:
        if fits:
            assert len(membership.look_up(overlay=None, text=text, mode="collection", api=api).groups) == 20
        else:
            with pytest.raises(membership.NotAddable, match="At most 20 collections"):
                membership.look_up(overlay=None, text=text, mode="collection", api=api)


def test_a_collection_is_kept_in_sync_as_far_as_there_is_room(overlay, monkeypatch):
    monkeypatch.setattr(membership, "MOST_ITEMS", 3)
    collection = OverlayCollection.objects.create(overlay=overlay, steam_id=50, last_error="old")
    link(overlay, 1, collection=collection)
    link(overlay, 2)
    for steam_id in (3, 4, 5):
        WorkshopItem.objects.create(steam_id=steam_id)

    def sync(*ids):
        listing = metadata.steam.Collection(50, ids)
        changed = membership.sync_collection(collection, listing, now=NOW)
        collection.refresh_from_db()
        assert collection.synced_at == NOW
        return changed, held(overlay), collection.last_error

    assert sync(1, 2, 99) == (False, [1, 2], "")
    assert sync(2, 3, 4) == (True, [2, 3, 4], "")
    changed, ids, problem = sync(2, 3, 4, 5)
    assert (changed, ids) == (False, [2, 3, 4])
    assert "at most 3 items" in problem
    assert overlay.workshop_links.get(item__steam_id=2).collection is None
    assert overlay.workshop_links.get(item__steam_id=3).collection == collection
    assert sync(5) == (True, [2, 5], "")


def test_the_rows_of_the_page_say_what_is_served_and_since_when(overlay):
    link(overlay, 1, title="A", time_updated=1_700_000_000)
    link(overlay, 2, title="B", time_updated=32_503_680_000)
    served = link(overlay, 3, title="C", time_updated=32_503_679_999)
    served.linked_version = 1
    served.save()
    link(overlay, 4, title="D", is_valid=False)
    page, rows = item_rows.page(overlay, item_rows.ItemFilter(), number=None, now=NOW)
    assert [row.item.title for row in rows] == ["A", "B", "C", "D"]
    assert [row.is_served for row in rows] == [False, False, True, False]
    assert [row.updated and row.updated.year for row in rows] == [2023, None, 2999, None]
    assert {row.tone for row in rows} == {"idle"}
    assert page.paginator.per_page == 100
    found = {
        only: [
            row.item.title for row in item_rows.page(overlay, item_rows.ItemFilter(only=only), number="1", now=NOW)[1]
        ]
        for only in ("failed", "warned")
    }
    assert found == {"failed": ["D"], "warned": []}
    by = [
        [row.item.title for row in item_rows.page(overlay, item_rows.ItemFilter(sort=sort), number="1", now=NOW)[1]]
        for sort in ("-added", "-updated")
    ]
    assert by == [["D", "C", "B", "A"], ["B", "C", "A", "D"]]


def test_the_filter_of_the_page_is_read_from_its_address():
    read = item_rows.ItemFilter.from_query
    assert read({}) == item_rows.ItemFilter("", "title", "")
    assert read({"q": f" {'x' * 300} ", "sort": "-size", "only": "warned"}) == item_rows.ItemFilter(
        "x" * 200, "-size", "warned"
    )
    assert read({"sort": "pk", "only": "all"}) == item_rows.ItemFilter()


def test_a_box_for_items_has_the_length_of_the_parser():
    assert views.AddItemsForm({"input": "1" * inputs.LONGEST_INPUT}).is_valid()
    assert not views.AddItemsForm({"input": "1" * (inputs.LONGEST_INPUT + 1)}).is_valid()
    with pytest.raises(Refused):
        raise membership.NotAddable("x")
