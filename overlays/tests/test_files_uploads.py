"""Uploads, called directly: their places, offsets and limits, what is refused and what stays."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.files.tree import BadPath
from left4me.jobs.models import Job
from left4me.testing.folders import listed
from overlays import game_files, paths
from overlays.files import uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay
from overlays.tests.test_files_archives import zipped

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

NOW = timezone.now()


@pytest.fixture
def overlay(cast, left4me_root: Path, settings) -> Overlay:
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


def start(overlay: Overlay, name: str = "a.txt", *, by=None, folder: str = "", size: int = 5, unpack: bool = False):
    return uploads.start(overlay=overlay, folder=folder, name=name, size=size, unpack=unpack, by=by or overlay.owner)


@pytest.mark.parametrize(
    ("folder", "name", "unpack", "path", "unpacks"),
    [
        ("", "a.txt", False, "a.txt", False),
        ("cfg", "a.txt", True, "cfg/a.txt", False),
        ("cfg", "a.zip", True, "cfg/a.zip", True),
        ("cfg", "a.zip", False, "cfg/a.zip", False),
        ("", "A.VPK", False, "left4dead2/addons/A.VPK", False),
        ("", "deep/a.vpk", False, "left4dead2/addons/a.vpk", False),
        ("maps", "a.vpk", False, "maps/a.vpk", False),
    ],
)
def test_an_upload_has_its_place(overlay, folder, name, unpack, path, unpacks):
    upload = start(overlay, name, folder=folder, unpack=unpack)
    assert (upload.path, upload.unpack) == (path, unpacks)


def test_the_same_upload_goes_on_and_another_is_another(overlay, cast):
    first = start(overlay, "a.zip", unpack=True)
    assert start(overlay, "a.zip", unpack=True) == first
    others = [
        start(overlay, "a.zip"),
        start(overlay, "b.zip", unpack=True),
        start(overlay, "a.zip", unpack=True, size=6),
        start(overlay, "a.zip", unpack=True, by=cast.admin),
    ]
    assert len({first, *others}) == 5


def test_an_upload_needs_a_name_and_programs_need_an_admin(overlay, cast):
    with pytest.raises(uploads.UploadRefused, match="needs a name"):
        start(overlay, "")
    with pytest.raises(BadPath):
        start(overlay, "../a")
    with pytest.raises(uploads.UploadRefused, match=r"“x\.so” is a program of the game"):
        start(overlay, "x.so", folder="bin")
    assert start(overlay, "x.so", folder="bin", by=cast.admin).path == "bin/x.so"
    assert start(overlay, "srcds_run.zip", unpack=True).unpack


def test_the_quota_is_used_up_to_the_last_byte(overlay, free):
    Overlay.objects.update(size_bytes=400_000)
    start(overlay, "a.txt", size=500_000)
    start(overlay, "b.txt", size=100_000)
    with pytest.raises(uploads.UploadRefused, match="0 MB are left") as refused:
        start(overlay, "c.txt", size=1)
    assert refused.value.cure.url == f"/overlays/{overlay.pk}/files"
    assert uploads.quota_left(overlay) == 0
    assert uploads.quota_left(make_overlay()) is None


def test_the_largest_overlay_is_named_where_the_quota_is_used_up(overlay):
    largest = make_overlay(owner=overlay.owner, name="Largest", size_bytes=3_000_000)
    make_overlay(owner=overlay.owner, kind=Overlay.Kind.WORKSHOP, size_bytes=9_000_000)
    make_overlay(size_bytes=9_000_000)
    assert uploads.quota_left(overlay) == -2_000_000
    with pytest.raises(uploads.UploadRefused) as refused:
        start(overlay)
    assert (refused.value.cure.label, refused.value.cure.url) == (
        "Show files of “Largest”",
        f"/overlays/{largest.pk}/files",
    )


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
def test_an_upload_must_fit_on_the_disk(overlay, cast, free, size, fits):
    free[0] = 100
    if fits:
        assert start(overlay, size=size).size == size
        return
    for by, url in ((cast.owner, None), (cast.admin, "/workshop")):
        with pytest.raises(uploads.UploadRefused, match="Not enough disk space") as refused:
            start(overlay, size=size, by=by)
        assert (refused.value.cure and refused.value.cure.url) == url


def receive(upload: Upload, content: bytes, offset: int = 0, **how) -> int:
    return uploads.receive(upload, offset=offset, source=io.BytesIO(content), **how)


def test_chunks_follow_one_another(overlay):
    upload = start(overlay, size=8)
    assert uploads.received(upload) == 0
    assert receive(upload, b"1234") == 4
    for offset in (0, 3, 5):
        with pytest.raises(uploads.WrongOffset, match="byte 4") as wrong:
            receive(upload, b"x", offset)
        assert wrong.value.offset == 4
    assert receive(upload, b"", 4) == 4
    assert receive(upload, b"5678", 4) == 8
    with pytest.raises(uploads.UploadRefused, match="exceeds the announced 8 bytes"):
        receive(upload, b"9", 8)
    assert uploads.partial_path(upload).read_bytes() == b"12345678"
    assert receive(upload, b"new", restart=True) == 3
    assert (uploads.partial_path(upload).read_bytes(), uploads.received(upload)) == (b"new", 3)


def test_a_large_chunk_is_written_in_parts(overlay):
    upload = start(overlay, size=600_000)
    assert receive(upload, bytes(600_000)) == 600_000


def test_a_chunk_must_fit_on_the_disk(overlay, free):
    upload = start(overlay, size=8)
    free[0] = 4
    assert receive(upload, b"1234") == 4
    free[0] = 3
    with pytest.raises(uploads.UploadRefused, match="Not enough disk space"):
        receive(upload, b"5678", 4)


def test_an_archive_that_was_read_takes_no_more_bytes(overlay):
    upload = start(overlay, "a.zip", unpack=True, size=8)
    upload.ready_at = NOW
    assert uploads.received(upload) == 8
    with pytest.raises(uploads.UploadRefused, match="already uploaded") as refused:
        receive(upload, b"1")
    assert refused.value.cure.url.endswith(f"/uploads/{upload.pk}/plan")


def whole(overlay: Overlay, name: str, content: bytes, **how) -> Upload:
    upload = start(overlay, name, size=len(content), **how)
    receive(upload, content)
    return upload


def test_a_file_gets_its_place_and_counts_at_once(overlay, cast):
    upload = whole(overlay, "a.txt", b"12345")
    job = uploads.finish(upload, by=cast.owner)
    assert (paths.directory(overlay) / "a.txt").read_bytes() == b"12345"
    assert (paths.directory(overlay) / "a.txt").stat().st_mode & 0o777 == 0o644
    overlay.refresh_from_db()
    assert (overlay.size_bytes, Upload.objects.count(), job.operation) == (5, 0, "build")
    entry = AuditEntry.objects.get(action="overlay.uploaded")
    assert (entry.details["path"], entry.details["size"]) == ("a.txt", 5)
    assert listed(uploads.directory()) == []


def test_an_empty_file_is_made_and_a_program_can_be_executed(overlay, cast):
    uploads.finish(start(overlay, "empty.txt", size=0), by=cast.owner)
    uploads.finish(whole(overlay, "run.sh", b"#!/bin/sh"), by=cast.owner)
    folder = paths.directory(overlay)
    assert (folder / "empty.txt").read_bytes() == b""
    assert (folder / "run.sh").stat().st_mode & 0o777 == 0o755


def test_a_text_is_converted_if_a_person_could_have_written_it(overlay, cast):
    marked, largest = b"\xef\xbb\xbf", game_files.LARGEST
    for name, size in (("a.cfg", 5), ("b.cfg", largest), ("c.cfg", largest + 1)):
        Overlay.objects.update(size_bytes=0)
        Upload.objects.all().delete()
        content = marked + b"x" * (size - 3)
        upload = Upload.objects.create(overlay=overlay, user=cast.owner, path=name, size=len(content))
        receive(upload, content)
        uploads.finish(upload, by=cast.owner)
    folder = paths.directory(overlay)
    assert [(folder / name).stat().st_size for name in ("a.cfg", "b.cfg", "c.cfg")] == [2, largest - 3, largest + 1]
    assert listed(uploads.directory()) == []


def test_an_archive_is_read_first_unless_its_plan_shall_be_applied_at_once(overlay, cast):
    content = zipped([("cfg/a.cfg", b"1")])
    upload = whole(overlay, "a.zip", content, unpack=True)
    assert uploads.finish(upload, by=cast.owner).operation == "read_archive"
    upload.ready_at = NOW
    assert uploads.finish(upload, by=cast.owner) is None
    job = uploads.finish(upload, by=cast.owner, apply=True)
    assert (job.operation, job.params) == ("unpack", {"upload": upload.pk})
    assert Upload.objects.get() == upload


def test_an_incomplete_upload_is_not_finished(overlay, cast):
    upload = start(overlay, size=5)
    receive(upload, b"1234")
    for row in (upload, start(overlay, "a.zip", unpack=True, size=5)):
        with pytest.raises(uploads.UploadRefused, match="incomplete"):
            uploads.finish(row, by=cast.owner)
    assert not Job.objects.exists()


def test_what_was_not_finished_in_time_goes_with_its_files(overlay):
    rows = {
        name: start(overlay, name, size=1, unpack=True) for name in ("old.zip", "new.zip", "ready.zip", "kept.zip")
    }
    for name, days in (("old.zip", 3), ("new.zip", 2), ("ready.zip", 9), ("kept.zip", 9)):
        row = rows[name]
        receive(row, b"x")
        uploads.index_path(row).touch()
        ready = {"ready.zip": NOW - timedelta(days=7, seconds=1), "kept.zip": NOW - timedelta(days=7)}.get(name)
        created = NOW - timedelta(days=days, seconds=1)
        Upload.objects.filter(pk=row.pk).update(created_at=created, ready_at=ready)
    for stray in ("999.part", "999.index", "999.other", "name.part"):
        (uploads.directory() / stray).touch()
    assert uploads.delete_abandoned(now=NOW) == 2
    assert set(Upload.objects.all()) == {rows["new.zip"], rows["kept.zip"]}
    kept = [f"{rows[name].pk}.{kind}" for name in ("new.zip", "kept.zip") for kind in ("part", "index")]
    assert set(listed(uploads.directory())) == {*kept, "999.other", "name.part"}


def test_the_archives_that_wait_are_those_that_are_whole_or_have_a_problem(overlay):
    complete = whole(overlay, "a.zip", b"1", unpack=True)
    start(overlay, "b.zip", unpack=True)
    whole(overlay, "c.txt", b"1")
    broken = start(overlay, "d.zip", unpack=True)
    broken.problem = "x"
    broken.save()
    assert uploads.waiting(overlay) == [complete, broken]
