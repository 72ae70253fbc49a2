"""The quota of a user: everything that adds bytes to an overlay counts, and counts at once."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from overlays.files import uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client", "left4me_root")]


@pytest.fixture
def overlay(cast: Cast, client: Client, settings: Any) -> Overlay:
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    client.force_login(cast.owner)
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


def write(client: Client, overlay: Overlay, text: str, *, version: str = "") -> Any:
    address = reverse("overlays:edit_file", args=[overlay.pk])
    return client.post(address, {"path": "left4dead2/cfg/a.cfg", "text": text, "version": version})


def start(client: Client, overlay: Overlay, size: int, **given: Any) -> Any:
    address = reverse("overlays:start_upload", args=[overlay.pk])
    body = json.dumps({"name": f"{size}.txt", "size": size, **given})
    return client.post(address, body, content_type="application/json")


def test_a_text_that_is_written_on_the_page_counts(client: Client, overlay: Overlay) -> None:
    assert write(client, overlay, "x" * 100).status_code == 302
    overlay.refresh_from_db()
    assert overlay.size_bytes == 100
    Overlay.objects.update(size_bytes=1_000_000)
    address = reverse("overlays:edit_file", args=[overlay.pk])
    version = client.get(address, {"path": "left4dead2/cfg/a.cfg"}).context["version"]
    refused = write(client, overlay, "x" * 101, version=version)
    assert refused.status_code == 422 and "exceeds your quota" in refused.content.decode()
    assert write(client, overlay, "y" * 100, version=version).status_code == 302, "it does not grow"


def test_what_is_written_takes_the_place_of_what_was_deleted(client: Client, overlay: Overlay) -> None:
    def delete() -> None:
        address = reverse("overlays:delete_files", args=[overlay.pk])
        client.post(address, {"at": "left4dead2/cfg", "name": "a.cfg"})

    write(client, overlay, "x" * 600)
    delete()
    Overlay.objects.update(size_bytes=1_000_000 - 600)
    write(client, overlay, "y" * 600)
    assert not overlay.deleted_files.exists(), "what was deleted would exceed the quota"
    delete()
    assert overlay.deleted_files.count() == 1, "what is deleted fits where it was"


def test_a_restored_file_counts_again_at_once(client: Client, overlay: Overlay) -> None:
    write(client, overlay, "x" * 600)
    client.post(reverse("overlays:delete_files", args=[overlay.pk]), {"at": "left4dead2/cfg", "name": "a.cfg"})
    overlay.refresh_from_db()
    assert overlay.size_bytes == 0
    client.post(reverse("overlays:restore_file", args=[overlay.pk, overlay.deleted_files.get().pk]))
    overlay.refresh_from_db()
    assert overlay.size_bytes == 600


def test_an_upload_counts_before_a_build_has_measured_it(client: Client, overlay: Overlay) -> None:
    upload = start(client, overlay, 600_000).json()["id"]
    chunk = reverse("overlays:upload_chunk", args=[overlay.pk, upload]) + "?offset=0"
    assert client.post(chunk, b"x" * 600_000, content_type="application/octet-stream").status_code == 200
    assert client.post(reverse("overlays:finish_upload", args=[overlay.pk, upload])).status_code == 202
    assert Job.objects.get().state == "queued"
    refused = start(client, overlay, 500_000)
    assert refused.status_code == 422 and "exceeds your quota" in refused.json()["error"]


def test_archives_of_one_user_are_unpacked_one_after_the_other(cast: Cast, client: Client, overlay: Overlay) -> None:
    other = make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)
    for each in (overlay, other):
        upload = Upload.objects.create(overlay=each, user=cast.owner, path="a.zip", size=1, unpack=True)
        jobs.request(
            operation="unpack", resource=each.resource, by=cast.owner, host="local", params={"upload": upload.pk}
        )
    assert Job.objects.claimable().count() == 1


def test_an_archive_takes_the_space_of_what_was_deleted(cast: Cast, client: Client, overlay: Overlay) -> None:
    write(client, overlay, "x" * 200_000)
    client.post(reverse("overlays:delete_files", args=[overlay.pk]), {"at": "left4dead2/cfg", "name": "a.cfg"})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("left4dead2/cfg/b.cfg", "x" * 100_000)
        archive.writestr("left4dead2/cfg/c.cfg", bytes(range(256)) * 3_200)
    raw = packed.getvalue()
    upload = Upload.objects.create(overlay=overlay, user=cast.owner, path="a.zip", size=len(raw), unpack=True)
    uploads.partial_path(upload).write_bytes(raw)
    uploads.finish(upload, by=cast.owner, apply=True)
    *_, job = drain(host="local")
    overlay.refresh_from_db()
    assert (job.state, overlay.size_bytes) == ("succeeded", 919_200)
    assert not overlay.deleted_files.exists()
