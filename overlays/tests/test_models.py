"""The rows of overlays: who sees them, what the database refuses, and what they say about themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from overlays.models import (
    DeletedFile,
    Overlay,
    OverlayAddon,
    OverlayCollection,
    OverlayContents,
    OverlayCopy,
    OverlayMatchModes,
    OverlayScript,
    OverlayWorkshopItem,
    Upload,
)
from overlays.tests.factories import make_overlay
from workshop import inspection
from workshop.missions import Campaign, Chapter
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def test_the_migrations_make_what_the_models_say():
    call_command("makemigrations", "overlays", check_changes=True, dry_run=True, verbosity=0)


def test_an_admin_sees_all_and_may_use_what_everybody_may_and_his_own(cast):
    shared, theirs, own = (make_overlay(owner=owner) for owner in (None, cast.owner, cast.admin))
    assert set(Overlay.objects.visible_to(cast.admin)) == {shared, theirs, own}
    assert set(Overlay.objects.usable_by(cast.admin)) == {shared, own}
    assert set(Overlay.objects.visible_to(cast.owner)) == {shared, theirs}
    assert set(Overlay.objects.visible_to(cast.stranger)) == {shared}
    assert set(Overlay.objects.system()) == {shared}
    assert [overlay.is_system for overlay in (shared, theirs)] == [True, False]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "TAKEN", "path": "x"},
        {"name": "x", "path": "taken"},
        {"name": "", "path": "x"},
        {"name": "x", "path": "x", "kind": "other"},
        {"name": "x", "path": ""},
        {"name": "x", "path": "."},
        {"name": "x", "path": "/x"},
        {"name": "x", "path": "a/../../x"},
    ],
)
def test_the_database_refuses_what_no_action_makes(fields):
    make_overlay(name="taken", path="taken")
    with pytest.raises(IntegrityError), transaction.atomic():
        Overlay.objects.create(**fields)
    with pytest.raises(ValidationError):
        Overlay(**fields).full_clean()


def test_names_are_unique_for_an_owner_and_scripts_belong_to_the_catalog(cast):
    make_overlay(name="mine", owner=cast.owner)
    make_overlay(name="Mine", owner=cast.stranger)
    make_overlay(name="MINE")
    make_overlay(kind="script")
    for fields in ({"name": "minE", "owner": cast.owner}, {"kind": "script", "owner": cast.owner}):
        with pytest.raises(IntegrityError), transaction.atomic():
            make_overlay(**fields)


def test_a_program_is_refused_until_its_present_version_is_allowed():
    overlay = Overlay(programs={"b": "1", "a": "2", "c": "3"}, allowed_programs={"a": "old", "c": "3", "d": "4"})
    assert overlay.refused_programs == ["a", "b"]


def test_a_change_counts_up_and_takes_both_measures_or_none():
    overlay = make_overlay(file_count=1, size_bytes=2, content_version=3)
    for measures, expected in (
        ({}, (4, 1, 2)),
        ({"file_count": 9}, (5, 1, 2)),
        ({"size_bytes": 9}, (6, 1, 2)),
        ({"file_count": 0, "size_bytes": 0}, (7, 0, 0)),
    ):
        overlay.record_change(now=NOW, **measures)
        row = Overlay.objects.get()
        assert (row.content_version, row.file_count, row.size_bytes) == expected
        assert (row.built_at, row.is_inspected) == (NOW, True)


def test_bytes_are_counted_in_at_once_and_never_below_none():
    overlay, other = make_overlay(size_bytes=10), make_overlay(size_bytes=1)
    for added, size in ((5, 15), (-3, 12), (-20, 0)):
        overlay.count_in(added)
        overlay.refresh_from_db()
        assert overlay.size_bytes == size
    other.refresh_from_db()
    assert other.size_bytes == 1


def test_overlays_stand_as_people_sort_and_with_how_many_use_them():
    for name in ("Pack 10", "pack 9", "Other"):
        make_overlay(name=name)
    assert [overlay.name for overlay in Overlay.objects.all()] == ["Other", "pack 9", "Pack 10"]
    assert [(overlay.name, overlay.used_by) for overlay in Overlay.objects.counted()] == [
        ("Other", 0),
        ("pack 9", 0),
        ("Pack 10", 0),
    ]


def test_an_addon_takes_what_was_found_and_is_called_by_its_title_its_campaign_or_its_file():
    addon = OverlayAddon(path="left4dead2/addons/a.vpk", title="old", version="old", website="old", reason="old")
    assert str(addon) == "old"
    campaign = Campaign("w", "Walls", "1", "me", modes={"coop": (Chapter(1, "w1", "One"),)})
    found = inspection.Inspection(
        valid=True, author="me", version="2", website="https://x.org", campaigns=(campaign,), maps=("w1", "w2")
    )
    addon.take(found)
    assert (addon.is_valid, addon.author, addon.version, addon.website) == (True, "me", "2", "https://x.org")
    assert (addon.reason, addon.title) == ("", "")
    assert [chapter["map"] for chapter in addon.chapters] == ["w1", "w2"]
    assert str(addon) == "Walls"
    addon.campaigns = [*addon.campaigns, *addon.campaigns]
    assert str(addon) == "a.vpk"


def test_rows_are_named_for_people(cast):
    overlay = make_overlay(name="Pack")
    item = WorkshopItem.objects.create(steam_id=7)
    pk = overlay.pk
    link = OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    for row, text in (
        (overlay, "Pack"),
        (link, f"{pk}: {item.pk}"),
        (OverlayCopy(overlay=overlay, host="two"), f"{pk}@two"),
        (OverlayCollection(steam_id=9), "9"),
        (OverlayCollection(steam_id=9, title="Maps"), "Maps"),
        (OverlayContents(overlay=overlay), str(pk)),
        (OverlayMatchModes(overlay=overlay), str(pk)),
        (OverlayScript(overlay=overlay), str(pk)),
        (Upload(overlay=overlay, path="a/b.txt"), f"{pk}: a/b.txt"),
        (DeletedFile(path="a/b.txt"), "b.txt"),
    ):
        assert str(row) == text
    assert Upload(path="a/b/c.txt").name == "c.txt"
    assert overlay.resource == f"overlay:{pk}"
    assert DeletedFile(deleted_at=NOW).kept_until == NOW + timedelta(days=7)
    assert OverlayContents(packed_game_paths=inspection.pack_paths(["a", "B"])).game_paths == ["a", "B"]
