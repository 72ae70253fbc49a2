"""Which overlays need attention, why, and what helps."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from left4me.jobs.models import Job
from overlays import attention
from overlays.campaigns import sources
from overlays.models import Overlay, OverlayAddon, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db


def add_item(overlay, steam_id, **fields):
    fields.setdefault("linked", 1)
    linked = fields.pop("linked")
    item = WorkshopItem.objects.create(steam_id=steam_id, **({"is_valid": True} | fields))
    return OverlayWorkshopItem.objects.create(overlay=overlay, item=item, linked_version=linked)


def add_build(overlay, state, **fields):
    fields = {"operation": "build", "host": "local", "finished_at": timezone.now()} | fields
    return Job.objects.create(resource=overlay.resource, state=state, **fields)


def kinds(overlays, user):
    return {pk: [reason.kind for reason in found] for pk, found in attention.of_overlays(overlays, user=user).items()}


@pytest.fixture
def well(cast):
    """An overlay of each kind of which all is well."""
    made = {kind: make_overlay(kind=kind, built_at=timezone.now()) for kind in ("files", "workshop", "script")}
    add_item(made["workshop"], 1)
    OverlayAddon.objects.create(overlay=made["files"], path="a.vpk", is_valid=True)
    OverlayAddon.objects.create(overlay=made["files"], path="b.vpk", is_valid=None)
    add_build(made["files"], Job.State.FAILED)
    add_build(made["files"], Job.State.SUCCEEDED)
    add_build(made["files"], Job.State.FAILED, operation="unpack")
    return made


def test_of_overlays_that_are_well_nothing_is_said_in_one_query(well, cast, django_assert_num_queries):
    overlays = list(well.values())
    with django_assert_num_queries(1):
        assert attention.faulty() == []
    with django_assert_num_queries(1):
        assert attention.of_overlays(overlays, user=cast.admin) == {}
    with django_assert_num_queries(0):
        assert attention.of_overlays([], user=cast.admin) == {}
        assert attention.of_suspects([], user=cast.admin) == {}
    assert [list(each.attention) for each in attention.annotate(overlays, user=cast.admin)] == [[], [], []]
    assert attention.subjects(overlays, user=cast.admin) == []
    assert attention.mend_overlay(cast.admin, str(overlays[0].pk)) is None


def test_an_overlay_that_was_never_built_is_looked_at_but_has_no_fault(well, cast):
    new = {kind: make_overlay(kind=kind) for kind in ("files", "workshop", "script")}
    allowed = make_overlay(programs={"a": "1"}, allowed_programs={"a": "1"})
    suspects = {overlay.pk for overlay in attention.suspects()}
    assert suspects == {new["workshop"].pk, new["script"].pk, allowed.pk}
    assert attention.faulty() == []
    assert kinds([*new.values(), allowed], cast.admin) == {}


def test_every_fault_has_its_reason_and_the_worst_comes_first(well, cast, django_assert_max_num_queries):
    files, workshop = well["files"], well["workshop"]
    files.programs = {"bin/x.so": "1"}
    files.save()
    add_build(files, Job.State.FAILED, error="e" * 400)
    # A build that was cancelled says nothing about the content.
    add_build(files, Job.State.CANCELLED)
    OverlayAddon.objects.create(overlay=files, path="c.vpk", is_valid=False)
    for steam_id, fault in ((2, {"last_error": "x"}), (3, {"steam_error": "x"}), (4, {"is_valid": False})):
        add_item(workshop, steam_id, **fault)
    with django_assert_max_num_queries(4):
        assert attention.faulty() == sorted([files.pk, workshop.pk])
    overlays = list(well.values())
    with django_assert_max_num_queries(4):
        found = kinds(overlays, cast.admin)
    assert found == {files.pk: ["programs", "build", "content"], workshop.pk: ["content"]}
    of_files, of_items = (attention.of_overlays(overlays, user=cast.admin)[row.pk] for row in (files, workshop))
    assert [reason.severity.value for reason in of_files] == ["bad", "warn", "warn"]
    assert of_files[1].text == f"The last build failed: {'e' * 300}"
    assert (of_files[2].label, of_files[2].text) == ("1 failed", "1 file or item cannot be used.")
    assert (of_items[0].label, of_items[0].text) == ("3 failed", "3 files or items cannot be used.")
    assert of_files[2].url == f"{files.get_absolute_url()}#campaigns"
    assert of_items[0].url == reverse("overlays:items", args=[workshop.pk]) + "?only=failed"
    assert [reason.cure and reason.cure.operation for reason in of_files] == ["allow_programs", "build", None]
    assert of_items[0].cure.label == "Retry"
    assert attention.mend_overlay(cast.admin, str(files.pk)).operation == "allow_programs"
    assert attention.mend_overlay(cast.admin, str(workshop.pk)).url == reverse("overlays:build", args=[workshop.pk])
    annotated = attention.annotate(overlays, user=cast.admin)
    assert [len(each.attention) for each in annotated] == [3, 1, 0]
    assert [(each.id, each.name, len(each.reasons)) for each in attention.subjects(overlays, user=cast.admin)] == [
        (files.pk, files.name, 3),
        (workshop.pk, workshop.name, 1),
    ]


def test_who_may_not_mend_it_is_told_but_offered_nothing(well, cast):
    theirs = make_overlay(owner=cast.owner, programs={"x": "1"})
    add_build(theirs, Job.State.FAILED)
    for user, cures in (
        (cast.admin, ["allow_programs", "build"]),
        (cast.owner, [None, "build"]),
        (cast.stranger, [None, None]),
    ):
        reasons = attention.of_overlays([theirs], user=user)[theirs.pk]
        assert [reason.cure and reason.cure.operation for reason in reasons] == cures
    assert attention.mend_overlay(cast.stranger, str(theirs.pk)) is None


def test_faults_are_counted_for_each_overlay(well):
    one, two = make_overlay(kind="workshop"), make_overlay()
    for steam_id in (5, 6):
        add_item(one, steam_id, last_error="x")
    OverlayAddon.objects.create(overlay=one, path="a", is_valid=False)
    OverlayAddon.objects.create(overlay=two, path="a", is_valid=False)
    assert sources.fault_counts([one.pk, two.pk, well["files"].pk]) == {one.pk: 3, two.pk: 1}


def test_a_source_is_an_item_or_an_addon(cast):
    item = WorkshopItem(
        steam_id=7, title="T", file_size=5, last_error="e", preview_url="https://p", chapters=[{"map": "m"}]
    )
    source = sources.Source(1, item=item)
    assert (source.title, source.path, source.size, source.reason) == ("T", "left4dead2/addons/7.vpk", 5, "e")
    assert (source.link, source.preview_url) == (item.get_absolute_url(), "https://p")
    assert (source.kind, source.other_maps) == ("Workshop item", ["m"])
    addon = OverlayAddon(path="left4dead2/addons/A.VPK", size=6, reason="r", website="https://w", chapters=[])
    source = sources.Source(1, addon=addon)
    assert (source.title, source.path, source.size, source.reason) == ("A.VPK", addon.path, 6, "r")
    assert (source.link, source.preview_url, source.kind) == ("https://w", "", "VPK")
    addon.link, addon.path = "https://l", "left4dead2/maps"
    addon.warnings = [{"code": "game_scripts", "names": ["a"], "count": 3}, {"code": "unknown"}]
    assert (source.link, source.kind) == ("https://l", "Loose files")
    assert [(warning.names, warning.more) for warning in source.warnings] == [(("a",), 2)]
    with pytest.raises(ValueError, match="an addon or a workshop item"):
        sources.Source(1).title  # noqa: B018 -- reading it raises


def test_the_maps_of_overlays_are_those_that_can_be_played(cast):
    overlay, other = make_overlay(kind=Overlay.Kind.WORKSHOP), make_overlay()
    chapter = {"map": "m", "title": "M", "campaign": "C", "modes": ["coop"]}
    add_item(overlay, 1, chapters=[chapter], preview_url="https://p")
    add_item(overlay, 2, chapters=[chapter], is_valid=False)
    add_item(overlay, 3, chapters=[chapter], is_valid=None, linked=None)
    OverlayAddon.objects.create(overlay=overlay, path="a", chapters=[chapter], is_valid=True)
    OverlayAddon.objects.create(overlay=overlay, path="b", chapters=[chapter], is_valid=False)
    found = sources.chapters([overlay.pk, other.pk])
    assert found == {overlay.pk: [chapter, {**chapter, "preview_url": "https://p"}, {**chapter, "preview_url": ""}]}
    # Of an overlay, what is linked is listed: with maps, warnings or a fault.
    OverlayAddon.objects.create(overlay=overlay, path="c", is_valid=True)
    OverlayAddon.objects.create(overlay=overlay, path="d", is_valid=True, warnings=[{"code": "game_scripts"}])
    assert [source.path for source in sources.of_overlay(overlay)] == [
        "a",
        "b",
        "d",
        "left4dead2/addons/1.vpk",
        "left4dead2/addons/2.vpk",
    ]
    assert len(sources.of_overlays([overlay.pk])[overlay.pk]) == 6
    assert sources.of_overlay(other) == []
