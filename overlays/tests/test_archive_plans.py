"""The plan of an uploaded archive: seen before it is applied, changed, applied, discarded; on the page and by API."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.jobs.models import JobLog
from left4me.testing.jobs import drain
from overlays.files import uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


PACKS = zipped(
    {
        "Pack/Easy/cfg/server.cfg": "easy",
        "Pack/Easy/cfg/extra.cfg": "extra",
        "Pack/Hard/cfg/server.cfg": "hard",
        "Pack/Hard/cfg/more.cfg": "more",
        "Pack/README.md": "x",
    }
)
WITH_PROGRAMS = zipped({"left4dead2/cfg/a.cfg": "x", "srcds_run": "#!/bin/sh\n", "bin/engine.so": "\x7fELF"})


@pytest.fixture
def overlay(cast, left4me_root):
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


@pytest.fixture
def root(overlay):
    return settings.LEFT4ME_ROOT / "overlays" / overlay.path


@pytest.fixture
def upload(client, cast, overlay):
    """Upload an archive as the page's script does, and read it; returns the address of its plan."""

    def upload(content, *, name="pack.zip", folder=""):
        client.force_login(cast.owner)
        asked = json.dumps({"name": name, "folder": folder, "size": len(content), "unpack": True})
        address = reverse("overlays:start_upload", args=[overlay.pk])
        begun = client.post(address, asked, content_type="application/json").json()
        client.post(f"{address}/{begun['id']}?offset=0", content, content_type="application/octet-stream")
        plan = client.post(f"{address}/{begun['id']}/finish").json()["plan"]
        drain(host=settings.LEFT4ME_HOST)
        return plan

    return upload


def apply(client, address, **choices):
    """Apply the plan and run the job; returns it and its log."""
    client.post(address, choices)
    [job] = drain(host=settings.LEFT4ME_HOST)
    return job, list(JobLog.objects.filter(job=job).values_list("line", flat=True))


def contents(root):
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_the_plan_is_shown_and_nothing_is_unpacked_until_it_is_applied(client, upload, root):
    address = upload(PACKS)
    page = client.get(address)
    assert page.context["chosen_root"] == "Pack/Easy"
    text = page.content.decode()
    assert "left4dead2/cfg" in text
    assert "is outside the chosen folder" in text
    assert not root.exists() or contents(root) == {}
    job, lines = apply(client, address)
    assert (job.operation, job.state) == ("unpack", "succeeded")
    assert contents(root) == {"left4dead2/cfg/server.cfg": "easy", "left4dead2/cfg/extra.cfg": "extra"}
    assert "stripped folder: Pack/Easy/" in lines
    assert not Upload.objects.exists()
    assert list(uploads.directory().iterdir()) == []


def test_files_that_differ_in_letter_case_only_are_named_in_the_log(client, upload, root):
    address = upload(zipped({"left4dead2/cfg/a.cfg": "1", "left4dead2/cfg/A.cfg": "2", "left4dead2/cfg/b.cfg": "3"}))
    job, _ = apply(client, address)
    assert job.state == "succeeded"
    warnings = JobLog.objects.filter(job=job, stream="stderr").values_list("line", flat=True)
    assert list(warnings) == ["same name except for letter case: left4dead2/cfg/a.cfg, left4dead2/cfg/A.cfg"]


def test_another_root_changes_the_plan_and_what_is_unpacked(client, upload, root):
    address = upload(PACKS)
    assert client.get(address, {"root": "Pack/Hard"}).context["shown"].folders == [("left4dead2/cfg", 2, True)]
    apply(client, address, root="Pack/Hard")
    assert contents(root) == {"left4dead2/cfg/server.cfg": "hard", "left4dead2/cfg/more.cfg": "more"}
    [entry] = AuditEntry.objects.filter(action="overlay.archive_applied")
    assert (entry.details["root"], entry.details["files"]) == ("Pack/Hard", 2)


def test_existing_files_that_would_be_replaced_are_named(client, upload, root):
    (root / "left4dead2/cfg").mkdir(parents=True)
    (root / "left4dead2/cfg/server.cfg").write_text("mine")
    assert client.get(upload(PACKS)).context["shown"].replaced == ["left4dead2/cfg/server.cfg"]


def test_another_code_page_shows_other_names(client, upload, root):
    raw = zipped({"addons/sourcemod/data/XXXXX.txt": "x"}).replace(b"XXXXX", "Карта".encode("cp866"))
    address = upload(raw)
    page = client.get(address)
    assert page.context["shown"].code_page == "cp866"
    assert "Карта.txt" in page.content.decode()
    assert "Карта.txt" not in client.get(address, {"code_page": "cp437"}).content.decode()
    apply(client, address, code_page="cp866")
    assert list(contents(root)) == ["left4dead2/addons/sourcemod/data/Карта.txt"]


