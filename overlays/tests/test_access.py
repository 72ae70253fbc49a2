"""Who may see, use and change overlays, and what one is told who may not."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404

from overlays import lookups, permissions
from overlays.models import OverlayAddon
from overlays.tests.factories import make_overlay

RIGHTS = {
    "see": permissions.can_see_overlay,
    "use": permissions.can_use_overlay,
    "edit": permissions.can_edit_overlay,
    "files": permissions.can_edit_files,
}


@pytest.fixture
def users(cast):
    cast.operator.is_active = False
    cast.operator.save()
    return {
        "owner": cast.owner,
        "stranger": cast.stranger,
        "admin": cast.admin,
        "inactive": cast.operator,
        "nobody": AnonymousUser(),
    }


def rights(user, overlay):
    return " ".join(name for name, may in RIGHTS.items() if may(user, overlay))


@pytest.mark.parametrize(
    ("kind", "is_system", "expected"),
    [
        ("files", True, {"owner": "see use", "stranger": "see use", "admin": "see use edit files"}),
        ("files", False, {"owner": "see use edit files", "stranger": "", "admin": "see edit files"}),
        ("workshop", True, {"owner": "see use", "stranger": "see use", "admin": "see use edit"}),
        ("workshop", False, {"owner": "see use edit", "stranger": "", "admin": "see edit"}),
        ("script", True, {"owner": "see use", "stranger": "see use", "admin": "see use edit"}),
    ],
)
def test_each_kind_of_user_has_its_rights(users, kind, is_system, expected):
    overlay = make_overlay(kind=kind, owner=None if is_system else users["owner"])
    found = {name: rights(users[name], overlay) for name in ("owner", "stranger", "admin")}
    assert found == expected
    for name in ("inactive", "nobody"):
        assert rights(users[name], overlay) == ("use" if is_system else "")


def test_who_is_not_active_changes_not_even_what_is_his(users):
    overlay = make_overlay(owner=users["inactive"])
    assert rights(users["inactive"], overlay) == "use"


def test_only_admins_do_what_concerns_everybody(users):
    for may, check, words in (
        (permissions.can_make_system_overlay, permissions.check_can_make_system_overlay, "create system overlays"),
        (permissions.can_allow_programs, permissions.check_can_allow_programs, "allow programs of the game"),
    ):
        assert {name for name, user in users.items() if may(user)} == {"admin"}
        check(users["admin"])
        with pytest.raises(PermissionDenied, match=words):
            check(users["owner"])


def test_the_audience_of_an_overlay_is_its_owner_or_everybody(cast):
    shared, theirs, other = make_overlay(), make_overlay(owner=cast.owner), make_overlay(owner=cast.stranger)
    assert permissions.audience([shared.pk, theirs.pk, 0]) == {shared.pk: None, theirs.pk: {cast.owner.pk}}
    assert permissions.audience([other.pk]) == {other.pk: {cast.stranger.pk}}


FINDERS = {
    "overlay": lookups.overlay_or_404,
    "edit": lookups.overlay_to_edit,
    "with_files": lookups.overlay_with_files,
    "edit_files": lookups.files_to_edit,
    "workshop": lookups.workshop_overlay,
    "edit_workshop": lookups.workshop_overlay_to_edit,
}


def outcome(find, user, overlay):
    try:
        assert find(user, overlay.pk) == overlay
    except Http404 as fault:
        return str(fault)
    except PermissionDenied as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [
        ("files", {"overlay", "edit", "with_files", "edit_files"}),
        ("script", {"overlay", "edit", "with_files"}),
        ("workshop", {"overlay", "edit", "workshop", "edit_workshop"}),
    ],
)
def test_an_overlay_is_found_by_who_may_and_where_it_fits(cast, kind, fitting):
    overlay = make_overlay(kind=kind)
    for name, find in FINDERS.items():
        assert (outcome(find, cast.admin, overlay) == "") is (name in fitting), name
        refusal = outcome(find, cast.owner, overlay)
        if name in fitting:
            assert refusal == ("Only admins can change system overlays." if name.startswith("edit") else "")
        else:
            assert refusal
    overlay.owner = None if kind == "script" else cast.owner
    overlay.save()
    if kind != "script":
        assert {outcome(find, cast.stranger, overlay) for find in FINDERS.values()} == {"Overlay not found."}
        assert {name for name, find in FINDERS.items() if not outcome(find, cast.owner, overlay)} == fitting
    overlay.pk = 0
    assert {outcome(find, cast.admin, overlay) for find in FINDERS.values()} == {"Overlay not found."}


def test_an_addon_is_found_in_its_own_overlay(cast):
    overlay, other = make_overlay(owner=cast.owner), make_overlay(owner=cast.owner)
    addon = OverlayAddon.objects.create(overlay=overlay, path="a.vpk")
    assert lookups.addon_to_edit(cast.owner, overlay.pk, addon.pk) == addon
    with pytest.raises(Http404, match="no longer exists"):
        lookups.addon_to_edit(cast.owner, other.pk, addon.pk)
    with pytest.raises(Http404, match="Overlay not found"):
        lookups.addon_to_edit(cast.stranger, overlay.pk, addon.pk)
