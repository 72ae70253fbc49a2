"""Archives that are fetched from an address into an overlay: hashes, interruptions, limits and refusals."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.web.refusals import Refused
from left4me.jobs.execution import ActiveRun
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from left4me.testing import smx_files
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from overlays import paths
from overlays.files import remote_archives, uploads
from overlays.models import Overlay
from overlays.tests.factories import make_overlay


class Web(ThreadingHTTPServer):
    """Serves files; `cut` of them break off in the middle. Their sizes are told if `tells_sizes`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut = 0
        self.tells_sizes = True
        self.ranges: list[str] = []
        self.origin = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        self.server.ranges.append(self.headers.get("Range", ""))
        self.send_response(206 if wanted else 200)
        if self.server.tells_sizes:
            self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        # The size is asked for first, with a request of its own.
        is_cut = self.server.cut and len(self.server.ranges) % 2 == 0
        self.server.cut -= bool(is_cut)
        self.wfile.write(content[start : start + 50_000] if is_cut else content[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(settings, tmp_path: Path, monkeypatch) -> Iterator[Web]:
    settings.LEFT4ME_ROOT = tmp_path
    monkeypatch.setattr(remote_archives, "_WAITS", (0.0, 0.0))
    server = Web()
    settings.LEFT4ME_ARCHIVE_ORIGINS = [server.origin]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def overlay(cast: Cast) -> Overlay:
    return make_overlay(name="SourceMod 1.12", owner=cast.owner)


@functools.cache
def release() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("addons/sourcemod/plugins/heal.smx", smx_files.plugin("Heal"))
        archive.writestr("addons/sourcemod/bin/sourcemod.logic.so", b"\x7fELF" + bytes(200_000))
    return target.getvalue()


def fetch(overlay: Overlay, by, url: str, sha256: str = "") -> Job:
    job = remote_archives.request(overlay=overlay, url=url, sha256=sha256, by=by)
    drain(host="local")
    job.refresh_from_db()
    return job


def has_plugin(overlay: Overlay) -> bool:
    return (paths.directory(overlay) / "left4dead2/addons/sourcemod/plugins/heal.smx").is_file()


def test_an_archive_is_fetched_checked_and_extracted(web: Web, overlay: Overlay, cast: Cast):
    web.files["/sourcemod-1.12.zip"] = release()
    job = fetch(overlay, cast.owner, f"{web.origin}/sourcemod-1.12.zip", hashlib.sha256(release()).hexdigest().upper())
    assert job.state == Job.State.SUCCEEDED, job.error
    assert has_plugin(overlay)
    assert list(uploads.directory().iterdir()) == []
    assert AuditEntry.objects.filter(action="overlay.fetch", target=overlay.resource).exists()


def test_another_archive_than_the_expected_one_is_refused(web: Web, overlay: Overlay, cast: Cast):
    web.files["/a.zip"] = release()
    job = fetch(overlay, cast.owner, f"{web.origin}/a.zip", "0" * 64)
    assert job.state == Job.State.FAILED
    assert hashlib.sha256(release()).hexdigest() in job.error
    assert not has_plugin(overlay)
    assert list(uploads.directory().iterdir()) == []


def test_a_download_that_breaks_off_is_continued(web: Web, overlay: Overlay, cast: Cast):
    web.files["/a.zip"] = release()
    web.cut = 1
    job = fetch(overlay, cast.owner, f"{web.origin}/a.zip")
    assert job.state == Job.State.SUCCEEDED, job.error
    assert has_plugin(overlay)
    assert web.ranges[-1].startswith("bytes=")


def test_what_arrived_stays_for_the_next_attempt_and_is_deleted_after_days(web: Web, overlay: Overlay, cast: Cast):
    web.files["/a.zip"] = release()
    web.cut = 3
    job = fetch(overlay, cast.owner, f"{web.origin}/a.zip")
    assert job.state == Job.State.FAILED
    assert "Retry" in job.error
    (partial,) = uploads.directory().iterdir()
    assert partial.stat().st_size > 0
    remote_archives.delete_abandoned(now=timezone.now())
    assert partial.exists()
    remote_archives.delete_abandoned(now=timezone.now() + timedelta(days=4))
    assert not partial.exists()


def test_a_partial_file_that_is_published_while_old_ones_are_deleted_keeps_none_of_the_others(
    web: Web, monkeypatch: pytest.MonkeyPatch
):
    for name in ("1-a", "2-b", "3-c"):
        (uploads.directory() / f"{remote_archives._PARTIAL}{name}.part").touch()
    look, seen = Path.stat, []

    def look_after_the_first_is_gone(path: Path, **how: bool):
        if path.suffix == ".part" and not seen:
            seen.append(path)
            path.rename(path.with_suffix(".published"))
        return look(path, **how)

    monkeypatch.setattr(Path, "stat", look_after_the_first_is_gone)
    remote_archives.delete_abandoned(now=timezone.now() + timedelta(days=4))
    assert [path.suffix for path in uploads.directory().iterdir()] == [".published"]


def test_the_job_tells_how_much_of_the_archive_has_arrived(web: Web, overlay: Overlay, cast: Cast, monkeypatch):
    told: list[tuple[int, int | None]] = []
    report = ActiveRun.progress

    def note(run: ActiveRun, **figures: Any) -> None:
        if figures.get("unit") == "bytes":
            told.append((figures["done"], figures.get("total")))
        report(run, **figures)

    monkeypatch.setattr(ActiveRun, "progress", note)
    web.files["/a.zip"] = release()
    fetch(overlay, cast.owner, f"{web.origin}/a.zip")
    size = len(release())
    assert {total for _done, total in told} == {size}
    assert (size, size) in told


@pytest.mark.parametrize("url", ["https://127.0.0.1/a.zip", "http://10.0.0.7/a.zip", "https://localhost/a.zip"])
def test_only_the_public_internet_is_reached(web: Web, overlay: Overlay, cast: Cast, url: str):
    job = fetch(overlay, cast.owner, url)
    assert job.state == Job.State.FAILED
    assert "public internet" in job.error


def test_a_web_page_and_an_archive_beyond_the_quota_are_refused(web: Web, overlay: Overlay, cast: Cast, settings):
    web.files["/page.zip"] = b"<!DOCTYPE html><html>Not found</html>"
    assert "web page" in fetch(overlay, cast.owner, f"{web.origin}/page.zip").error
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 0
    web.files["/a.zip"] = release()
    assert "quota" in fetch(overlay, cast.owner, f"{web.origin}/a.zip").error


def test_an_archive_whose_size_nobody_tells_is_taken_as_long_as_there_is_room(
    web: Web, overlay: Overlay, cast: Cast, settings
):
    web.files["/a.zip"] = release()
    web.tells_sizes = False
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 0
    refused = fetch(overlay, cast.owner, f"{web.origin}/a.zip")
    assert (refused.state, has_plugin(overlay)) == (Job.State.FAILED, False)
    assert "quota" in refused.error
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    assert fetch(overlay, cast.owner, f"{web.origin}/a.zip").state == Job.State.SUCCEEDED
    assert has_plugin(overlay)


@pytest.mark.parametrize(
    ("url", "sha256"),
    [
        ("ftp://example.com/a.zip", ""),
        ("https://example.com/download", ""),
        ("https://user:pass@example.com/a.zip", ""),
        ("https://[::1/a.zip", ""),
        ("https://example.com/a.zip", "abc"),
        ("", ""),
    ],
)
def test_what_cannot_be_fetched_is_refused_at_once(overlay: Overlay, cast: Cast, url: str, sha256: str):
    with pytest.raises(Refused):
        remote_archives.request(overlay=overlay, url=url, sha256=sha256, by=cast.owner)


def test_pages_and_programs_request_it_for_those_who_may_change_the_files(overlay: Overlay, cast: Cast, client):
    client.force_login(cast.owner)
    given = {"url": "https://example.com/a.zip"}
    assert client.post(f"/overlays/{overlay.pk}/files/fetch", given)["Location"].startswith("/jobs/")
    answer = client.post(f"/api/v1/overlays/{overlay.pk}/fetches", given, content_type="application/json")
    assert (answer.status_code, answer.json()["operation"]) == (202, "fetch_archive")
    client.force_login(cast.stranger)
    assert client.post(f"/overlays/{overlay.pk}/files/fetch", given).status_code == 404


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.org/a/b%20c.zip?x=1", "b c.zip"),
        ("https://x.org/", "archive"),
        ("https://x.org/%20", "archive"),
        ("https://x.org/" + "n" * 300, "n" * 200),
    ],
)
def test_the_name_of_an_archive_is_the_end_of_its_address(url: str, name: str) -> None:
    assert remote_archives._name(url) == name


