"""Building a workshop overlay, as a job, against the simulated Steam."""

from __future__ import annotations

import struct
import time
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.utils import timezone

from left4me.jobs import actions as jobs
from left4me.jobs.models import JobLog
from left4me.testing import vpk_files
from left4me.testing.jobs import drain
from left4me.testing.simulated_steam import Fault
from overlays.builders import workshop
from overlays.campaigns import sources
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from overlays.workshop_items import refresh
from workshop import cache, metadata, vpk
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def overlay(left4me_root):
    return make_overlay(kind=Overlay.Kind.WORKSHOP)


@pytest.fixture
def hold(steam_world, overlay):
    """Publish items and add them to the overlay."""

    def hold(*steam_ids, into=overlay, **details):
        for steam_id in steam_ids:
            if steam_id not in steam_world.items:
                steam_world.add(steam_id, **details)
        with metadata.connect() as api:
            rows = metadata.save(api.all_items(list(steam_ids)), now=timezone.now())
        for row in rows.values():
            OverlayWorkshopItem.objects.create(overlay=into, item=row)

    return hold


def build(overlay):
    """Run the build; returns its job and its log lines."""
    job = jobs.request(operation="build", resource=overlay.resource, by=None, host=settings.LEFT4ME_HOST)
    drain(host=settings.LEFT4ME_HOST)
    job.refresh_from_db()
    return job, list(JobLog.objects.filter(job=job, stream__in=["stdout", "stderr"]).values_list("line", flat=True))


def warned(job):
    return list(JobLog.objects.filter(job=job, stream="stderr").values_list("line", flat=True))


def addons(overlay):
    return settings.LEFT4ME_ROOT / "overlays" / overlay.path / "left4dead2" / "addons"


def linked(overlay):
    return sorted(path.name for path in addons(overlay).iterdir() if path.is_symlink())


def test_items_are_downloaded_and_linked(hold, overlay):
    hold(11, 12, 13)
    job, lines = build(overlay)
    assert (job.state, job.error) == ("succeeded", "")
    assert lines[-1] == "downloaded=3 cached=0 skipped=0 created=3 removed=0 unchanged=0"
    assert linked(overlay) == ["11.vpk", "12.vpk", "13.vpk"]
    vpk.check(addons(overlay) / "11.vpk")
    overlay.refresh_from_db()
    assert (overlay.file_count, overlay.content_version) == (3, 1)
    assert overlay.built_at is not None
    item = WorkshopItem.objects.get(steam_id=11)
    assert (item.is_valid, item.cached_version, item.last_error) == (True, item.time_updated, "")
    assert item.last_downloaded_at is not None


def test_a_second_build_changes_nothing(hold, overlay):
    hold(11, 12)
    build(overlay)
    job, lines = build(overlay)
    assert job.state == "succeeded"
    assert lines == ["downloaded=0 cached=2 skipped=0 created=0 removed=0 unchanged=2"]
    overlay.refresh_from_db()
    assert overlay.content_version == 1


def test_an_item_taken_out_is_unlinked_and_stays_in_the_cache(hold, overlay, left4me_root):
    hold(11, 12)
    build(overlay)
    overlay.workshop_links.filter(item__steam_id=11).delete()
    _, lines = build(overlay)
    assert lines[-1] == "downloaded=0 cached=1 skipped=0 created=0 removed=1 unchanged=1"
    assert linked(overlay) == ["12.vpk"]
    assert (left4me_root / "workshop_cache" / "11.vpk").exists()


def test_foreign_files_are_left_alone(hold, overlay, tmp_path):
    hold(11, 12)
    folder = addons(overlay)
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("mine")
    (folder / "11.vpk").write_text("mine too")
    (folder / "99.vpk").symlink_to(tmp_path / "elsewhere.vpk")
    _, lines = build(overlay)
    assert lines[-1] == "downloaded=2 cached=0 skipped=0 created=1 removed=0 unchanged=0"
    assert (folder / "11.vpk").read_text() == "mine too"
    assert linked(overlay) == ["12.vpk", "99.vpk"]


def test_a_link_in_the_way_to_the_addons_is_not_followed(hold, overlay, tmp_path):
    hold(11)
    tree = addons(overlay).parent.parent
    tree.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tree / "left4dead2").symlink_to(tmp_path / "outside")
    job, _ = build(overlay)
    assert job.state == "failed"
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_item_without_a_download_address_is_skipped_and_does_not_fail(hold, overlay):
    hold(11)
    hold(12, file_url="", title="Pipe")
    job, lines = build(overlay)
    assert job.state == "succeeded"
    assert "workshop 12 skipped: Steam gives no download address for “Pipe” (result 1)" in warned(job)
    assert lines[-1] == "downloaded=1 cached=0 skipped=1 created=1 removed=0 unchanged=0"