def test_texts_that_the_game_could_not_execute_are_converted_and_named_in_the_log(client, upload, root):
    content = {"cfg/a.cfg": "// 设置\nsv_x 1\n".encode("utf-16"), "cfg/b.cfg": b"\xef\xbb\xbfsv_x 2\n"}
    _job, lines = apply(client, upload(zipped(content)))
    assert contents(root) == {"left4dead2/cfg/a.cfg": "// 设置\nsv_x 1\n", "left4dead2/cfg/b.cfg": "sv_x 2\n"}
    assert "left4dead2/cfg/a.cfg converted from UTF-16 to UTF-8" in lines
    assert "left4dead2/cfg/b.cfg converted from UTF-8 with a byte order mark to UTF-8" in lines


def test_an_archive_for_a_folder_keeps_its_paths(client, upload, root, overlay):
    address = upload(zipped({"Pack/a.cfg": "x"}), folder="left4dead2/maps")
    page = client.get(address)
    assert page.context["shown"].folders == [("left4dead2/maps", 1, True)]
    assert page.context["roots"] == []
    apply(client, address, root=page.context["chosen_root"])
    assert contents(root) == {"left4dead2/maps/Pack/a.cfg": "x"}


def test_folders_in_which_the_game_reads_nothing_are_marked(client, upload):
    address = upload(zipped({"Pack/cfg/a.cfg": "x", "Pack/guide/start.txt": "x"}))
    page = client.get(address)
    assert page.context["shown"].folders == [("left4dead2/cfg", 1, True), ("left4dead2/guide", 1, False)]
    assert "not read by the game" in page.content.decode()


def test_an_archive_that_is_being_read_is_listed(client, upload, overlay, cast):
    row = Upload.objects.create(overlay=overlay, user=cast.owner, path="big.zip", size=1, unpack=True)
    uploads.partial_path(row).write_bytes(b"x")
    client.force_login(cast.owner)
    assert "being read" in client.get(reverse("overlays:files", args=[overlay.pk])).content.decode()


def test_the_archive_waits_while_the_browser_is_closed_and_goes_after_a_week(client, upload, overlay):
    address = upload(PACKS)
    for name in ("overlays:files", "overlays:detail"):
        assert address in client.get(reverse(name, args=[overlay.pk])).content.decode()
    assert uploads.delete_abandoned(now=timezone.now() + timedelta(days=6)) == 0
    assert uploads.delete_abandoned(now=timezone.now() + timedelta(days=8)) == 1
    assert list(uploads.directory().iterdir()) == []


def test_what_is_left_of_a_deleted_overlay_goes_too(upload, overlay):
    upload(PACKS)
    Upload.objects.all().delete()
    assert len(list(uploads.directory().iterdir())) == 2
    uploads.delete_abandoned(now=timezone.now())
    assert list(uploads.directory().iterdir()) == []


def test_the_same_archive_uploaded_again_finds_its_plan(upload):
    assert upload(PACKS) == upload(PACKS)
    assert Upload.objects.count() == 1


def test_an_archive_is_discarded(client, upload, overlay):
    upload(PACKS)
    [row] = Upload.objects.all()
    client.post(reverse("overlays:discard_upload", args=[overlay.pk, row.pk]))
    assert not Upload.objects.exists()
    assert list(uploads.directory().iterdir()) == []
    assert AuditEntry.objects.filter(action="overlay.upload_discarded").exists()


def test_while_it_is_read_the_page_asks_again_and_a_damaged_one_says_why(client, upload, overlay, cast):
    row = Upload.objects.create(overlay=overlay, user=cast.owner, path="a.zip", size=1, unpack=True)
    client.force_login(cast.owner)
    uploads.partial_path(row).write_bytes(b"x")
    client.post(reverse("overlays:finish_upload", args=[overlay.pk, row.pk]))
    address = reverse("overlays:archive_plan", args=[overlay.pk, row.pk])
    assert 'hx-trigger="every 1s"' in client.get(address).content.decode()
    assert client.post(address).status_code == 409
    drain(host=settings.LEFT4ME_HOST)
    text = client.get(address).content.decode()
    assert "The archive is damaged" in text
    assert "every 1s" not in text


