"""The refresh of all items: isolated batches, stale data kept, builds only after changes, and its schedule."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job, JobLog
from left4me.jobs.operations import Failed
from left4me.testing.jobs import drain
from left4me.testing.recorded_run import RecordedRun
from left4me.testing.simulated_steam import Fault
from overlays import tasks
from overlays.models import Overlay, OverlayCollection, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from overlays.workshop_items import membership
from overlays.workshop_items import refresh as items_refresh
from workshop import metadata, steam
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def hold(steam_world):
    """A new overlay with published items."""

    def hold(*steam_ids):
        overlay = make_overlay(kind=Overlay.Kind.WORKSHOP)
        for steam_id in steam_ids:
            if steam_id not in steam_world.items:
                steam_world.add(steam_id)
        with metadata.connect() as api:
            rows = metadata.save(api.all_items(list(steam_ids)), now=timezone.now())
        OverlayWorkshopItem.objects.bulk_create(
            OverlayWorkshopItem(overlay=overlay, item=row) for row in rows.values()
        )
        return overlay

    return hold


def refresh():
    """Run only the refresh; returns its job and log. The builds that it requested stay queued."""
    job = items_refresh.request_refresh(by=None)
    drain(host=settings.LEFT4ME_HOST, most=1)
    job.refresh_from_db()
    return job, list(JobLog.objects.filter(job=job, stream__in=["stdout", "stderr"]).values_list("line", flat=True))


def queued_builds():
    return set(Job.objects.queued().filter(operation="build").values_list("resource", flat=True))


def test_only_overlays_whose_items_changed_are_built(hold, steam_world):
    one, two = hold(1, 2), hold(2, 3)
    hold(4)
    steam_world.add(3, time_updated=1_800_000_000)
    job, lines = refresh()
    assert (job.state, lines) == ("succeeded", ["refreshed=1 unchanged=3 failed=0 overlays=1"])
    assert queued_builds() == {two.resource}
    Job.objects.all().delete()
    steam_world.add(2, time_updated=1_800_000_000)
    refresh()
    assert queued_builds() == {one.resource, two.resource}


def test_items_of_no_overlay_are_not_asked_about(hold, steam_world):
    hold(1)
    WorkshopItem.objects.create(steam_id=99)
    _, lines = refresh()
    assert lines == ["refreshed=0 unchanged=1 failed=0 overlays=0"]


def test_one_item_that_is_gone_stops_nothing(hold, steam_world):
    hold(1, 2)
    del steam_world.items[1]
    job, lines = refresh()
    assert job.state == "succeeded"
    assert lines == [
        "workshop 1 failed: not found on Steam: it was deleted or hidden, or the ID is wrong",
        "refreshed=0 unchanged=1 failed=1 overlays=0",
    ]


def test_one_batch_that_fails_stops_no_other(hold, steam_world, monkeypatch):
    monkeypatch.setattr(steam, "BATCH", 2)
    monkeypatch.setattr(steam.batches, "__defaults__", (2,))
    hold(1, 2, 3, 4)
    steam_world.add(4, time_updated=1_800_000_000)
    steam_world.api_faults.extend([Fault(status=500)] * 3)
    job, lines = refresh()
    assert job.state == "failed"
    assert "Steam has an internal error (HTTP status 500)" in job.error
    assert lines[-1] == "refreshed=1 unchanged=1 failed=2 overlays=1"


def test_old_data_stays_when_steam_is_down(hold, steam_world):
    hold(1)
    steam_world.api_faults.extend([Fault(status=503)] * 3)
    job, _ = refresh()
    assert job.state == "failed"
    item = WorkshopItem.objects.get()
    assert (item.title, item.last_error) == ("Item 1", "")


def test_a_followed_collection_brings_new_items_and_takes_old_ones(hold, steam_world):
    overlay = hold(1)
    collection = OverlayCollection.objects.create(overlay=overlay, steam_id=50)
    overlay.workshop_links.update(collection=collection)
    steam_world.add(2)
    steam_world.collections = {50: [(2, 0)]}
    refresh()
    assert list(overlay.workshop_links.values_list("item__steam_id", flat=True)) == [2]
    assert queued_builds() == {overlay.resource}


def test_a_followed_collection_brings_no_more_than_an_overlay_can_contain(hold, steam_world, monkeypatch):
    overlay = hold(1, 2)
    collection = OverlayCollection.objects.create(overlay=overlay, steam_id=50)
    for steam_id in (3, 4):
        steam_world.add(steam_id)
    steam_world.collections = {50: [(3, 0), (4, 0)]}
    monkeypatch.setattr(membership, "MOST_ITEMS", 3)
    refresh()
    assert sorted(overlay.workshop_links.values_list("item__steam_id", flat=True)) == [1, 2, 3]
    collection.refresh_from_db()
    assert "at most 3 items" in collection.last_error
    drain(host=settings.LEFT4ME_HOST)
    steam_world.collections = {50: [(3, 0)]}
    refresh()
    collection.refresh_from_db()
    assert collection.last_error == ""


def test_a_collection_that_vanished_keeps_what_it_brought(hold, steam_world):
    overlay = hold(1)
    collection = OverlayCollection.objects.create(overlay=overlay, steam_id=50)
    overlay.workshop_links.update(collection=collection)
    job, _ = refresh()
    assert job.state == "succeeded"
    assert overlay.workshop_links.count() == 1
    collection.refresh_from_db()
    assert collection.last_error == "not found on Steam: it was deleted or hidden, or the ID is wrong"


def test_the_command_prints_the_job_that_waits_or_runs(hold):
    printed = [call() for _ in range(2)]
    job = Job.objects.get()
    assert printed == [f"enqueued workshop refresh job {job.pk}", f"already queued/running: job {job.pk}"]
    Job.objects.update(state="running", lease_expires_at=timezone.now())
    assert call() == printed[1]


def call():
    out = StringIO()
    call_command("workshop_refresh", stdout=out)
    return out.getvalue().strip()


def test_the_next_refresh_is_due_a_period_and_a_little_after_the_last():
    now = timezone.now()
    day = timedelta(days=1)
    assert items_refresh.is_due(now=now, every=day)
    Job.objects.create(operation="workshop_refresh", resource="workshop", host="local", created_at=now)
    assert not items_refresh.is_due(now=now + 2 * day, every=day), "while one waits, none is due"
    Job.objects.update(state="failed", finished_at=now)
    assert not items_refresh.is_due(now=now + day * 0.99, every=day)
    assert not items_refresh.is_due(now=now + day, every=day), "the little after it differs between installations"
    assert items_refresh.is_due(now=now + day * 1.1001, every=day)


def test_of_many_failures_some_are_named_and_a_build_that_is_refused_is_told(hold, steam_world, monkeypatch):
    overlay = hold(*range(1, 23))
    for steam_id in range(1, 22):
        del steam_world.items[steam_id]
    steam_world.add(22, time_updated=1_800_000_000)
    for steam_id in range(50, 71):
        OverlayCollection.objects.create(overlay=overlay, steam_id=steam_id)

    def refuse(**_how):
        raise jobs.Refused("Not now.")

    monkeypatch.setattr(items_refresh.builds, "request", refuse)
    run = RecordedRun()
    items_refresh.refresh_all(run, now=timezone.now())
    assert sum("not found on Steam" in line for line in run.lines) == 20
    assert f"overlay {overlay.pk} was not built: Not now." in run.lines
    assert run.lines[-1] == "refreshed=1 unchanged=0 failed=21 overlays=1"
    steam_world.api_faults.extend([Fault(status=500)] * 3 * 22)
    with pytest.raises(Failed) as failed:
        items_refresh.refresh_all(RecordedRun(), now=timezone.now())
    lines = str(failed.value).splitlines()
    assert (lines[0], len(lines)) == ("refreshed=0 unchanged=0 failed=22", 21)
    assert lines[2].startswith("collection 50: Steam has an internal error")


def test_a_schedule_that_is_refused_waits_for_its_next_turn(monkeypatch, caplog):
    def refuse(**_how):
        raise jobs.Refused("Not now.")

    monkeypatch.setattr(items_refresh, "request_refresh", refuse)
    tasks.refresh_when_due()
    assert "could not start: Not now." in caplog.text


@pytest.mark.parametrize(("days", "count"), [(0, 0), (9, 1)])
def test_unused_items_are_cleaned_up_daily_when_that_is_wanted(settings, left4me_root, days, count):
    settings.LEFT4ME_WORKSHOP_CACHE_DAYS = days
    item = WorkshopItem.objects.create(steam_id=1)
    tasks.tidy()
    item.refresh_from_db()
    assert item.unused_since is not None
    assert [job.params for job in Job.objects.all()] == [{"older_than_days": 9}] * count


def test_the_tick_asks_once_and_not_at_all_when_switched_off(settings):
    tasks.refresh_when_due()
    tasks.refresh_when_due()
    assert Job.objects.count() == 1
    Job.objects.all().delete()
    settings.LEFT4ME_WORKSHOP_REFRESH_SECONDS = 0
    tasks.refresh_when_due()
    assert not Job.objects.exists()


def test_letting_go_of_a_collection_keeps_or_removes_its_items(hold, cast, steam_world):
    for keep_items, left in ((True, 1), (False, 0)):
        overlay = hold(1)
        collection = OverlayCollection.objects.create(overlay=overlay, steam_id=50)
        overlay.workshop_links.update(collection=collection)
        membership.unfollow(overlay=overlay, collection=collection, by=cast.admin, keep_items=keep_items)
        assert overlay.workshop_links.count() == left
