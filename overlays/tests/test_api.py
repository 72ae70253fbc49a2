"""The JSON API of overlays."""

from __future__ import annotations

from pathlib import Path

import pytest

from left4me.testing import wire
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from overlays.models import Overlay
from overlays.tests.factories import make_overlay

pytestmark = pytest.mark.django_db
WIRE = Path(__file__).parent / "wire"


def test_the_wire_of_overlays(cast: Cast, api: Caller) -> None:
    api = api.by(cast.owner)
    overlay = make_overlay(name="Maps", kind="workshop", path="maps", content_version=3, size_bytes=5_000_000_000)
    make_overlay(name="Mine", owner=cast.owner, path="mine")
    wire.check(api.get("/overlays")[1], WIRE / "overlays.json")
    wire.check(api.get(f"/overlays/{overlay.pk}")[1], WIRE / "overlay.json")


def test_an_overlay_is_made_changed_and_removed(cast: Cast, api: Caller) -> None:
    api = api.by(cast.owner)
    status, made = api.post("/overlays", {"name": "Maps", "kind": "workshop"})
    assert (status, made["owner"], made["path"], made["used_by"]) == (201, "anna", str(made["id"]), 0)
    status, changed = api.patch(f"/overlays/{made['id']}", {"version": 1, "expose_cfg": True})
    assert (status, changed["expose_cfg"], changed["name"], changed["version"]) == (200, True, "Maps", 2)
    status, problem = api.patch(f"/overlays/{made['id']}", {"version": 1, "name": "Other"})
    assert (status, problem["version"]) == (409, 2)
    assert api.delete(f"/overlays/{made['id']}") == (204, "")
    assert not Overlay.objects.exists()


@pytest.mark.parametrize("extra", [{"is_system": True}, {"kind": "script"}, {"path": "shared"}])
def test_what_only_admins_make_is_refused_to_others(cast: Cast, api: Caller, extra: dict[str, object]) -> None:
    assert api.by(cast.owner).post("/overlays", {"name": "x", **extra})[0] == 403
    assert not Overlay.objects.exists()


def test_an_admin_adds_to_the_catalog(cast: Cast, api: Caller) -> None:
    status, made = api.by(cast.admin).post("/overlays", {"name": "x", "kind": "script", "is_system": True})
    assert (status, made["owner"]) == (201, None)
    status, problem = api.by(cast.admin).post("/overlays", {"name": "y", "kind": "script"})
    assert status == 422 and problem["errors"][0]["field"] == "kind"


@pytest.mark.parametrize("path", ["../evil", "/etc", ".", "a/../../b", "a\\b"])
def test_a_directory_outside_of_the_root_is_refused(cast: Cast, api: Caller, path: str) -> None:
    status, problem = api.by(cast.admin).post("/overlays", {"name": "x", "is_system": True, "path": path})
    assert status == 422 and problem["errors"][0]["field"] == "path"


def test_the_list_is_the_catalog_and_ones_own(cast: Cast, api: Caller) -> None:
    make_overlay(name="catalog")
    make_overlay(name="mine", owner=cast.owner, kind="workshop")
    make_overlay(name="foreign", owner=cast.stranger)

    def names(user: object, query: str = "") -> list[str]:
        return [item["name"] for item in api.by(user).get(f"/overlays{query}")[1]["items"]]

    assert names(cast.owner) == ["catalog", "mine"]
    assert names(cast.admin) == ["catalog", "foreign", "mine"]
    assert names(cast.owner, "?kind=workshop") == ["mine"]
    assert names(cast.owner, "?q=CAT") == ["catalog"]