def test_programs_of_the_game_are_for_admins_only(client, cast, upload, root, overlay):
    address = upload(WITH_PROGRAMS)
    text = client.get(address).content.decode()
    assert "Only admins can include them" in text
    assert 'name="with_programs"' not in text
    assert client.post(address, {"with_programs": "on"}).status_code == 403
    client.force_login(cast.admin)
    assert 'name="with_programs"' in client.get(address).content.decode()
    apply(client, address, with_programs="on")
    assert (root / "srcds_run").stat().st_mode & 0o777 == 0o755
    overlay.refresh_from_db()
    assert sorted(overlay.programs) == ["bin/engine.so", "srcds_run"]
    assert overlay.refused_programs == []
    [entry] = AuditEntry.objects.filter(action="overlay.archive_applied")
    assert (entry.actor, entry.details["with_programs"]) == (cast.admin.username, True)
    assert "contains programs of the game" in client.get(overlay.get_absolute_url()).content.decode()


def test_only_an_admin_allows_programs_by_page_and_by_api(client, cast, api, overlay):
    Overlay.objects.filter(pk=overlay.pk).update(programs={"srcds_run": "a" * 64})
    assert api.by(cast.owner).get(f"/overlays/{overlay.pk}")[1]["refused_programs"] == ["srcds_run"]
    address = reverse("overlays:allow_programs", args=[overlay.pk])
    client.force_login(cast.owner)
    page = client.get(overlay.get_absolute_url()).content.decode()
    assert "Servers with this overlay do not start until an admin allows these files" in page
    assert address not in page
    assert client.post(address).status_code == 403
    assert api.by(cast.owner).post(f"/overlays/{overlay.pk}/programs/allow")[0] == 403
    client.force_login(cast.admin)
    assert address in client.get(overlay.get_absolute_url()).content.decode()
    assert client.post(address).status_code == 302
    assert api.by(cast.admin).post(f"/overlays/{overlay.pk}/programs/allow")[1]["refused_programs"] == []
    assert AuditEntry.objects.filter(action="overlay.programs_allowed").count() == 2


def test_the_api_shows_changes_applies_and_discards(cast, api, upload, overlay, root):
    upload(PACKS)
    [row] = Upload.objects.all()
    mine = api.by(cast.owner)
    [listed] = mine.get(f"/overlays/{overlay.pk}/uploads")[1]
    assert (listed["id"], listed["state"]) == (row.pk, "waiting")
    address = f"/overlays/{overlay.pk}/uploads/{row.pk}"
    status, plan = mine.get(f"{address}/plan?root=Pack/Hard")
    assert (status, plan["root"], plan["file_count"]) == (200, "Pack/Hard", 2)
    assert plan["roots"][:2] == ["Pack/Easy", "Pack/Hard"]
    assert mine.get(f"{address}/plan?root=Nowhere")[0] == 422
    assert mine.post(f"{address}/apply", {"with_programs": True})[0] == 403
    status, job = mine.post(f"{address}/apply", {"root": "Pack/Hard"})
    assert (status, job["operation"]) == (202, "unpack")
    drain(host=settings.LEFT4ME_HOST)
    assert contents(root)["left4dead2/cfg/server.cfg"] == "hard"
    upload(PACKS, name="other.zip")
    [row] = Upload.objects.all()
    assert mine.delete(f"/overlays/{overlay.pk}/uploads/{row.pk}")[0] == 204


@pytest.mark.parametrize(("query", "operations"), [("", ["unpack"]), ("&apply=false", ["read_archive"])])
def test_the_api_uploads_in_one_call(client, cast, overlay, root, query, operations):
    client.force_login(cast.owner)
    address = f"/api/v1/overlays/{overlay.pk}/uploads?name=pack.zip{query}"
    answer = client.post(address, PACKS, content_type="application/zip")
    assert answer.status_code == 202, answer.content
    assert (answer.json()["upload"] is None) == (query == "")
    assert [job.operation for job in drain(host=settings.LEFT4ME_HOST)] == operations
    assert (root / "left4dead2/cfg/server.cfg").exists() == (query == "")


def test_a_refused_upload_says_what_to_do(client, cast, overlay):
    client.force_login(cast.owner)
    address = f"/api/v1/overlays/{overlay.pk}/uploads"
    assert client.post(f"{address}?name=a.zip", b"", content_type="application/zip").status_code == 422
    refused = client.post(f"{address}?name=srcds_run", b"#!/bin/sh", content_type="application/x-sh")
    assert refused.status_code in (409, 422)
    assert "Only admins can upload it" in refused.content.decode()