def test_a_broken_item_is_named_and_the_others_are_served(hold, overlay, steam_world):
    hold(11, 12, 13)
    steam_world.items[12].faults.extend([Fault(status=503)] * 3)
    job, lines = build(overlay)
    assert job.state == "failed"
    assert job.error == (
        "1 of 3 items failed; the others are ready.\n12 “Item 12”: 127.0.0.1 answered with HTTP status 503"
    )
    assert {"workshop 11 downloading", "workshop 12 downloading"} <= set(lines)
    assert [line for line in warned(job) if "attempt" in line] == [
        f"workshop 12 attempt {n}/3 failed: 127.0.0.1 answered with HTTP status 503" for n in (1, 2, 3)
    ]
    assert lines[-1] == "downloaded=2 cached=0 skipped=0 created=2 removed=0 unchanged=0"
    assert linked(overlay) == ["11.vpk", "13.vpk"]
    failure = "download failed: 127.0.0.1 answered with HTTP status 503"
    assert WorkshopItem.objects.get(steam_id=12).last_error == failure
    refresh_rows(12)
    assert WorkshopItem.objects.get(steam_id=12).last_error == failure, "Steam's answer is no download"
    job, _ = build(overlay)
    assert job.state == "succeeded"
    assert WorkshopItem.objects.get(steam_id=12).last_error == ""


def test_what_steam_said_stays_until_steam_says_otherwise_whatever_a_build_downloads(hold, overlay, steam_world, cast):
    hold(11)
    published = steam_world.items.pop(11)
    refresh_rows(11)
    said = "Steam: not found on Steam: it was deleted or hidden, or the ID is wrong"
    assert WorkshopItem.objects.get().last_error == said
    steam_world.items[11] = published
    build(overlay)
    build(overlay)
    item = WorkshopItem.objects.get()
    assert (item.last_error, item.cached_version, linked(overlay)) == (said, item.time_updated, ["11.vpk"])
    assert sources.fault_counts([overlay.pk]) == {overlay.pk: 1}
    with metadata.connect() as api:
        refresh.retry_item(overlay=overlay, item=item, by=cast.admin, api=api, now=timezone.now())
    item = WorkshopItem.objects.get()
    assert (item.last_error, item.steam_error, item.steam_result) == ("", "", 1)
    assert sources.fault_counts([overlay.pk]) == {}


def test_what_came_whole_and_was_no_vpk_is_not_fetched_again_until_there_is_something_new(
    hold, overlay, steam_world, cast
):
    hold(11, 12, content=struct.pack("<III", 0x55AA1234, 1, 10_000))
    steam_world.add(11)
    refresh_rows(11)
    job, _ = build(overlay)
    fetched = steam_world.downloads(12)
    assert job.error.endswith("12 “Item 12”: the file is shorter than its directory")
    job, lines = build(overlay)
    assert job.error.endswith("12 “Item 12”: the file is shorter than its directory")
    again = "left4me tries again when Steam has a new version, or after “Refresh from Steam”"
    assert lines == [
        f"workshop 12 not downloaded again: the file is shorter than its directory; {again}",
        "downloaded=0 cached=1 skipped=0 created=0 removed=0 unchanged=1",
    ]
    assert steam_world.downloads(12) == fetched
    # The same version, after a refresh requested by a user.
    with metadata.connect() as api:
        refresh.refresh_overlay(overlay=overlay, by=cast.admin, api=api, now=timezone.now())
    drain(host=settings.LEFT4ME_HOST)
    assert steam_world.downloads(12) > fetched
    fetched = steam_world.downloads(12)
    build(overlay)
    assert steam_world.downloads(12) == fetched
    # A new version, without a request.
    steam_world.add(12, files={"new.txt": b"n"}, time_updated=1_800_000_000)
    refresh_rows(12)
    job, _ = build(overlay)
    assert (job.state, linked(overlay)) == ("succeeded", ["11.vpk", "12.vpk"])
    assert WorkshopItem.objects.get(steam_id=12).last_error == ""


def test_a_refused_update_leaves_the_old_version_in_place(hold, overlay, steam_world):
    hold(11)
    build(overlay)
    broken = struct.pack("<III", 0x55AA1234, 1, 10_000)
    steam_world.add(11, content=broken, time_updated=1_800_000_000)
    refresh_rows(11)
    build(overlay)
    fetched = steam_world.downloads(11)
    job, _ = build(overlay)
    assert (job.state, linked(overlay), steam_world.downloads(11)) == ("failed", ["11.vpk"], fetched)
    assert WorkshopItem.objects.get(steam_id=11).state(timezone.now()) == WorkshopItem.State.FAILED


def test_a_failed_update_keeps_the_old_version_linked(hold, overlay, steam_world):
    hold(11)
    build(overlay)
    steam_world.add(11, files={"new.txt": b"n"}, time_updated=1_800_000_000).faults.extend([Fault(status=500)] * 3)
    refresh_rows(11)
    job, _ = build(overlay)
    assert job.state == "failed"
    assert linked(overlay) == ["11.vpk"]
    item = WorkshopItem.objects.get(steam_id=11)
    assert item.state(timezone.now()) == WorkshopItem.State.FAILED
    assert item.cached_version == 1_700_000_000


