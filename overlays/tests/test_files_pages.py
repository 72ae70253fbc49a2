"""The pages of files overlays: uploads in chunks, archives, editing, renaming, deleting."""

from __future__ import annotations

import contextlib
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from left4me.core.files import room
from left4me.jobs.models import Job
from left4me.testing import vpk_files
from left4me.testing.jobs import drain
from overlays.files import uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def overlay(cast, left4me_root):
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


@pytest.fixture
def root(overlay):
    return settings.LEFT4ME_ROOT / "overlays" / overlay.path


@pytest.fixture
def post(client, cast, overlay):
    """Post to a URL of the overlay as its owner."""
    client.force_login(cast.owner)

    def post(name, data=None, *args, query="", **how):
        return client.post(reverse(f"overlays:{name}", args=[overlay.pk, *args]) + query, data or {}, **how)

    return post


@pytest.fixture
def start(post):
    def start(name, size, **more):
        return post("start_upload", json.dumps({"name": name, "size": size, **more}), content_type="application/json")

    return start


def chunk(post, upload, offset, content):
    return post("upload_chunk", content, upload, query=f"?offset={offset}", content_type="application/octet-stream")


def test_a_file_arrives_in_chunks_and_takes_its_name_when_complete(start, post, root, overlay, tmp_path):
    vpk_files.write(tmp_path / "a.vpk", {"maps/a.bsp": bytes(5000)})
    content = (tmp_path / "a.vpk").read_bytes()
    begun = start("Map.vpk", len(content)).json()
    assert chunk(post, begun["id"], 0, content[:3000]).json() == {"offset": 3000}
    assert not (root / "left4dead2/addons/Map.vpk").exists()
    assert post("finish_upload", None, begun["id"]).status_code == 422
    assert chunk(post, begun["id"], 3000, content[3000:]).status_code == 200
    assert post("finish_upload", None, begun["id"]).status_code == 202
    assert (root / "left4dead2/addons/Map.vpk").read_bytes() == content
    [job] = drain(host=settings.LEFT4ME_HOST)
    assert (job.operation, job.state) == ("build", "succeeded")
    overlay.refresh_from_db()
    assert (overlay.file_count, overlay.size_bytes, overlay.content_version) == (1, len(content), 1)


def test_an_upload_that_broke_off_goes_on_where_it_ended(start, post):
    begun = start("a.txt", 6).json()
    chunk(post, begun["id"], 0, b"abc")
    again = start("a.txt", 6).json()
    assert (again["id"], again["offset"]) == (begun["id"], 3)
    wrong = chunk(post, begun["id"], 0, b"abc")
    assert (wrong.status_code, wrong.json()["offset"]) == (409, 3)


def test_more_than_announced_is_refused(start, post):
    begun = start("a.txt", 3).json()
    assert chunk(post, begun["id"], 0, b"abcdef").status_code == 422


def test_the_quota_counts_what_is_held_and_what_is_coming(start, overlay, settings):
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    Overlay.objects.update(size_bytes=400_000)
    assert start("a.bin", 500_000).status_code == 201
    refused = start("b.bin", 200_000)
    assert refused.status_code == 422
    assert "exceeds your quota; 0 MB are left" in refused.json()["error"]


@pytest.mark.parametrize(
    ("folder", "name", "path"),
    [
        ("", "map.vpk", "left4dead2/addons/map.vpk"),
        ("", "My Pack/deep/Map.VPK", "left4dead2/addons/Map.VPK"),
        ("left4dead2/maps", "map.vpk", "left4dead2/maps/map.vpk"),
        ("", "My Pack/readme.txt", "My Pack/readme.txt"),
    ],
)
def test_an_addon_that_is_put_nowhere_goes_where_the_game_looks_for_addons(overlay, cast, folder, name, path):
    assert uploads.start(overlay=overlay, folder=folder, name=name, size=6, unpack=False, by=cast.owner).path == path


class Slowly:
    """A request body whose parts arrive after `between` was called."""

    def __init__(self, *parts: bytes, between) -> None:
        self._parts, self._between = list(parts), between

    def read(self, size: int) -> bytes:
        self._between()
        return self._parts.pop(0) if self._parts else b""


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_chunk_sent_many_times_at_once_takes_its_room_once(overlay, cast, restart):
    upload = uploads.start(overlay=overlay, folder="", name="a.bin", size=6, unpack=False, by=cast.owner)
    # Each begins before the one around it has written anything, as requests of several threads do.
    requests = iter(range(8))
    largest = 0

    def another() -> None:
        nonlocal largest
        if next(requests, None) is not None:
            with contextlib.suppress(uploads.WrongOffset):
                uploads.receive(upload, offset=0, source=Slowly(b"abc", b"def", between=another), restart=restart)
        largest = max(largest, uploads.received(upload))

    another()
    assert largest <= 6
    assert uploads.received(upload) == 6


