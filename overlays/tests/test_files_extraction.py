"""Reading and unpacking of uploaded archives as jobs: what is logged, allowed and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from left4me.jobs.operations import Failed
from left4me.testing.folders import listed
from left4me.testing.recorded_run import RecordedRun
from overlays import paths
from overlays.files import extraction, uploads
from overlays.models import Overlay, Upload
from overlays.tests.factories import make_overlay
from overlays.tests.test_files_archives import zipped
from overlays.tests.test_files_uploads import whole

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

NOW = timezone.now()


@pytest.fixture
def overlay(cast, left4me_root: Path, settings) -> Overlay:
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


def run_on(upload: Upload | None, **params) -> RecordedRun:
    return RecordedRun(upload.overlay.resource if upload else "overlay:0", upload=upload.pk if upload else 0, **params)


def test_an_archive_is_read_and_then_unpacked_by_the_choices(overlay, cast):
    upload = whole(
        overlay, "a.zip", zipped([("A/cfg/b.cfg", b"123"), ("B/cfg/b.cfg", b"4"), ("A/readme.md", b"")]), unpack=True
    )
    run = run_on(upload)
    extraction.read(run, overlay)
    assert run.lines == ["files=3 bytes=4"]
    upload.refresh_from_db()
    assert (upload.problem, upload.ready_at is not None) == ("", True)
    run = run_on(upload, root="B")
    extraction.unpack(run, overlay)
    assert (paths.directory(overlay) / "left4dead2" / "cfg" / "b.cfg").read_bytes() == b"4"
    assert run.lines == [
        "stripped folder: B/",
        "1 files → left4dead2/cfg",
        "skipped 'A/cfg/b.cfg': is outside the chosen folder “B”",
        "skipped 'A/readme.md': is documentation or metadata of the pack",
        "files=1 bytes=1 left_out=2",
    ]
    assert not Upload.objects.exists()
    assert listed(uploads.directory()) == []


def test_the_log_names_some_of_what_was_left_out_and_what_was_converted(overlay):
    names = [(f"../{number}", b"") for number in range(21)]
    same = [name for number in range(21) for name in ((f"cfg/a{number}.x", b""), (f"cfg/A{number}.x", b""))]
    upload = whole(overlay, "a.zip", zipped([*names, *same, ("cfg/t.cfg", b"\xef\xbb\xbfx")]), unpack=True)
    run = run_on(upload)
    extraction.unpack(run, overlay)
    assert sum(line.startswith("skipped ") for line in run.lines) == 20
    assert sum(line.startswith("same name except for letter case: ") for line in run.lines) == 20
    assert "left4dead2/cfg/t.cfg converted from UTF-8 with a byte order mark to UTF-8" in run.lines
    assert run.lines[-1] == "files=43 bytes=4 left_out=21"


def test_programs_that_an_admin_takes_in_are_allowed(overlay):
    content = zipped([("srcds_run", b"x"), ("cfg/a.cfg", b"")])
    extraction.unpack(run_on(whole(overlay, "a.zip", content, unpack=True)), overlay)
    overlay.refresh_from_db()
    assert overlay.allowed_programs == {}
    extraction.unpack(run_on(whole(overlay, "a.zip", content, unpack=True), with_programs=True), overlay)
    overlay.refresh_from_db()
    assert list(overlay.allowed_programs) == ["srcds_run"]


def test_an_archive_that_cannot_be_read_says_why_and_keeps_it(overlay):
    for name, content, words in (
        ("a.zip", b"PK\3\4broken", "damaged"),
        ("a.7z", b"no 7z", "not the kind its name says"),
    ):
        upload = whole(overlay, name, content, unpack=True)
        with pytest.raises(Failed, match=words):
            extraction.read(run_on(upload), overlay)
        upload.refresh_from_db()
        assert words in upload.problem
        assert upload.ready_at is None
    with pytest.raises(Failed, match="no longer exists"):
        extraction.read(run_on(None), overlay)
    with pytest.raises(Failed, match="no longer exists"):
        extraction.unpack(run_on(upload), make_overlay())


def test_an_archive_that_says_it_is_larger_than_the_quota_is_refused(overlay):
    Overlay.objects.update(size_bytes=990_000)
    raw = zipped([("a", bytes(20_000))])
    with pytest.raises(Failed, match="too large when extracted"):
        extraction.read(run_on(whole(overlay, "a.zip", raw, unpack=True)), overlay)
    Overlay.objects.update(size_bytes=980_000)
    extraction.read(run_on(Upload.objects.get()), overlay)
    # In the catalog there is no quota.
    shared = make_overlay()
    extraction.read(run_on(whole(shared, "a.zip", raw, unpack=True, by=overlay.owner)), shared)