@pytest.mark.parametrize(
    ("url", "is_usable"),
    [
        ("https://x.org/a.zip", True),
        ("http://x.org/a.zip", True),
        ("ftp://x.org/a.zip", False),
        ("https:///a.zip", False),
        ("https://me@x.org/a.zip", False),
        ("https://x.org/a\u202e.zip", False),
        ("https://[x.org/a.zip", False),
    ],
)
def test_an_address_is_one_of_a_web_server_without_a_user(url: str, is_usable: bool) -> None:
    assert (remote_archives._split(url) is not None) is is_usable


@pytest.mark.parametrize(
    ("url", "sha256", "words"),
    [
        ("x", "", "Enter the https address"),
        ("https://x.org/" + "a" * 1983 + ".zip", "", "Enter the https address"),
        ("https://x.org/a.txt", "", "must end with the name of an archive: .zip, .tar"),
        ("https://x.org/a.zip", "0" * 63, "64 hexadecimal digits"),
        ("https://x.org/a.zip", "g" * 64, "64 hexadecimal digits"),
        ("https://x.org/%2e%2e%2fa.zip", "", "not a valid file name"),
    ],
)
def test_each_part_of_a_request_is_checked(overlay: Overlay, url: str, sha256: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        remote_archives.request(overlay=overlay, url=url, sha256=sha256, by=overlay.owner)


@pytest.mark.parametrize(
    ("size", "has", "free", "quota", "words"),
    [
        (4 * 1000**3, 0, 10**10, None, ""),
        (4 * 1000**3 + 1, 0, 10**10, None, "larger than the quota allows"),
        (100, 0, 100, 100, ""),
        (101, 0, 200, 100, "larger than the quota allows"),
        (100, 0, 99, None, "Not enough disk space"),
        (100, 1, 99, None, ""),
    ],
)
def test_an_archive_must_fit_into_the_quota_and_on_the_disk(monkeypatch, size, has, free, quota, words) -> None:
    monkeypatch.setattr(uploads, "quota_left", lambda _overlay: quota)
    monkeypatch.setattr(uploads, "directory", lambda: None)
    monkeypatch.setattr(remote_archives.room, "left", lambda _path: free)
    if words:
        with pytest.raises(Failed, match=words):
            remote_archives._check_room(Overlay(), size, has=has)
    else:
        remote_archives._check_room(Overlay(), size, has=has)


@pytest.mark.parametrize(("first", "is_page"), [(b" \n<!DOCTYPE html>", True), (b"<HTML>", True), (b"PK", False)])
def test_a_web_page_is_no_archive(first: bytes, is_page: bool) -> None:
    answer = SimpleNamespace(host="x.org")
    if is_page:
        with pytest.raises(Failed, match=r"x\.org sent a web page"):
            remote_archives._check_start(answer, first)
    else:
        remote_archives._check_start(answer, first)


def test_partial_files_are_deleted_when_nobody_repeats_the_download(left4me_root: Path) -> None:
    now = timezone.now()
    for name, age in (("fetched-1-x.part", 3), ("fetched-2-x.part", 2), ("7.part", 9)):
        path = uploads.directory() / name
        path.touch()
        then = (now - timedelta(days=age, seconds=1)).timestamp()
        os.utime(path, (then, then))
    remote_archives.delete_abandoned(now=now)
    assert sorted(path.name for path in uploads.directory().iterdir()) == ["7.part", "fetched-2-x.part"]
