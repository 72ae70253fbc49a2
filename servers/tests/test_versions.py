"""Versions of blueprints: kept by every save, compared, restored, and left when a server fails."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from left4me.core import rows
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers import actions
from servers.actions import blueprints
from servers.blueprints import versions
from servers.models import Blueprint, GameAccess, GamePerson, Server
from servers.tests.factories import make_blueprint, make_server

NICK = "76561197960287930"


@pytest.fixture
def blueprint(cast: Cast) -> Blueprint:
    """A blueprint that was saved twice: the second time with another map and without its overlay."""
    overlay = make_overlay(name="maps", owner=cast.owner)
    row = actions.create_blueprint(
        owner=cast.owner, by=cast.owner, name="versus", arguments="+map c1m1_hotel", overlays=[overlay]
    )
    return actions.update_blueprint(
        blueprint=row, seen_version=1, by=cast.owner, arguments="+map c2m1_highway", overlays=[]
    )


def lines(blueprint: Blueprint) -> list[tuple[str, str, str]]:
    newest, before = blueprint.versions.all()[:2]
    return [
        (change.area, change.before, change.after) for change in versions.differences(before.content, newest.content)
    ]


def test_every_save_keeps_a_version_with_who_and_what(cast: Cast, blueprint: Blueprint):
    assert list(blueprint.versions.values_list("number", "user__username")) == [(2, "anna"), (1, "anna")]
    assert lines(blueprint) == [
        ("overlays", "maps (content 0)", ""),
        ("arguments", "+map c1m1_hotel", ""),
        ("arguments", "", "+map c2m1_highway"),
    ]


def test_blank_lines_are_no_difference(cast: Cast, blueprint: Blueprint):
    actions.update_blueprint(blueprint=blueprint, seen_version=2, by=cast.owner, config="sv_alltalk 1\n\n")
    assert lines(blueprint) == [("config", "", "sv_alltalk 1")]


def test_a_save_without_a_change_keeps_no_version(cast: Cast, blueprint: Blueprint):
    actions.update_blueprint(blueprint=blueprint, seen_version=2, by=cast.owner, description="")
    assert blueprint.versions.count() == 2


def test_a_blueprint_from_before_versions_keeps_what_it_was(cast: Cast):
    old = make_blueprint(cast.owner, config="sv_alltalk 1")
    actions.update_blueprint(blueprint=old, seen_version=1, by=cast.owner, config="sv_alltalk 0")
    assert [row.content["config"] for row in old.versions.all()] == ["sv_alltalk 0", "sv_alltalk 1"]


def test_a_restored_version_becomes_a_new_one(cast: Cast, blueprint: Blueprint):
    saved, left_out = actions.restore_version(blueprint=blueprint, number=1, by=cast.owner)
    assert (saved.version, saved.arguments, left_out) == (3, "+map c1m1_hotel", [])
    assert [overlay.name for overlay in saved.layers] == ["maps"]
    assert [row.number for row in saved.versions.all()] == [3, 2, 1]


def test_a_deleted_overlay_is_left_out_and_named(cast: Cast, blueprint: Blueprint):
    Overlay.objects.all().delete()
    saved, left_out = actions.restore_version(blueprint=blueprint, number=1, by=cast.owner)
    assert (saved.layers, left_out) == ([], ["maps"])


def test_a_change_of_the_admins_keeps_a_version_and_restoring_brings_them_back(cast: Cast, blueprint: Blueprint):
    nick = actions.set_person(of=blueprint, person=NICK, name="Nick", role="moderator", immunity=5, by=cast.owner)
    vera = actions.set_person(of=blueprint, person="vera", by=cast.owner)
    assert lines(blueprint) == [("access", "", "vera: Admin")]
    actions.set_rules(of=blueprint, by=cast.owner, whitelist=True)
    assert lines(blueprint) == [("access", "", "Only listed people may join.")]
    actions.remove_person(row=nick, by=cast.owner)
    assert lines(blueprint) == [("access", f"Nick ({NICK}): Moderator, immunity 5", "")]
    blueprint.refresh_from_db()
    assert blueprint.version == 6
    actions.restore_version(blueprint=blueprint, number=4, by=cast.owner)
    assert list(GamePerson.objects.of(blueprint).values_list("name", "user", "immunity")) == [
        ("", vera.user_id, 0),
        ("Nick", None, 5),
    ]
    assert not GameAccess.objects.get().whitelist
    blueprint.refresh_from_db()
    actions.restore_version(blueprint=blueprint, number=2, by=cast.owner)
    assert not GamePerson.objects.exists()


def test_a_deleted_user_is_left_off_the_restored_list_and_named(cast: Cast, blueprint: Blueprint):
    row = actions.set_person(of=blueprint, person="vera", by=cast.owner)
    actions.remove_person(row=row, by=cast.owner)
    cast.viewer.delete()
    blueprint.refresh_from_db()
    _saved, left_out = actions.restore_version(blueprint=blueprint, number=3, by=cast.owner)
    assert left_out == ["vera"]
    assert not GamePerson.objects.exists()


def test_a_version_of_an_older_release_leaves_the_admins_as_they_are(cast: Cast, blueprint: Blueprint):
    for version in blueprint.versions.all():
        del version.content["access"]
        version.save()
    GamePerson.objects.create(blueprint=blueprint, user=cast.viewer)
    actions.set_person(of=blueprint, person=NICK, by=cast.owner)
    # The lists belong to the newest version from before: only what was added since is a change.
    assert lines(blueprint) == [("access", "", f"{NICK}: Admin")]
    blueprint.refresh_from_db()
    actions.restore_version(blueprint=blueprint, number=1, by=cast.owner)
    assert GamePerson.objects.count() == 2


def test_a_version_that_does_not_exist_cannot_be_restored(cast: Cast, blueprint: Blueprint):
    with pytest.raises(rows.Gone):
        actions.restore_version(blueprint=blueprint, number=9, by=cast.owner)


def test_only_so_many_versions_are_kept(cast: Cast, monkeypatch: pytest.MonkeyPatch, blueprint: Blueprint):
    monkeypatch.setattr(blueprints, "MOST_VERSIONS", 3)
    for number in range(2, 8):
        actions.update_blueprint(
            blueprint=blueprint, seen_version=number, by=cast.owner, config=f"sv_gametypes {number}"
        )
    assert [row.number for row in blueprint.versions.all()] == [8, 7, 6]


def test_the_pages_show_what_changed_and_restore(client: Client, cast: Cast, blueprint: Blueprint):
    client.force_login(cast.owner)
    page = client.get(f"/blueprints/{blueprint.pk}/versions").content.decode()
    assert "+ +map c2m1_highway" in page
    assert "The first version that is kept." in page
    page = client.get(f"/blueprints/{blueprint.pk}/versions/1").content.decode()
    assert "+ +map c1m1_hotel" in page
    client.post(f"/blueprints/{blueprint.pk}/versions/1/restore")
    blueprint.refresh_from_db()
    assert blueprint.arguments == "+map c1m1_hotel"
    assert client.get(f"/blueprints/{blueprint.pk}/versions/99").status_code == 404


def test_the_api_lists_and_restores(api: Caller, cast: Cast, blueprint: Blueprint):
    anna = api.by(cast.owner)
    status, page = anna.get(f"/blueprints/{blueprint.pk}/versions")
    assert (status, page["count"], page["items"][1]["content"]["overlays"][0]["name"]) == (200, 2, "maps")
    assert page["items"][1]["content"]["access"] == {
        "team_are_admins": False,
        "whitelist": False,
        "reserved_slots": 0,
        "people": [],
    }
    status, restored = anna.post(f"/blueprints/{blueprint.pk}/versions/1/restore")
    assert (status, restored["arguments"], restored["version"]) == (200, ["+map c1m1_hotel"], 3)
    assert api.by(cast.stranger).get(f"/blueprints/{blueprint.pk}/versions")[0] == 404


def test_a_server_that_fails_after_a_change_offers_to_start_without_it(
    client: Client, cast: Cast, blueprint: Blueprint, redis_client: object
):
    server = make_server(cast.owner, blueprint=blueprint, last_error="It crashed.", desired_state="running")
    client.force_login(cast.owner)
    page = f"/servers/{server.pk}"
    assert "Start without the last change" in client.get(page).content.decode()
    client.post(f"{page}/undo")
    blueprint.refresh_from_db()
    assert blueprint.arguments == "+map c1m1_hotel"
    assert Job.objects.get().operation == "start"
    # A change of last month is not suspected, and a server that is well offers nothing.
    blueprint.versions.update(created_at=timezone.now() - timedelta(days=30))
    assert "Start without the last change" not in client.get(page).content.decode()
    blueprint.versions.update(created_at=timezone.now())
    Server.objects.update(last_error="")
    assert "Start without the last change" not in client.get(page).content.decode()


def test_a_save_that_changed_nothing_is_not_the_change_that_is_undone(
    client: Client, cast: Cast, blueprint: Blueprint, redis_client: object
):
    actions.update_blueprint(blueprint=blueprint, seen_version=2, by=cast.owner, description="")
    Overlay.objects.all().delete()
    server = make_server(cast.owner, blueprint=blueprint, last_error="It crashed.", desired_state="running")
    client.force_login(cast.owner)
    answer = client.post(f"/servers/{server.pk}/undo", follow=True)
    blueprint.refresh_from_db()
    assert blueprint.arguments == "+map c1m1_hotel"
    assert "because they were deleted: maps." in answer.content.decode()


def test_the_admins_are_no_change_that_is_undone_and_stay(
    client: Client, cast: Cast, blueprint: Blueprint, redis_client: object
):
    actions.set_person(of=blueprint, person=NICK, by=cast.owner)
    server = make_server(cast.owner, blueprint=blueprint, last_error="It crashed.", desired_state="running")
    client.force_login(cast.owner)
    client.post(f"/servers/{server.pk}/undo")
    blueprint.refresh_from_db()
    assert blueprint.arguments == "+map c1m1_hotel"
    assert GamePerson.objects.of(blueprint).count() == 1


def test_without_an_earlier_version_there_is_nothing_to_undo(client: Client, cast: Cast, redis_client: object):
    server = make_server(cast.owner, last_error="It crashed.")
    client.force_login(cast.owner)
    answer = client.post(f"/servers/{server.pk}/undo", follow=True)
    assert "No earlier version of the blueprint is kept." in answer.content.decode()
    assert not Job.objects.exists()
