"""The JSON API and the upload protocol of files: states, plans, deletions, and what each refusal answers."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.utils import timezone

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from overlays import builds, paths
from overlays.files import archive_plans, archives, uploads
from overlays.models import DeletedFile, Overlay, Upload
from overlays.tests.factories import make_overlay
from overlays.tests.test_files_archives import zipped

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client", "left4me_root")]


@pytest.fixture
def overlay(cast: Cast, client: Client) -> Overlay:
    client.force_login(cast.owner)
    return make_overlay(owner=cast.owner)


def call(client: Client, method: str, path: str, body: object = None):
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    return client.generic(method, path, data, content_type=kind)


# --- the API -----------------------------------------------------------------------------------------------------


def test_an_upload_has_a_state(client, overlay, cast):
    rows = [
        Upload.objects.create(overlay=overlay, user=cast.owner, size=size, unpack=True, path=f"{size}.zip")
        for size in range(4)
    ]
    uploads.partial_path(rows[2]).write_bytes(b"12")
    Upload.objects.filter(pk=rows[3].pk).update(ready_at=timezone.now())
    Upload.objects.filter(pk=rows[0].pk).update(problem="x", ready_at=timezone.now())
    listed = client.get(f"/api/v1/overlays/{overlay.pk}/uploads").json()
    assert [row["state"] for row in listed] == ["unreadable", "receiving", "reading", "waiting"]


@pytest.mark.parametrize(
    ("query", "operation", "waits"),
    [
        ("name=a.zip", "unpack", False),
        ("name=a.zip&apply=false", "read_archive", True),
        ("name=a.zip&unpack=false", "build", False),
        ("name=a.zip&unpack=false&apply=false", "build", False),
        ("name=a.txt&apply=false", "build", False),
    ],
)
def test_the_body_of_a_request_is_a_file_or_an_archive(client, overlay, query, operation, waits):
    raw = zipped([("cfg/a.cfg", b"1")])
    answer = call(client, "POST", f"/api/v1/overlays/{overlay.pk}/uploads?{query}&folder=cfg", raw)
    assert (answer.status_code, answer.json()["job"]["operation"]) == (202, operation)
    assert (answer.json()["upload"] is not None) is waits
    if operation == "build":
        assert len(list((paths.directory(overlay) / "cfg").iterdir())) == 1


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [("name=a.txt", b"", 422), ("name=", b"1", 409), ("name=../x", b"1", 422), (f"name={'x' * 256}", b"1", 422)],
)
def test_what_is_no_upload_is_refused(client, overlay, query, body, status):
    answer = call(client, "POST", f"/api/v1/overlays/{overlay.pk}/uploads?{query}", body)
    assert answer.status_code == status
    assert not Upload.objects.exists()


def test_the_same_file_twice_at_once_is_refused_once(client, overlay, monkeypatch):
    def refuse(*_what, **_how):
        raise uploads.WrongOffset(1)

    monkeypatch.setattr(uploads, "receive", refuse)
    answer = call(client, "POST", f"/api/v1/overlays/{overlay.pk}/uploads?name=a.txt", b"1")
    assert (answer.status_code, "uploaded by another request" in answer.json()["detail"]) == (409, True)


def test_an_archive_that_waits_is_planned_applied_and_discarded(client, overlay, cast):
    raw = zipped([("A/cfg/a.cfg", b"12"), ("A/addons/b.txt", b"3"), ("B/cfg/a.cfg", b""), ("A/cfg/A.cfg", b"4")])
    upload = Upload.objects.create(overlay=overlay, user=cast.owner, path="a.zip", size=len(raw), unpack=True)
    url = f"/api/v1/overlays/{overlay.pk}/uploads/{upload.pk}"
    assert client.get(f"{url}/plan").status_code == 409
    uploads.partial_path(upload).write_bytes(raw)
    limits = archives.ArchiveLimits(size=10**6)
    archive_plans.store(upload, archives.read_index(uploads.partial_path(upload), limits=limits, check=lambda: None))
    plan = client.get(f"{url}/plan").json()
    assert (plan["root"], plan["roots"][:2], plan["is_recognised"], plan["code_page"]) == ("A", ["A", "B"], True, "")
    assert (plan["file_count"], plan["size"], plan["left_out_count"]) == (3, 4, 1)
    assert plan["folders"] == [
        {"path": "left4dead2/cfg", "files": 2, "is_read": True},
        {"path": "left4dead2/addons", "files": 1, "is_read": True},
    ]
    assert plan["files"][0] == {"name": "A/cfg/a.cfg", "path": "left4dead2/cfg/a.cfg"}
    assert [left["name"] for left in plan["left_out"]] == ["B/cfg/a.cfg"]
    assert (plan["letter_case"], plan["replaced"]) == ([["A/cfg/a.cfg", "A/cfg/A.cfg"]], [])
    assert client.get(f"{url}/plan?root=B").json()["root"] == "B"
    assert client.get(f"{url}/plan?root=").json()["root"] == ""
    assert client.get(f"{url}/plan?root=gone").status_code == 422
    assert call(client, "POST", f"{url}/apply", {"root": "../x"}).status_code == 422
    assert call(client, "POST", f"{url}/apply", {"with_programs": True}).status_code == 403
    answer = call(client, "POST", f"{url}/apply", {"root": "B", "code_page": "cp866"})
    assert (answer.status_code, answer.json()["operation"]) == (202, "unpack")
    assert Job.objects.get().params == {"upload": upload.pk, "code_page": "", "root": "B"}
    assert client.delete(url).status_code == 204
    assert client.delete(url).status_code == 404


def test_an_archive_is_fetched_by_a_job(client, overlay):
    url = f"/api/v1/overlays/{overlay.pk}/fetches"
    answer = call(client, "POST", url, {"url": "https://x.org/a.zip"})
    assert (answer.status_code, answer.json()["operation"]) == (202, "fetch_archive")
    assert call(client, "POST", url, {"url": "x"}).status_code == 409
    assert call(client, "POST", url, {"url": "https://x.org/" + "x" * 2000}).status_code == 422


def test_files_are_deleted_listed_restored_and_discarded(client, overlay, cast):
    folder = paths.directory(overlay)
    folder.mkdir(parents=True)
    for name in ("a", "b", "c"):
        (folder / name).write_text("x")
    url = f"/api/v1/overlays/{overlay.pk}"
    answer = client.delete(f"{url}/files?path=a&path=b")
    assert (answer.status_code, answer.json()["job"]["operation"]) == (202, "build")
    deleted = answer.json()["deleted"]
    assert [(row["path"], row["deleted_by"], row["size"]) for row in deleted] == [("a", "anna", 1), ("b", "anna", 1)]
    DeletedFile.objects.filter(path="b").update(deleted_by=None)
    rows = client.get(f"{url}/deleted-files").json()["items"]
    assert {row["path"]: row["deleted_by"] for row in rows} == {"a": "anna", "b": None}
    assert client.delete(f"{url}/files").status_code == 422
    assert client.delete(f"{url}/files?path=gone").status_code == 422
    assert client.delete(f"{url}/files?path=../x").status_code == 422
    first, second = (row["id"] for row in deleted)
    assert client.post(f"{url}/deleted-files/{first}/restore").status_code == 202
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c"]
    assert client.delete(f"{url}/deleted-files/{second}").status_code == 204
    assert client.post(f"{url}/deleted-files/{second}/restore").status_code == 404


# --- the protocol of the page ------------------------------------------------------------------------------------


def start(client, overlay, **given):
    return call(client, "POST", f"/overlays/{overlay.pk}/uploads", {"name": "a.txt", "size": 5} | given)


def test_a_file_is_sent_in_chunks_and_goes_on_where_it_ended(client, overlay):
    answer = start(client, overlay, folder="cfg")
    assert (answer.status_code, answer.json()["offset"], answer.json()["chunk"]) == (201, 0, 8 * 1024 * 1024)
    url = f"/overlays/{overlay.pk}/uploads/{answer.json()['id']}"
    assert call(client, "POST", f"{url}?offset=0", b"123").json() == {"offset": 3}
    for query in ("", "?offset=x", "?offset=-1", "?offset=2"):
        answer = call(client, "POST", f"{url}{query}", b"4")
        assert (answer.status_code, answer.json()["offset"]) == (409, 3)
    assert start(client, overlay, folder="cfg").json()["offset"] == 3
    answer = call(client, "POST", f"{url}/finish")
    assert (answer.status_code, "incomplete" in answer.json()["error"]) == (422, True)
    answer = call(client, "POST", f"{url}?offset=3", b"456")
    assert (answer.status_code, "exceeds the announced" in answer.json()["error"]) == (422, True)
    assert call(client, "POST", f"{url}?offset=3", b"45").json() == {"offset": 5}
    answer = call(client, "POST", f"{url}/finish")
    assert answer.json()["job"] == Job.objects.get().pk
    assert (paths.directory(overlay) / "cfg" / "a.txt").read_bytes() == b"12345"


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b'{"name": "a"}', b'{"size": 1}', b'{"name": "a", "size": "x"}'])
def test_a_start_that_is_no_json_is_refused(client, overlay, body):
    answer = client.post(f"/overlays/{overlay.pk}/uploads", body, content_type="application/json")
    assert (answer.status_code, "valid JSON" in answer.json()["error"]) == (400, True)


def test_a_start_that_is_not_allowed_says_why(client, overlay):
    for given, words in (({"name": "../x"}, "valid file name"), ({"name": ""}, "needs a name")):
        answer = start(client, overlay, **given)
        assert (answer.status_code, words in answer.json()["error"]) == (422, True)
    assert start(client, overlay, size=-5).status_code == 201
    assert Upload.objects.get().size == 0


def test_a_finished_archive_leads_to_its_plan_and_a_refused_build_is_told(client, overlay, monkeypatch):
    answer = start(client, overlay, name="a.zip", size=2, unpack=True)
    url = f"/overlays/{overlay.pk}/uploads/{answer.json()['id']}"
    call(client, "POST", f"{url}?offset=0", b"PK")
    assert f"{url}/plan" in call(client, "POST", f"{url}/finish").content.decode()
    answer = start(client, overlay, size=0)

    def refuse(**_how):
        raise jobs.Refused("Not now.")

    monkeypatch.setattr(builds, "request", refuse)
    answer = call(client, "POST", f"/overlays/{overlay.pk}/uploads/{answer.json()['id']}/finish")
    assert (answer.status_code, answer.json()["error"]) == (409, "Not now.")