def test_a_chunk_that_the_disk_has_no_room_for_is_refused(start, post, monkeypatch):
    begun = start("a.bin", 6).json()
    assert chunk(post, begun["id"], 0, b"abc").status_code == 200
    monkeypatch.setattr("left4me.core.files.room.free", lambda path: room.KEEP_FREE + 2)
    refused = chunk(post, begun["id"], 3, b"def")
    assert (refused.status_code, refused.json()["error"][:21]) == (422, "Not enough disk space")
    assert uploads.received(Upload.objects.get()) == 3


def test_uploads_that_start_at_once_share_one_quota(overlay, cast, settings, monkeypatch):
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    barrier = threading.Barrier(4)
    measure = uploads.quota_left

    def slowly(of):
        left = measure(of)
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(0.5)
        return left

    monkeypatch.setattr(uploads, "quota_left", slowly)

    def begin(number: int) -> bool:
        try:
            uploads.start(overlay=overlay, folder="", name=f"{number}.bin", size=700_000, unpack=False, by=cast.owner)
        except uploads.UploadRefused:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(begin, range(4))) == [False, False, False, True]


@pytest.mark.parametrize(
    "body", ["{", "[]", '{"name": "a"}', '{"name": "a", "size": "x"}', '{"name": "../a", "size": 1}']
)
def test_a_start_that_cannot_be_meant_is_refused(post, body):
    assert post("start_upload", body, content_type="application/json").status_code in (400, 422)


def test_an_archive_is_unpacked_once_its_plan_is_applied(start, post, root, overlay):
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("cfg/server.cfg", "sv_x 1")
        archive.writestr("../evil", "x")
    begun = start("pack.zip", len(packed.getvalue()), unpack=True).json()
    chunk(post, begun["id"], 0, packed.getvalue())
    ended = post("finish_upload", None, begun["id"]).json()
    [job] = drain(host=settings.LEFT4ME_HOST)
    assert (job.operation, job.state, job.error) == ("read_archive", "succeeded", "")
    assert ended["plan"] == reverse("overlays:archive_plan", args=[overlay.pk, begun["id"]])
    assert not root.exists() or list(root.iterdir()) == []
    post("archive_plan", None, begun["id"])
    [job] = drain(host=settings.LEFT4ME_HOST)
    assert (job.operation, job.state, job.error) == ("unpack", "succeeded", "")
    assert (root / "left4dead2/cfg/server.cfg").read_text() == "sv_x 1"
    assert not Upload.objects.exists()
    assert list(uploads.directory().iterdir()) == []


def test_an_upload_can_be_given_up_and_is_forgotten_in_time(start, post):
    begun = start("a.txt", 3).json()
    chunk(post, begun["id"], 0, b"a")
    post("abort_upload", None, begun["id"])
    assert not Upload.objects.exists()
    start("b.txt", 3)
    assert uploads.delete_abandoned(now=timezone.now()) == 0
    assert uploads.delete_abandoned(now=timezone.now() + timedelta(days=4)) == 1


def test_without_javascript_the_form_sends_whole_files(post, root):
    answer = post("upload_files", {"at": "left4dead2/cfg", "file": [SimpleUploadedFile("server.cfg", b"sv_x 1")]})
    assert answer.status_code == 302
    assert (root / "left4dead2/cfg/server.cfg").read_bytes() == b"sv_x 1"


def test_a_broken_vpk_fails_the_check_and_is_named(start, post, overlay):
    begun = start("bad.vpk", 5).json()
    chunk(post, begun["id"], 0, b"<html")
    post("finish_upload", None, begun["id"])
    [job] = drain(host=settings.LEFT4ME_HOST)
    assert job.state == "failed"
    assert "left4dead2/addons/bad.vpk is a web page, not a VPK" in job.error


def test_a_text_is_edited_and_the_second_of_two_editors_is_told(client, post, root, overlay):
    root.mkdir(parents=True)
    (root / "server.cfg").write_text("one\n")
    version = client.get(reverse("overlays:edit_file", args=[overlay.pk]), {"path": "server.cfg"}).context["version"]
    assert post("edit_file", {"path": "server.cfg", "text": "two\r\n", "version": version}).status_code == 302
    assert (root / "server.cfg").read_bytes() == b"two\n"
    late = post("edit_file", {"path": "server.cfg", "text": "three", "version": version})
    assert late.status_code == 409
    assert b"Someone else changed this file" in late.content
    assert (root / "server.cfg").read_bytes() == b"two\n"
    assert (
        post("edit_file", {"path": "server.cfg", "text": "three", "version": late.context["version"]}).status_code
        == 302
    )


