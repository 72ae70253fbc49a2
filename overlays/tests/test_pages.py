"""Pages of overlays, and their permissions and validation."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from left4me.testing.recorded_run import RecordedRun
from overlays import operations, paths
from overlays.models import Overlay
from overlays.tests.factories import make_overlay

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner_client(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


@pytest.fixture
def admin_client(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.admin)
    return client


def test_without_an_overlay_the_page_leads_to_the_first(owner_client: Client) -> None:
    page = owner_client.get("/overlays").content.decode()
    assert "No overlays yet" in page and "/overlays/new" in page


def test_a_user_makes_a_private_overlay_with_a_directory_of_its_own(cast: Cast, owner_client: Client) -> None:
    form = owner_client.get("/overlays/new").context["form"]
    assert set(form.fields) == {"name", "kind", "expose_cfg", "version"}
    assert "script" not in dict(form.fields["kind"].choices)
    response = owner_client.post("/overlays/new", {"name": "Maps", "kind": "workshop"})
    overlay = Overlay.objects.get()
    assert response.url == overlay.get_absolute_url()
    assert (overlay.owner, overlay.path) == (cast.owner, str(overlay.pk))


def test_a_user_cannot_slip_into_the_catalog(cast: Cast, owner_client: Client) -> None:
    sent = {"name": "Maps", "kind": "files", "is_system": "on", "path": "../evil"}
    owner_client.post("/overlays/new", sent)
    overlay = Overlay.objects.get()
    assert (overlay.owner, overlay.path) == (cast.owner, str(overlay.pk))
    response = owner_client.post("/overlays/new", {"name": "x", "kind": "script"})
    assert response.status_code == 422


def test_a_taken_name_is_told_at_its_field_and_what_was_typed_stays(cast: Cast, owner_client: Client) -> None:
    make_overlay(name="Maps", owner=cast.owner)
    response = owner_client.post("/overlays/new", {"name": "MAPS", "kind": "files"})
    assert response.status_code == 422
    assert response.context["form"].errors == {
        "name": ["You already have an overlay with this name. Choose another name."]
    }
    assert 'value="MAPS"' in response.content.decode()


def test_the_second_of_two_editors_is_told(cast: Cast, owner_client: Client) -> None:
    overlay = make_overlay(name="Maps", owner=cast.owner)
    address = f"/overlays/{overlay.pk}/edit"
    assert owner_client.post(address, {"name": "First", "version": 1}).status_code == 302
    response = owner_client.post(address, {"name": "Second", "version": 1})
    assert response.status_code == 409 and 'value="Second"' in response.content.decode()
    overlay.refresh_from_db()
    assert overlay.name == "First"


def test_catalog_overlays_are_looked_at_by_all_and_changed_by_admins(
    owner_client: Client, admin_client: Client
) -> None:
    overlay = make_overlay()
    assert owner_client.get(f"/overlays/{overlay.pk}").status_code == 200
    assert owner_client.get(f"/overlays/{overlay.pk}/edit").status_code == 403
    assert owner_client.post(f"/overlays/{overlay.pk}/delete").status_code == 403
    assert admin_client.post(f"/overlays/{overlay.pk}/edit", {"name": "new", "version": 1}).status_code == 302


def test_deleting_an_overlay_removes_its_own_directory_by_a_job(
    cast: Cast, owner_client: Client, left4me_root: Path
) -> None:
    owner_client.post("/overlays/new", {"name": "Maps", "kind": "files"})
    overlay = Overlay.objects.get()
    (paths.directory(overlay) / "left4dead2").mkdir(parents=True)
    assert owner_client.post(f"/overlays/{overlay.pk}/delete").status_code == 302
    job = Job.objects.get()
    assert (job.operation, job.resource) == ("remove_overlay", f"overlay:{overlay.pk}")


def test_removal_deletes_the_directory_and_nothing_that_a_link_in_it_points_at(left4me_root: Path) -> None:
    outside = left4me_root / "outside"
    outside.mkdir()
    (outside / "precious").write_text("stays")
    tree = left4me_root / "overlays" / "77"
    tree.mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    for _twice in range(2):
        operations.remove_overlay(RecordedRun("overlay:77"))
    assert not tree.exists() and (outside / "precious").exists()


def test_removal_leaves_the_files_of_an_overlay_that_exists(left4me_root: Path) -> None:
    overlay = make_overlay()
    tree = left4me_root / "overlays" / str(overlay.pk)
    tree.mkdir(parents=True)
    with pytest.raises(Exception, match="still exists"):
        operations.remove_overlay(RecordedRun(overlay.resource))
    assert tree.exists()


# --- directories that admins type -----------------------------------------------------------------------------


def test_an_admin_places_an_existing_directory_into_the_catalog(admin_client: Client, left4me_root: Path) -> None:
    (left4me_root / "overlays" / "sourcemod").mkdir(parents=True)
    sent = {"name": "SourceMod", "kind": "files", "is_system": "on", "path": "./sourcemod/"}
    assert admin_client.post("/overlays/new", sent).status_code == 302
    assert (Overlay.objects.get().path, Overlay.objects.get().owner) == ("sourcemod", None)


@pytest.mark.parametrize("path", ["..", "a/../..", "/etc", ".", "./", "link", "link/below", "a\x00b", "a\\..\\b"])
def test_a_directory_that_leaves_the_root_is_refused(admin_client: Client, left4me_root: Path, path: str) -> None:
    (left4me_root / "overlays").mkdir()
    (left4me_root / "overlays" / "link").symlink_to("/etc")
    sent = {"name": "x", "kind": "files", "is_system": "on", "path": path}
    response = admin_client.post("/overlays/new", sent)
    assert response.status_code == 422 and "path" in response.context["form"].errors
    assert not Overlay.objects.exists()


@pytest.mark.parametrize("path", ["shared", "shared/inner", "shared/a/b/c"])
def test_overlays_do_not_stand_inside_each_other(admin_client: Client, left4me_root: Path, path: str) -> None:
    make_overlay(path=path if path == "shared" else "shared")
    sent = {"name": "x", "kind": "files", "is_system": "on", "path": path}
    assert "path" in admin_client.post("/overlays/new", sent).context["form"].errors


def test_an_overlay_does_not_stand_around_another(admin_client: Client, left4me_root: Path) -> None:
    make_overlay(path="shared/inner")
    sent = {"name": "x", "kind": "files", "is_system": "on", "path": "shared"}
    assert "path" in admin_client.post("/overlays/new", sent).context["form"].errors
    assert admin_client.post("/overlays/new", {**sent, "path": "shared/innermost"}).status_code == 302


def test_a_user_cannot_have_overlays_without_end(
    cast: Cast, owner_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overlays.actions.MOST_OVERLAYS", 1)
    make_overlay(owner=cast.owner)
    refused = owner_client.post("/overlays/new", {"name": "another", "kind": "files"})
    assert refused.status_code == 422
    assert "A user can have 1 overlays" in refused.content.decode()
    assert cast.owner.overlays.count() == 1