def test_an_update_is_downloaded_and_counts_as_new_content(hold, overlay, steam_world):
    hold(11)
    build(overlay)
    steam_world.add(11, files={"new.txt": b"n"}, time_updated=1_800_000_000)
    refresh_rows(11)
    _, lines = build(overlay)
    assert lines[-1] == "downloaded=1 cached=0 skipped=0 created=0 removed=0 unchanged=1"
    overlay.refresh_from_db()
    assert overlay.content_version == 2


def test_an_overlay_that_shares_an_updated_item_notices_without_downloading(hold, overlay, steam_world):
    other = make_overlay(kind=Overlay.Kind.WORKSHOP)
    hold(11)
    hold(11, into=other)
    build(overlay)
    build(other)
    steam_world.add(11, files={"new.txt": b"n"}, time_updated=1_800_000_000)
    refresh_rows(11)
    build(overlay)
    _, lines = build(other)
    assert lines[-1] == "downloaded=0 cached=1 skipped=0 created=0 removed=0 unchanged=1"
    other.refresh_from_db()
    assert other.content_version == 2


def test_a_file_that_rotted_in_the_cache_is_not_linked(hold, overlay, left4me_root):
    hold(11)
    path = left4me_root / "workshop_cache" / "11.vpk"
    path.parent.mkdir(exist_ok=True)
    item = WorkshopItem.objects.get(steam_id=11)
    path.write_bytes(b"x" * item.file_size)
    import os

    os.utime(path, (item.time_updated, item.time_updated))
    job, _ = build(overlay)
    assert job.state == "failed"
    assert "11 “Item 11”: the file is an unknown kind of file, not a VPK" in job.error
    assert linked(overlay) == []


def test_campaigns_warnings_and_paths_are_kept(hold, overlay):
    mission = (
        b'"mission" { "Name" "c" "DisplayTitle" "Camp" "modes" {'
        b' "coop" { "1" { "Map" "c1" } } "versus" { "1" { "Map" "c1" } } } }'
    )
    hold(11, files={"missions/c.txt": mission, "scripts/vscripts/mapspawn_addon.nut": b"x"})
    build(overlay)
    item = WorkshopItem.objects.get(steam_id=11)
    assert item.campaigns[0]["title"] == "Camp"
    assert item.chapters == [{"map": "c1", "title": "c1", "campaign": "Camp", "modes": ["coop", "versus"]}]
    assert [warning["code"] for warning in item.warnings] == ["global_scripts"]
    assert item.contents.paths == ["missions/c.txt", "scripts/vscripts/mapspawn_addon.nut"]
    assert WorkshopItem.objects.matching("camp c1").get() == item
    assert WorkshopItem.objects.matching("11").get() == item


def test_a_second_build_of_a_thousand_items_takes_well_under_a_second(overlay, left4me_root):
    cache = left4me_root / "workshop_cache"
    cache.mkdir()
    vpk_files.write(cache / "1.vpk", {"a": b"1"})
    content = (cache / "1.vpk").read_bytes()
    rows = []
    for steam_id in range(1, 1001):
        path = cache / f"{steam_id}.vpk"
        path.write_bytes(content)
        version = int(path.stat().st_mtime)
        rows.append(
            WorkshopItem(steam_id=steam_id, file_url="https://x", file_size=len(content), time_updated=version)
        )
    WorkshopItem.objects.bulk_create(rows)
    OverlayWorkshopItem.objects.bulk_create(
        OverlayWorkshopItem(overlay=overlay, item=item) for item in WorkshopItem.objects.all()
    )
    build(overlay)
    started = time.process_time()
    _, lines = build(overlay)
    assert time.process_time() - started < 1.0
    assert lines == ["downloaded=0 cached=1000 skipped=0 created=0 removed=0 unchanged=1000"]


def refresh_rows(*steam_ids):
    items = list(WorkshopItem.objects.filter(steam_id__in=steam_ids))
    with metadata.connect() as api:
        metadata.apply(items, api.items(steam_ids), now=timezone.now())


def test_of_very_many_failures_some_are_named_and_the_others_counted(hold, overlay, steam_world, monkeypatch):
    monkeypatch.setattr(workshop, "_FAILURES_NAMED", 2)
    hold(*range(11, 16))
    for number in range(11, 15):
        steam_world.items[number].faults.extend([Fault(status=404)] * 3)
    job, _ = build(overlay)
    head, *named, last = job.error.splitlines()
    assert head == "4 of 5 items failed; the others are ready."
    assert len(named) == 2
    assert all("HTTP status 404" in line for line in named)
    assert last == "… and 2 more"


def test_the_row_of_an_item_that_is_downloaded_grows_at_most_every_two_seconds(hold, overlay, monkeypatch):
    hold(11)
    item = WorkshopItem.objects.get(steam_id=11)
    now, rows = [100.0], []
    monkeypatch.setattr(workshop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(cache, "record_progress", lambda _item, *, done, now: rows.append(done))
    run = SimpleNamespace(progress=lambda **_figures: None)
    progress = workshop._Progress(run, {11: item}, 1000)
    for seconds, done in ((0.0, 10), (0.5, 20), (1.9, 30), (2.0, 40), (3.9, 50), (4.1, 60)):
        now[0] = 100.0 + seconds
        progress.advance(cache.published_file(item), done)
    assert rows == [10, 40, 60]