@pytest.mark.parametrize("path", ["a.exe", "../x.cfg", "none.txt", "binary.txt", "large.txt"])
def test_what_is_no_small_text_is_not_edited(client, post, root, overlay, path):
    root.mkdir(parents=True)
    (root / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (root / "large.txt").write_bytes(b"x" * 300_000)
    assert client.get(reverse("overlays:edit_file", args=[overlay.pk]), {"path": path}).status_code == 404


def test_folders_are_made_renamed_browsed_and_deleted(client, post, root, overlay):
    post("make_folder", {"at": "", "name": "left4dead2/cfg"})
    (root / "left4dead2/cfg/a.cfg").write_text("x")
    text = client.get(reverse("overlays:files", args=[overlay.pk]), {"at": "left4dead2/cfg"}).content.decode()
    assert "a.cfg" in text
    post("rename_file", {"at": "left4dead2/cfg", "old": "a.cfg", "name": "b.cfg"})
    answer = client.get(reverse("overlays:download_file", args=[overlay.pk]), {"path": "left4dead2/cfg/b.cfg"})
    assert (b"".join(answer.streaming_content), answer["Content-Disposition"]) == (
        b"x",
        'attachment; filename="b.cfg"',
    )
    part = {"path": "left4dead2/cfg/b.cfg"}
    again = client.get(reverse("overlays:download_file", args=[overlay.pk]), part, headers={"Range": "bytes=1-"})
    assert again.status_code == 416
    post("delete_files", {"at": "", "name": ["left4dead2"]})
    assert list(root.iterdir()) == []
    assert Job.objects.queued().count() == 1


@pytest.mark.parametrize("name", ["make_folder", "rename_file"])
def test_a_name_that_was_left_blank_is_asked_for(client, post, root, overlay, name):
    root.mkdir(parents=True)
    post(name, {"at": "", "old": "a.cfg", "name": " "})
    answer = client.get(reverse("overlays:files", args=[overlay.pk]))
    assert [str(message) for message in answer.context["messages"]] == ["Enter a name."]


@pytest.mark.parametrize("at", ["../", "nowhere", "/etc"])
def test_a_folder_that_is_not_there_is_not_shown(client, post, overlay, at):
    assert client.get(reverse("overlays:files", args=[overlay.pk]), {"at": at}).status_code == 404


@pytest.mark.parametrize(
    "name", ["upload_files", "make_folder", "rename_file", "delete_files", "edit_file", "start_upload"]
)
def test_only_those_who_may_edit_change_files(client, cast, overlay, name):
    client.force_login(cast.stranger)
    assert client.post(reverse(f"overlays:{name}", args=[overlay.pk])).status_code == 404
    catalog = make_overlay(kind=Overlay.Kind.FILES)
    assert client.post(reverse(f"overlays:{name}", args=[catalog.pk])).status_code == 403
    assert client.get(reverse("overlays:files", args=[catalog.pk])).status_code == 200


@pytest.mark.parametrize(
    ("path", "encoding", "shown", "saved"),
    [
        ("left4dead2/cfg/a.cfg", "gb18030", "gb18030", "utf-8"),
        ("left4dead2/cfg/a.cfg", "utf-16", "UTF-16", "utf-8"),
        ("left4dead2/cfg/a.cfg", "utf-8-sig", "UTF-8 with a byte order mark", "utf-8"),
        ("left4dead2/cfg/a.cfg", "utf-8", "", "utf-8"),
        ("left4dead2/resource/a.txt", "utf-16", "", "utf-16"),
    ],
)
def test_a_text_in_any_encoding_is_edited(client, post, root, overlay, path, encoding, shown, saved):
    (root / path).parent.mkdir(parents=True)
    (root / path).write_bytes("// 服务器设置\n".encode(encoding))
    context = client.get(reverse("overlays:edit_file", args=[overlay.pk]), {"path": path}).context
    assert (context["text"], context["encoding"]) == ("// 服务器设置\n", shown)
    post("edit_file", {"path": path, "text": "// 服务器\n", "version": context["version"]})
    assert (root / path).read_bytes() == "// 服务器\n".encode(saved)


def test_a_cfg_in_utf_16_is_converted_when_it_is_uploaded(start, post, root):
    content = "hostname x\n".encode("utf-16")
    begun = start("left4dead2/cfg/server.cfg", len(content)).json()
    chunk(post, begun["id"], 0, content)
    post("finish_upload", None, begun["id"])
    assert (root / "left4dead2/cfg/server.cfg").read_bytes() == b"hostname x\n"
