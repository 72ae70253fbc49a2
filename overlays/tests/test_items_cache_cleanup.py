"""Cleanup of the cache: unused items are listed, and deleted on request or after a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from left4me.jobs.models import Job
from left4me.testing.jobs import drain
from overlays import tasks
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def cache(left4me_root):
    """Item 1 in an overlay, item 2 in none, both with files."""
    folder = left4me_root / "workshop_cache"
    folder.mkdir()
    used, _unused = (WorkshopItem.objects.create(steam_id=n, cached_version=1, file_size=5) for n in (1, 2))
    OverlayWorkshopItem.objects.create(overlay=make_overlay(kind=Overlay.Kind.WORKSHOP), item=used)
    for name in ("1.vpk", "2.vpk", ".2-1-9.part"):
        (folder / name).write_bytes(b"12345")
    return folder


def test_admins_see_and_delete_what_no_overlay_holds(client, cast, cache):
    client.force_login(cast.admin)
    text = client.get(reverse("overlays:cache")).content.decode()
    assert "Delete all (5 B)" in text
    client.post(reverse("overlays:tidy"))
    [job] = drain(host=settings.LEFT4ME_HOST)
    assert job.state == "succeeded"
    assert [path.name for path in cache.iterdir()] == ["1.vpk"]
    assert list(WorkshopItem.objects.values_list("steam_id", flat=True)) == [1]


@pytest.mark.parametrize("name", ["cache", "refresh_all", "tidy"])
def test_others_have_no_business_there(client, cast, name):
    client.force_login(cast.owner)
    method = client.get if name == "cache" else client.post
    assert method(reverse(f"overlays:{name}")).status_code == 403


def test_the_daily_round_deletes_only_what_was_unused_long_enough(cache, settings):
    settings.LEFT4ME_WORKSHOP_CACHE_DAYS = 0
    tasks.tidy()
    assert not Job.objects.exists(), "switched off"
    settings.LEFT4ME_WORKSHOP_CACHE_DAYS = 7
    tasks.tidy()
    drain(host=settings.LEFT4ME_HOST)
    assert WorkshopItem.objects.count() == 2
    WorkshopItem.objects.filter(steam_id=2).update(unused_since=timezone.now() - timedelta(days=8))
    tasks.tidy()
    drain(host=settings.LEFT4ME_HOST)
    assert WorkshopItem.objects.count() == 1


def test_an_item_that_is_used_again_counts_from_nothing(cache):
    tasks.tidy()
    item = WorkshopItem.objects.get(steam_id=2)
    assert item.unused_since is not None
    OverlayWorkshopItem.objects.create(overlay=Overlay.objects.get(), item=item)
    tasks.tidy()
    item.refresh_from_db()
    assert item.unused_since is None
