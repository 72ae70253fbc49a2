"""The rows of workshop items: their states, searches, and what downloads, inspections and Steam write into them."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.test import RequestFactory
from django.utils import timezone

from left4me.testing import vpk_files
from workshop import cache, inspection, metadata, steam
from workshop.admin import WorkshopContentsAdmin, WorkshopItemAdmin
from workshop.models import WorkshopContents, WorkshopItem

pytestmark = pytest.mark.django_db

NOW = timezone.now()
State = WorkshopItem.State


@pytest.fixture
def root(settings, tmp_path):
    settings.LEFT4ME_ROOT = tmp_path / "root"
    return settings.LEFT4ME_ROOT


def make(steam_id=7, **fields):
    return WorkshopItem.objects.create(steam_id=steam_id, **fields)


def put_in_overlay(item):
    # The app of overlays is above this one.
    overlay = apps.get_model("overlays", "Overlay").objects.create(name="o", path="o", kind="workshop")
    return apps.get_model("overlays", "OverlayWorkshopItem").objects.create(overlay=overlay, item=item)


def fresh(item):
    return WorkshopItem.objects.get(pk=item.pk)


def test_the_migrations_make_what_the_models_say():
    call_command("makemigrations", "workshop", check_changes=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, State.MISSING),
        ({"progress_at": NOW - timedelta(seconds=19)}, State.DOWNLOADING),
        ({"progress_at": NOW - timedelta(seconds=20)}, State.MISSING),
        ({"progress_at": NOW, "last_error": "x"}, State.DOWNLOADING),
        ({"last_error": "x", "cached_version": 5, "time_updated": 5}, State.FAILED),
        ({"steam_error": "x", "cached_version": 5, "time_updated": 5}, State.FAILED),
        ({"cached_version": 5, "time_updated": 5}, State.CACHED),
        ({"cached_version": 5, "time_updated": 6}, State.STALE),
        ({"cached_version": 6, "time_updated": 5}, State.STALE),
    ],
)
def test_the_state_is_the_one_that_matters_most(fields, state):
    assert make(**fields).state(NOW) == state
    assert WorkshopItem.objects.downloading(NOW).exists() is (state == State.DOWNLOADING)
    assert WorkshopItem.objects.cached().exists() is ("cached_version" in fields)
    assert WorkshopItem.objects.failed().exists() is bool({"last_error", "steam_error"} & set(fields))


def test_a_failure_names_its_side():
    by_steam = WorkshopItem(steam_error="hidden", last_error="Steam: hidden")
    assert (by_steam.standing_error, by_steam.download_error) == ("Steam: hidden", "")
    by_download = WorkshopItem(last_error="download failed: torn")
    assert (by_download.standing_error, by_download.download_error) == ("", "torn")


@pytest.mark.parametrize(("refused", "is_refused"), [((5, 10), True), ((5, 9), False), ((6, 10), False)])
def test_only_the_same_version_and_size_is_refused_and_can_be_forgotten(refused, is_refused):
    item = make(time_updated=5, file_size=10, refused_version=refused[0], refused_size=refused[1])
    assert item.is_refused is is_refused
    assert WorkshopItem.objects.forget_refusals() == 1
    assert WorkshopItem.objects.forget_refusals() == 0
    assert not fresh(item).is_refused


@pytest.mark.parametrize(
    ("done", "size", "percent"), [(0, 0, 0), (5, 0, 0), (0, 10, 0), (1, 3, 33), (10, 10, 100), (11, 10, 100)]
)
def test_progress_is_a_share_of_the_size(done, size, percent):
    assert WorkshopItem(progress_bytes=done, file_size=size).percent == percent


def test_an_item_is_called_by_its_title_or_its_id():
    assert [str(WorkshopItem(steam_id=7, title=title)) for title in ("T", "")] == ["T", "7"]
    assert WorkshopItem(steam_id=7).get_absolute_url().endswith("filedetails/?id=7")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("walls", [1]),
        ("WALLS valve", [1]),
        ("walls nobody", []),
        ("gate_1", [2]),
        ("1234567890123456789", []),
        ("2", [2]),
        ("", [1, 2]),
        (" ".join(["walls"] * 10 + ["nobody"]), [1]),
        (" ".join(["walls"] * 9 + ["nobody"]), []),
        ("123456789012345678", [123456789012345678]),
    ],
)
def test_every_word_must_match_the_title_the_author_the_id_or_a_map(words, found):
    make(1, title="The Walls", author="Valve")
    make(2, title="Other", author="Me", chapters=[{"map": "gate_1"}])
    if found[:1] > [2]:
        make(found[0])
    assert sorted(WorkshopItem.objects.matching(words).values_list("steam_id", flat=True)) == found


def test_items_without_an_overlay_are_unused():
    link = put_in_overlay(make(1))
    make(2)
    assert [item.steam_id for item in WorkshopItem.objects.unused()] == [2]
    link.delete()
    assert WorkshopItem.objects.unused().count() == 2


def test_the_cache_is_made_where_the_data_is(root):
    for _again in range(2):
        assert cache.directory() == root / "workshop_cache"
    assert cache.directory().is_dir()
    assert cache.game_directory() == root / "game" / "current"


def test_the_versions_in_the_cache_are_those_of_regular_files(root):
    items = [WorkshopItem(steam_id=n) for n in (1, 2, 3, 4)]
    folder = cache.directory()
    for number in (2, 4):
        (folder / f"{number}.vpk").write_bytes(b"x")
        os.utime(folder / f"{number}.vpk", (number, number + 0.75))
    (folder / "3.vpk").symlink_to("2.vpk")
    assert cache.cached_versions(items, folder) == {2: 2, 4: 4}


def test_a_download_and_its_end_are_recorded():
    item = make(time_updated=5, file_size=10, steam_error="hidden")
    cache.record_progress(item, done=3, now=NOW)
    assert (fresh(item).progress_bytes, fresh(item).progress_at) == (3, NOW)
    cache.record_failure(item, error="torn")
    row = fresh(item)
    assert (row.progress_bytes, row.progress_at, row.last_error) == (0, None, "download failed: torn")
    assert row.refused_version is None
    cache.record_refusal(item, error="no VPK")
    assert (item.is_refused, fresh(item).is_refused) == (True, True)
    assert fresh(item).last_error == item.last_error == "download failed: no VPK"
    cache.record_progress(item, done=10, now=NOW)
    cache.record_download(item, now=NOW)
    row = fresh(item)
    assert (row.last_error, row.cached_version, row.last_downloaded_at) == ("Steam: hidden", 5, NOW)
    assert (item.last_error, item.cached_version, item.last_downloaded_at) == ("Steam: hidden", 5, NOW)
    assert (row.progress_bytes, row.progress_at) == (0, None)


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        ((None, "old"), 5, (5, "")),
        ((4, "old"), 4, (4, "old")),
        ((None, "old"), 4, (4, "old")),
        ((None, "old"), 6, (6, "old")),
        ((5, "old"), None, (None, "old")),
        ((5, "old"), 5, (5, "")),
        ((5, ""), 5, (5, "")),
    ],
)
def test_rows_follow_the_files_in_the_cache(before, version, after, django_assert_num_queries):
    item = make(time_updated=5, cached_version=before[0], last_error=before[1])
    with django_assert_num_queries(0 if before == after else 1):
        cache.record_cached_versions([item], {} if version is None else {7: version})
    assert (fresh(item).cached_version, fresh(item).last_error) == after
    assert (item.cached_version, item.last_error) == after


def test_an_inspection_is_stored_with_the_paths(root):
    item = make(last_error="download failed: earlier")
    vpk_files.write(
        cache.directory() / "7.vpk", {"b.txt": b"1", "a.txt": b"2", "addoninfo.txt": b'"x" { addonauthor me }'}
    )
    result = cache.inspect(item, cache.directory(), version=5, stock=frozenset({"a.txt"}))
    row = fresh(item)
    assert result.valid
    assert (row.is_valid, row.author, row.inspected_version) == (True, "me", 5)
    assert row.last_error == "download failed: earlier"
    assert [warning["code"] for warning in row.warnings] == ["replaces_game_files"]
    assert row.contents.paths == ["a.txt", "addoninfo.txt", "b.txt"]
    (cache.directory() / "7.vpk").write_bytes(b"<html>")
    cache.inspect(item, cache.directory(), version=6, stock=frozenset())
    row = fresh(item)
    assert (row.is_valid, row.inspected_version) == (False, 6)
    assert row.last_error == "download failed: the file is a web page, not a VPK"
    assert row.contents.paths == []


def test_the_use_of_the_cache_counts_partial_files_and_no_links(root):
    folder = cache.directory()
    (folder / "7.vpk").write_bytes(b"1234")
    (folder / ".8-1-9.part").write_bytes(b"12")
    (folder / "folder").mkdir()
    (folder / "9.vpk").symlink_to("7.vpk")
    usage = cache.usage(folder)
    assert (usage.files, usage.size) == (3, 4 + 2 + len("7.vpk"))
    assert usage.free > 0


def test_an_item_goes_with_its_files_unless_an_overlay_uses_it(root):
    folder, item = cache.directory(), make(7)
    for name, size in (("7.vpk", 4), (".7-1-9.part", 2), (".7-2-9.part", 1), ("77.vpk", 8), (".77-1-9.part", 8)):
        (folder / name).write_bytes(bytes(size))
    link = put_in_overlay(item)
    assert cache.remove(item, folder) is None
    assert len(list(folder.iterdir())) == 5
    link.delete()
    assert cache.remove(item, folder) == 7
    assert sorted(path.name for path in folder.iterdir()) == [".77-1-9.part", "77.vpk"]
    assert not WorkshopItem.objects.exists()
    assert cache.remove(make(8), folder) == 0


def answer(steam_id=7, **fields):
    usual = {"title": "T", "file_url": "https://x/7", "file_size": 10, "time_updated": 5, "consumer_app_id": 550}
    return steam.Item(steam_id, **(usual | fields))


def test_usable_items_are_created_or_brought_up_to_date():
    before = make(7, title="old", steam_error="hidden", last_error="download failed: x", cached_version=4)
    later = NOW + timedelta(days=1)
    saved = metadata.save({7: answer(7), 8: answer(8), 9: answer(9, banned=True)}, now=later)
    assert {steam_id: item.title for steam_id, item in saved.items()} == {7: "T", 8: "T"}
    assert WorkshopItem.objects.count() == 2
    row = fresh(before)
    assert (row.title, row.file_size, row.file_url, row.time_updated) == ("T", 10, "https://x/7", 5)
    assert (row.steam_error, row.steam_result, row.refreshed_at) == ("", 1, later)
    assert (row.last_error, row.cached_version) == ("download failed: x", 4)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "unchanged"),
        ({"title": "new"}, "unchanged"),
        ({"time_updated": 6}, "changed"),
        ({"time_updated": 4}, "changed"),
        ({"file_size": 11}, "changed"),
        ({"file_url": "https://y/7"}, "changed"),
        ({"result": 9}, "failed"),
    ],
)
@pytest.mark.parametrize(("error", "kept"), [("download failed: x", True), ("Steam: hidden", False), ("", False)])
def test_a_refresh_tells_what_changed_and_keeps_what_a_download_failed_at(fields, outcome, error, kept):
    item = make(time_updated=5, file_size=10, file_url="https://x/7", last_error=error, steam_error="hidden")
    other = make(8, time_updated=5)
    result = metadata.apply([item, other], {7: answer(7, **fields), 8: answer(8)}, now=NOW)
    assert 7 in getattr(result, outcome)
    assert len(result.changed) + len(result.unchanged) + len(result.failed) == 2
    assert 8 in result.changed, "a failure of one item ends nothing"
    row = fresh(item)
    standing = "Steam: not found on Steam: it was deleted or hidden, or the ID is wrong" if outcome == "failed" else ""
    assert row.last_error == (error if kept else standing)
    assert (row.steam_error, row.steam_result) == (standing.removeprefix("Steam: "), fields.get("result", 1))
    assert row.refreshed_at == NOW
    assert row.time_updated == (5 if outcome == "failed" else fields.get("time_updated", 5))


def test_the_client_is_that_of_the_settings(settings, steam_world):
    settings.LEFT4ME_STEAM_API_URL, settings.STEAM_WEB_API_KEY = steam_world.url, "key"
    settings.LEFT4ME_STEAM_CONTENT_HOSTS = [".steamusercontent.com"]
    steam_world.add(7)
    waits = []
    with metadata.connect(pause=waits.append) as api:
        assert (api.items([7])[7].title, api.items([7])[7].problem) == ("Item 7", "")
        assert api.players([1]) == []
    assert len(waits) == 2, "the pause of the caller is used"
    assert metadata.content_hosts() == metadata.fetch.AllowedHosts.parse([".steamusercontent.com"])


@pytest.mark.parametrize(("count", "end"), [(499, "</ul>"), (500, "</ul>"), (501, "</ul>and 1 more")])
def test_the_admin_shows_the_state_of_an_item_and_the_first_paths_of_its_file(count, end):
    item = make(cached_version=5, time_updated=5)
    assert WorkshopItemAdmin(WorkshopItem, admin.site).shown_state(item) == "Cached"
    paths = [f"{number:03}.vmt" for number in range(count)]
    WorkshopContents.objects.create(item=item, packed_paths=inspection.pack_paths(paths))
    rows = WorkshopContentsAdmin(WorkshopContents, admin.site)
    shown = rows.paths_inside(rows.get_queryset(RequestFactory().get("/")).get())
    assert shown.startswith("<ul><li>000.vmt</li><li>001.vmt</li>")
    assert shown.endswith(f"<li>{min(count, 500) - 1:03}.vmt</li>{end}")
