"""Files contained in several workshop items of a stack of overlays."""

from __future__ import annotations

import pytest
from django.urls import reverse

from overlays import conflicts
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from workshop import inspection
from workshop.models import WorkshopContents, WorkshopItem

pytestmark = pytest.mark.django_db


@pytest.fixture
def hold(cast):
    """A workshop overlay of the owner with items that contain the given paths."""

    def hold(**paths_by_title):
        overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner)
        for title, paths in paths_by_title.items():
            item, _is_new = WorkshopItem.objects.get_or_create(title=title, defaults={"steam_id": len(title) * 100})
            packed = inspection.pack_paths(sorted(paths))
            WorkshopContents.objects.update_or_create(item=item, defaults={"packed_paths": packed})
            OverlayWorkshopItem.objects.create(overlay=overlay, item=item, linked_version=1)
        return overlay

    return hold


def test_the_topmost_overlay_wins_and_an_item_does_not_conflict_with_itself(hold):
    top = hold(aa=["x", "addoninfo.txt"])
    below = hold(aa=["x", "addoninfo.txt"], bbb=["x", "y"], cccc=["y"])
    found = conflicts.between([top, below])
    assert found.groups == [("aa (200)", ("bbb (300)",), ["x"]), ("bbb (300)", ("cccc (400)",), ["y"])]
    assert not found.is_cut
    assert conflicts.between([top]).groups == []


def test_what_is_not_served_is_not_compared(hold):
    overlay = hold(aa=["x"], bbb=["x"])
    overlay.workshop_links.filter(item__title="bbb").update(linked_version=None)
    assert conflicts.between([overlay]).groups == []


def test_the_page_names_winner_and_losers_to_those_who_see_the_overlays(client, cast, hold):
    overlay = hold(aa=["materials/x.vtf"], bbb=["materials/x.vtf"])
    url = f"{reverse('overlays:conflicts')}?overlay={overlay.pk}"
    client.force_login(cast.owner)
    text = client.get(url).content.decode()
    assert "aa (200)" in text
    assert "materials/x.vtf" in text
    assert client.get(reverse("overlays:conflicts")).status_code == 404
    client.force_login(cast.stranger)
    assert client.get(url).status_code == 404


def test_an_overlay_of_another_user_is_like_one_that_is_not_there(client, cast, hold):
    hidden = hold(aa=["materials/x.vtf"], bbb=["materials/x.vtf"])
    own = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.stranger)
    client.force_login(cast.stranger)
    address = reverse("overlays:conflicts")
    for other in (hidden.pk, hidden.pk + 1000):
        response = client.get(address, {"overlay": [own.pk, other]})
        assert (response.status_code, response.context["overlays"]) == (200, [own]), other
