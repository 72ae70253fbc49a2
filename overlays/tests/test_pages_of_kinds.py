"""Pages of overlays in detail: the list and its filters, scripts, archive plans, files and the refusals of each."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.web.refusals import Refused
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from overlays import actions, builds, paths
from overlays.files import archive_plans, archives, script_views, uploads
from overlays.files import views as file_views
from overlays.models import DeletedFile, Overlay, OverlayAddon, OverlayCopy, OverlayScript, Upload
from overlays.tests.factories import make_overlay
from overlays.tests.test_files_archives import zipped
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client", "left4me_root")]


@pytest.fixture
def owner(client: Client, cast: Cast) -> Client:
    client.force_login(cast.owner)
    return client


@pytest.fixture
def admin(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.admin)
    return client


@pytest.fixture
def overlay(cast: Cast) -> Overlay:
    return make_overlay(owner=cast.owner, name="Maps")


@pytest.fixture
def without_builds(monkeypatch) -> None:
    def refuse(**_how: object) -> None:
        raise jobs.Refused("Not now.")

    monkeypatch.setattr(builds, "request", refuse)


def texts(answer) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


# --- the list and the page ---------------------------------------------------------------------------------------


def test_the_list_is_searched_and_filtered_and_has_pages(owner, cast):
    for number in range(3):
        make_overlay(name=f"Maps {number}", owner=cast.owner, kind="workshop" if number else "files")
    make_overlay(name="Hidden", owner=cast.stranger)

    def names(query: str) -> list[str]:
        return [row.name for row in owner.get(f"/overlays{query}").context["page"]]

    assert names("") == ["Maps 0", "Maps 1", "Maps 2"]
    assert names("?q=maps+1") == names("?q=+maps+1+") == ["Maps 1"]
    assert names("?kind=files") == ["Maps 0"]
    assert names("?kind=other") == ["Maps 0", "Maps 1", "Maps 2"]
    assert [bool(owner.get(f"/overlays{query}").context["filtered"]) for query in ("", "?q=x", "?kind=files")] == [
        False,
        True,
        True,
    ]


def test_the_api_filters_the_list_and_lists_copies(owner, overlay, cast):
    make_overlay(name="Script", kind="script")
    OverlayCopy.objects.create(overlay=overlay, host="two", content_version=3, made_at=timezone.now())
    for query, names in (
        ("", {"Maps", "Script"}),
        ("?kind=script", {"Script"}),
        ("?q=map", {"Maps"}),
        ("?q=x", set()),
    ):
        assert {row["name"] for row in owner.get(f"/api/v1/overlays{query}").json()["items"]} == names
    [copy] = owner.get(f"/api/v1/overlays/{overlay.pk}/copies").json()
    assert (copy["host"], copy["content_version"]) == ("two", 3)
    assert owner.get(f"/api/v1/overlays?q={'x' * 101}").status_code == 422


@pytest.mark.parametrize("given", [{"is_system": True}, {"path": "x"}, {"kind": "script"}])
def test_the_api_lets_only_admins_make_what_concerns_everybody(owner, admin, given):
    body = {"name": "New", "kind": "files"} | given
    assert owner.post("/api/v1/overlays", body, content_type="application/json").status_code == 403
    body |= {"is_system": True}
    answer = admin.post("/api/v1/overlays", body, content_type="application/json")
    assert answer.status_code == 201
    assert Overlay.objects.get(pk=answer.json()["id"]).is_system


def test_the_api_changes_only_what_is_given(owner, admin, overlay):
    def change(client, **given):
        return client.patch(f"/api/v1/overlays/{overlay.pk}", given, content_type="application/json")

    assert change(owner, version=1, expose_cfg=True).json()["name"] == "Maps"
    assert change(owner, version=2, path="x").status_code == 403
    assert change(admin, version=2, path="typed").status_code == 200
    overlay.refresh_from_db()
    assert (overlay.expose_cfg, overlay.path, overlay.version) == (True, "typed", 3)
    assert owner.post(f"/api/v1/overlays/{overlay.pk}/programs/allow").status_code == 403
    assert owner.delete(f"/api/v1/overlays/{overlay.pk}").status_code == 204


def test_the_page_shows_what_the_user_may_do(owner, admin, cast, overlay):
    context = owner.get(overlay.get_absolute_url()).context
    assert (context["may_edit"], context["may_allow_programs"], context["waits_days"]) == (True, False, 7)
    upload = Upload.objects.create(overlay=overlay, user=cast.owner, path="a.zip", size=0, unpack=True, problem="x")
    assert owner.get(overlay.get_absolute_url()).context["waiting"] == [upload]
    shared = make_overlay()
    Upload.objects.create(overlay=shared, user=cast.admin, path="a.zip", size=0, unpack=True, problem="x")
    context = owner.get(shared.get_absolute_url()).context
    assert (context["may_edit"], context["waiting"]) == (False, [])
    assert admin.get(shared.get_absolute_url()).context["may_allow_programs"]


def test_a_link_is_saved_removed_or_refused_on_the_page(owner, overlay):
    addon = OverlayAddon.objects.create(overlay=overlay, path="a.vpk")
    said = []
    for link in ("https://x.org", "x", ""):
        answer = owner.post(f"/overlays/{overlay.pk}/addons/{addon.pk}/link", {"link": link})
        assert answer.url == f"/overlays/{overlay.pk}#campaigns"
        said += texts(answer)[-1:]
    assert said[0] == "Link saved."
    assert "Enter a web address" in said[1]
    assert said[2] == "Link removed."


def test_an_admin_allows_programs_on_the_page(owner, admin, overlay):
    url = f"/overlays/{overlay.pk}/programs/allow"
    assert owner.post(url).status_code == 403
    answer = admin.post(url)
    assert (answer.url, texts(answer)) == (overlay.get_absolute_url(), ["Programs allowed."])


def test_a_form_that_is_not_valid_is_shown_again_and_one_that_is_saves(owner, admin, overlay):
    url = f"/overlays/{overlay.pk}/edit"
    assert owner.post(url, {"name": "", "version": 1}).status_code == 422
    assert owner.get(url).status_code == 200
    answer = admin.post(url, {"name": "New", "version": 1, "path": "typed", "expose_cfg": "on"})
    assert (answer.url, texts(answer)) == (overlay.get_absolute_url(), ["Overlay saved."])
    overlay.refresh_from_db()
    assert (overlay.name, overlay.path, overlay.expose_cfg) == ("New", "typed", True)
    # Without a version, what was read is not known.
    assert owner.post(url, {"name": "Newer"}).status_code == 409
    answer = admin.post("/overlays/new", {"name": "Own", "kind": "script", "is_system": "on", "path": "own"})
    row = Overlay.objects.get(name="Own")
    assert (row.owner, row.path, texts(answer)[-1:]) == (None, "own", ["Overlay “Own” created. Add content."])
    assert (
        "must be part of the catalog" in admin.post("/overlays/new", {"name": "X", "kind": "script"}).content.decode()
    )


def test_deleting_is_confirmed_and_refused_with_the_reason(owner, overlay, monkeypatch):
    url = f"/overlays/{overlay.pk}/delete"
    assert owner.get(url).status_code == 200
    faults = [actions.InUse([("Blueprint", "anna")]), Refused("Not now.")]

    def refuse(**_how):
        raise faults.pop(0)

    with monkeypatch.context() as patch:
        patch.setattr(actions, "delete", refuse)
        answer = owner.post(url)
        assert (answer.status_code, "Blueprint" in answer.content.decode()) == (409, True)
        answer = owner.post(url)
        assert (answer.url, texts(answer)) == (overlay.get_absolute_url(), ["Not now."])
    answer = owner.post(url)
    assert (answer.url, texts(answer)[-1:]) == ("/overlays", ["Overlay “Maps” deleted."])


def test_a_page_of_a_list_is_as_long_as_people_read(owner, admin, cast, overlay):
    WorkshopItem.objects.bulk_create(
        WorkshopItem(steam_id=number, file_size=2, cached_version=1 if number < 3 else None)
        for number in range(1, 102)
    )
    context = admin.get("/workshop").context
    assert (len(context["page"].object_list), context["page"].paginator.num_pages) == (100, 2)
    assert (context["unused_size"], context["cached_size"], context["cached_count"]) == (4, 4, 2)
    assert (context["failed_count"], context["refresh"]) == (0, None)
    assert len(admin.get("/workshop?page=2").context["page"].object_list) == 1
    assert owner.get("/workshop").status_code == 403
    now = timezone.now()
    DeletedFile.objects.bulk_create(DeletedFile(overlay=overlay, path=f"{n}", deleted_at=now) for n in range(51))
    assert len(owner.get(f"/overlays/{overlay.pk}/files/deleted").context["page"].object_list) == 50
    Overlay.objects.bulk_create(Overlay(name=f"n{n}", path=f"p{n}", owner=cast.owner) for n in range(50))
    assert len(owner.get("/overlays").context["page"].object_list) == 50


# --- scripts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scripted() -> Overlay:
    return make_overlay(kind="script")


def test_a_script_is_saved_and_run_when_wanted(admin, scripted):
    url = f"/overlays/{scripted.pk}/script"
    answer = admin.post(url, {"text": "a\r\nb"})
    assert (answer.url, texts(answer)) == (url, ["Script saved."])
    assert OverlayScript.objects.get().text == "a\nb"
    assert not Job.objects.exists()
    answer = admin.post(url, {"text": "c", "build": "1"})
    job = Job.objects.get()
    assert (answer.url, texts(answer)[-1:]) == (job.get_absolute_url(), [f"Script saved. Job {job.pk} runs it."])
    assert AuditEntry.objects.filter(action="overlay.script_changed").count() == 2
    assert admin.get(url).context["text"] == "c"


def test_a_build_of_a_script_that_is_refused_is_told(admin, scripted, without_builds):
    url = f"/overlays/{scripted.pk}/script"
    answer = admin.post(url, {"text": "c", "build": "1"})
    assert (answer.url, texts(answer), OverlayScript.objects.get().text) == (url, ["Not now."], "c")


@pytest.mark.parametrize(("text", "status"), [("x" * 100_000, 302), ("x" * 100_001, 422), ("a\0b", 422)])
def test_a_script_has_a_longest_length(admin, scripted, text, status):
    answer = admin.post(f"/overlays/{scripted.pk}/script", {"text": text})
    assert answer.status_code == status
    if status == 422:
        assert "The script is too long" in answer.content.decode()
        assert answer.context["text"] == text


def test_the_page_of_a_script_offers_examples_and_says_its_limits(admin, owner, scripted, overlay):
    url = f"/overlays/{scripted.pk}/script"
    context = admin.get(url, {"example": script_views.examples()[0]}).context
    assert context["text"].startswith("#")
    assert (context["may_edit"], context["minutes"], context["largest"]) == (True, 30, 20 * 1000**3)
    assert admin.get(url, {"example": "../x"}).context["text"] == ""
    assert owner.get(url).context["may_edit"] is False
    assert owner.get(f"/overlays/{overlay.pk}/script").status_code == 404


# --- archives ----------------------------------------------------------------------------------------------------


def archive(overlay: Overlay, cast: Cast, *files: tuple[str, bytes]) -> Upload:
    raw = zipped(files)
    upload = Upload.objects.create(overlay=overlay, user=cast.owner, path="a.zip", size=len(raw), unpack=True)
    uploads.partial_path(upload).write_bytes(raw)
    limits = archives.ArchiveLimits(size=10**6)
    archive_plans.store(upload, archives.read_index(uploads.partial_path(upload), limits=limits, check=lambda: None))
    upload.ready_at = timezone.now()
    upload.save()
    return upload


def test_the_plan_of_an_archive_is_shown_with_the_choices_and_applied(owner, admin, overlay, cast):
    upload = archive(overlay, cast, ("A/cfg/a.cfg", b"1"), ("B/cfg/a.cfg", b"2"), ("A/bin/x.so", b"3"))
    (paths.directory(overlay) / "left4dead2" / "cfg").mkdir(parents=True)
    (paths.directory(overlay) / "left4dead2" / "cfg" / "a.cfg").touch()
    url = f"/overlays/{overlay.pk}/uploads/{upload.pk}/plan"
    context = owner.get(url).context
    assert (context["chosen_root"], context["may_allow_programs"]) == ("A", False)
    assert context["placements"] == [("A/cfg/a.cfg", "left4dead2/cfg/a.cfg")]
    assert context["replaced"] == ["left4dead2/cfg/a.cfg"]
    assert [left.name for left in context["left_out"]] == ["B/cfg/a.cfg"]
    assert [name for name, _value in context["roots"]][:2] == ["A", "B"]
    assert owner.get(url, {"root": "/"}).context["chosen_root"] == "/"
    assert owner.get(url, {"root": "/B/"}).context["chosen_root"] == "B"
    # A folder that is none any more leaves the choice to left4me.
    assert owner.get(url, {"root": "gone"}).context["chosen_root"] == "A"
    assert len(admin.get(url, {"with_programs": "on"}).context["placements"]) == 2
    assert owner.get(url, headers={"HX-Request": "true"}).content.decode().lstrip()[:5] != "<!doc"
    assert owner.post(url, {"root": "A", "with_programs": "on"}).status_code == 403
    answer = owner.post(url, {"root": "B"})
    job = Job.objects.get()
    assert (answer.url, job.operation, job.params["root"]) == (job.get_absolute_url(), "unpack", "B")


def test_an_archive_that_is_not_read_says_why(owner, overlay, cast):
    upload = Upload.objects.create(overlay=overlay, user=cast.owner, path="a.zip", size=1, unpack=True)
    url = f"/overlays/{overlay.pk}/uploads/{upload.pk}/plan"
    context = owner.get(url).context
    assert (context["problem"], context["job"]) == ("The archive could not be read. Upload it again.", None)
    assert owner.post(url).status_code == 409
    job = jobs.request(
        operation="read_archive", resource=overlay.resource, by=cast.owner, host="local", params={"upload": upload.pk}
    )
    context = owner.get(url).context
    assert (context["problem"], context["job"]) == ("", job)
    Upload.objects.update(problem="It is broken.")
    assert owner.get(url).context["problem"] == "It is broken."
    Upload.objects.update(unpack=False)
    assert owner.get(url).status_code == 404


def test_an_archive_of_nothing_is_not_applied_and_can_be_discarded(owner, overlay, cast):
    upload = archive(overlay, cast, ("readme.md", b"1"))
    url = f"/overlays/{overlay.pk}/uploads/{upload.pk}"
    answer = owner.post(f"{url}/plan")
    assert (answer.status_code, "No files would be extracted" in answer.content.decode()) == (409, True)
    answer = owner.post(f"{url}/discard")
    assert (answer.url, texts(answer)[-1:]) == (f"/overlays/{overlay.pk}/files", ["Upload discarded."])
    assert not Upload.objects.exists()
    assert AuditEntry.objects.filter(action="overlay.upload_discarded").exists()


def test_an_archive_is_fetched_from_an_address(owner, overlay):
    url = f"/overlays/{overlay.pk}/files/fetch"
    answer = owner.post(url, {"url": "https://x.org/a.txt"})
    assert answer.url == f"/overlays/{overlay.pk}/files"
    assert "must end with the name of an archive" in texts(answer)[0]
    answer = owner.post(url, {"url": " https://x.org/a.zip ", "sha256": "A" * 64})
    job = Job.objects.get()
    assert answer.url == job.get_absolute_url()
    assert job.params == {"url": "https://x.org/a.zip", "sha256": "a" * 64, "user": overlay.owner.pk}


# --- files -------------------------------------------------------------------------------------------------------


def test_files_of_a_form_get_their_places_and_an_archive_its_plan(owner, overlay):
    url = f"/overlays/{overlay.pk}/files/upload"
    files = [SimpleUploadedFile("a.txt", b"1"), SimpleUploadedFile("b.txt", b"")]
    answer = owner.post(url, {"at": "cfg", "file": files})
    assert (answer.url, texts(answer)[-1:]) == (f"/overlays/{overlay.pk}/files?at=cfg", ["Upload complete."])
    assert sorted(path.name for path in (paths.directory(overlay) / "cfg").iterdir()) == ["a.txt", "b.txt"]
    answer = owner.post(url, {"file": SimpleUploadedFile("a.zip", b"PK"), "unpack": "on"})
    upload = Upload.objects.get()
    assert answer.url == f"/overlays/{overlay.pk}/uploads/{upload.pk}/plan"
    answer = owner.post(url, {"file": SimpleUploadedFile("x.so", b"1"), "at": "bin"})
    assert "Only admins can upload it" in texts(answer)[-1]
    assert owner.post(url, {}).url == f"/overlays/{overlay.pk}/files"


def test_folders_are_made_and_entries_renamed_or_the_reason_is_told(owner, overlay):
    url = f"/overlays/{overlay.pk}/files"
    assert texts(owner.post(f"{url}/folder", {"at": "cfg", "name": " deep/er "})) == ["Folder created."]
    assert (paths.directory(overlay) / "cfg" / "deep" / "er").is_dir()
    assert texts(owner.post(f"{url}/folder", {"at": "cfg", "name": " "}))[-1] == "Enter a name."
    answer = owner.post(f"{url}/rename", {"at": "cfg", "old": "deep", "name": "new/place"})
    assert (answer.url, texts(answer)[-1]) == (f"{url}?at=cfg", "Renamed.")
    assert (paths.directory(overlay) / "cfg" / "new" / "place" / "er").is_dir()
    assert "no longer exists" in texts(owner.post(f"{url}/rename", {"at": "cfg", "old": "x", "name": "y"}))[-1]
    assert AuditEntry.objects.filter(action="overlay.files_changed").count() == 2


def test_a_change_stays_though_its_build_is_refused(owner, overlay, without_builds):
    answer = owner.post(f"/overlays/{overlay.pk}/files/folder", {"name": "a"})
    assert texts(answer) == ["Not now.", "Folder created."]


def test_a_file_is_downloaded_and_edited(owner, overlay):
    folder = paths.directory(overlay) / "cfg"
    folder.mkdir(parents=True)
    (folder / "a.cfg").write_text("one")
    url = f"/overlays/{overlay.pk}/files"
    answer = owner.get(f"{url}/download", {"path": "cfg/a.cfg"})
    assert b"".join(answer.streaming_content if answer.streaming else [answer.content]) == b"one"
    assert 'filename="a.cfg"' in answer.headers["Content-Disposition"]
    assert owner.get(f"{url}/download").url == url
    assert owner.get(f"{url}/download", {"path": "cfg/x"}).status_code == 404
    context = owner.get(f"{url}/edit", {"path": "cfg/a.cfg"}).context
    assert (context["text"], context["is_cfg"], context["encoding"]) == ("one", True, "")
    assert owner.get(f"{url}/edit").url == url
    assert owner.get(f"{url}/edit", {"path": "cfg/x.txt"}).status_code == 404
    new = owner.get(f"{url}/edit", {"path": "cfg/x.txt", "new": "1"})
    assert (new.status_code, new.context["text"], new.context["is_cfg"]) == (200, "", False)
    assert owner.post(f"{url}/edit", {"path": "cfg/x.vpk", "text": "1"}).status_code == 422
    answer = owner.post(f"{url}/edit", {"path": "cfg/a.cfg", "text": "two", "version": context["version"]})
    assert (answer.url, texts(answer)[-1]) == (f"{url}?at=cfg", "File saved.")
    stale = owner.post(f"{url}/edit", {"path": "cfg/a.cfg", "text": "three", "version": context["version"]})
    assert (stale.status_code, stale.context["theirs"], stale.context["text"]) == (409, "two", "three")


def test_the_page_of_a_folder_shows_the_way_and_not_very_many_rows(owner, overlay, monkeypatch):
    monkeypatch.setattr(file_views, "MOST_ROWS", 2)
    folder = paths.directory(overlay) / "a" / "b"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.txt").touch()
    url = f"/overlays/{overlay.pk}/files"
    context = owner.get(url, {"at": "a/b"}).context
    assert context["steps"] == [
        ("/overlays", "Overlays"),
        (overlay.get_absolute_url(), "Maps"),
        (url, "Files"),
        (f"{url}?at=a", "a"),
    ]
    assert (context["folder"], context["hidden"]) == ("b", 1)
    assert [path for _node, path, _is_text in context["rows"]] == ["a/b/0.txt", "a/b/1.txt"]
    context = owner.get(url).context
    assert (context["folder"], context["hidden"], [path for _node, path, _t in context["rows"]]) == ("Files", 0, ["a"])
    assert len(context["steps"]) == 2
    assert (context["may_edit"], context["has_deleted"], context["waits_days"]) == (True, False, 7)
