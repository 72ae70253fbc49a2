"""7z, rar and xz archives, which only bsdtar reads: from the upload to the files of the overlay."""

from __future__ import annotations

import json
import shutil
import stat

import pytest
from django.conf import settings
from django.urls import reverse

from deploy.doctor import machine
from left4me.jobs.models import JobLog
from left4me.testing import vpk_files
from left4me.testing.jobs import drain
from overlays.files import archive_plans, archives, uploads
from overlays.models import Overlay, Upload
from overlays.tests import packed
from overlays.tests.factories import make_overlay

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.archives,
]

WAYS = {
    "a.7z": ("--format", "7zip"),
    "a.tar.xz": ("--format", "pax", "--xz"),
    "a.txz": ("--format", "gnutar", "--xz"),
}


@pytest.fixture
def overlay(cast, left4me_root):
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


@pytest.fixture
def root(overlay):
    return settings.LEFT4ME_ROOT / "overlays" / overlay.path


@pytest.fixture
def send(client, cast, overlay):
    """Upload an archive as a browser does, and extract it; returns the job and its log lines."""
    client.force_login(cast.owner)

    def address(name, *args):
        return reverse(f"overlays:{name}", args=[overlay.pk, *args])

    def send(name, content):
        asked = json.dumps({"name": name, "size": len(content), "unpack": True})
        begun = client.post(address("start_upload"), asked, content_type="application/json").json()
        where = address("upload_chunk", begun["id"]) + "?offset=0"
        client.post(where, content, content_type="application/octet-stream")
        assert client.post(address("finish_upload", begun["id"])).status_code == 202
        [job] = drain(host=settings.LEFT4ME_HOST)
        if job.state == "succeeded":
            assert job.operation == "read_archive"
            client.post(address("archive_plan", begun["id"]))
            job = next(iter(drain(host=settings.LEFT4ME_HOST)), job)
        lines = JobLog.objects.filter(job=job, stream__in=["stdout", "stderr"]).values_list("line", flat=True)
        return job, list(lines)

    return send


@pytest.fixture
def members(tmp_path):
    vpk_files.write(tmp_path / "map.vpk", {"maps/a.bsp": bytes(range(256)) * 40})
    return [("left4dead2/cfg/server.cfg", b"sv_x 1\n"), ("地图.vpk", (tmp_path / "map.vpk").read_bytes())]


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if not path.is_dir()}


def listed(root):
    return sorted(contents(root))


def wanted(members):
    (cfg, lines), (name, content) = members
    return {cfg: lines, f"left4dead2/addons/{name}": content}


@pytest.mark.parametrize("name", WAYS)
def test_what_is_packed_is_in_the_overlay_and_nothing_is_left_over(send, root, overlay, members, tmp_path, name):
    job, lines = send(name, packed.converted(members, tmp_path, *WAYS[name]))
    assert (job.operation, job.state, job.error) == ("unpack", "succeeded", "")
    assert contents(root) == wanted(members)
    assert f"files=2 bytes={sum(len(content) for _, content in members)} left_out=0" in lines
    assert not Upload.objects.exists()
    assert list(uploads.directory().iterdir()) == []
    overlay.refresh_from_db()
    assert (overlay.file_count, overlay.content_version) == (2, 1)


def test_a_rar_is_unpacked(send, root, members):
    job, _ = send("a.rar", packed.rar(members))
    assert (job.state, job.error) == ("succeeded", "")
    assert contents(root) == wanted(members)


def test_names_in_chinese_of_an_old_rar_are_read(send, root):
    send("a.rar", packed.rar([("地图说明文件/地图说明.txt".encode("gbk"), b"x")]))
    assert listed(root) == ["地图说明文件/地图说明.txt"]


HOSTILE = ["../evil", "/etc/evil", "a/../../evil", "c:\\evil", "a\x01b", "x" * 300]


@pytest.mark.parametrize("pack", ["a.7z", "a.tar.xz", "a.rar"])
def test_names_that_lead_out_or_cannot_be_are_left_out(send, root, tmp_path, pack):
    members = [*((name, b"evil") for name in HOSTILE), ("ok.txt", b"ok")]
    content = packed.rar(members) if pack == "a.rar" else packed.converted(members, tmp_path, *WAYS[pack])
    job, lines = send(pack, content)
    assert (job.state, job.error) == ("succeeded", "")
    assert listed(root) == ["ok.txt"]
    assert f"files=1 bytes=2 left_out={len(HOSTILE)}" in lines
    assert not list(root.parent.rglob("*evil*"))


@pytest.mark.parametrize("name", ["a.7z", "a.tar.xz"])
def test_links_are_left_out_and_not_written_through(send, root, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    members = [(packed.symlink("link", str(outside)), b""), ("link/through.txt", b"t"), ("ok.txt", b"ok")]
    job, lines = send(name, packed.converted(members, tmp_path, *WAYS[name]))
    assert (job.state, listed(root)) == ("succeeded", ["link/through.txt", "ok.txt"])
    assert "skipped 'link': is not a regular file" in lines
    assert list(outside.iterdir()) == []


def test_links_in_a_rar_are_left_out(send, root, tmp_path):
    job, _ = send("a.rar", packed.rar([("link", str(tmp_path).encode())], kind=stat.S_IFLNK))
    # Nothing would be unpacked, so the plan is not applied.
    assert (job.operation, job.state) == ("read_archive", "succeeded")
    [upload] = Upload.objects.all()
    assert [left.reason for left in archive_plans.plan(upload, archives.Choices()).plan.left_out] == [
        "is not a regular file"
    ]
    assert not root.exists() or listed(root) == []


@pytest.mark.parametrize("name", ["a.7z", "a.tar.xz"])
@pytest.mark.parametrize("size", [30_000_000, 150_000_000], ids=["found by counting", "found by the sandbox"])
def test_a_bomb_ends_and_leaves_nothing_behind(send, root, tmp_path, name, size):
    content = packed.converted([("zeros.bin", bytes(size))], tmp_path, *WAYS[name])
    job, _ = send(name, content)
    assert (job.state, job.error) == ("failed", "The archive is too large when extracted.")
    assert sum(path.stat().st_size for path in root.rglob("*")) < 20_000_000
    assert [path.name for path in uploads.directory().iterdir() if path.is_dir()] == []


def test_the_quota_holds_for_what_comes_out(send, settings, tmp_path):
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    job, _ = send("a.7z", packed.converted([("zeros.bin", bytes(5_000_000))], tmp_path, *WAYS["a.7z"]))
    assert (job.state, job.error) == ("failed", "The archive is too large when extracted.")


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"hello", b"#mtree\nx type=file contents=/etc/hostname\n"])
def test_what_is_no_archive_is_not_handed_on(send, root, name, content):
    if content == b"":
        content = b"\0"  # an upload is never empty
    job, _ = send(name, content)
    assert (job.state, job.error) == (
        "failed",
        "The archive is damaged, or not the kind its name says.",
    )
    assert not root.exists() or listed(root) == []


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.tar.xz"])
def test_a_torn_archive_says_so(send, members, tmp_path, name):
    content = packed.rar(members) if name == "a.rar" else packed.converted(members, tmp_path, *WAYS[name])
    job, _ = send(name, content[: len(content) // 2])
    assert job.state == "failed"
    assert job.error.startswith(("The archive cannot be read: ", "The archive is damaged: "))
    assert "Traceback" not in job.error


def test_the_programs_are_those_that_doctor_looks_for():
    finding = machine.archives()
    assert (finding.level, finding.message) == ("ok", "7z, rar and xz archives are supported")


def test_doctor_names_what_is_missing_with_the_cure(monkeypatch, tmp_path):
    (tmp_path / "bwrap").symlink_to(shutil.which("bwrap"))
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = machine.archives()
    assert (finding.level, finding.message) == (
        "warning",
        "bsdtar missing: 7z, rar and xz archives do not work",
    )
    assert finding.cure == "Run `apt-get install bubblewrap libarchive-tools`."
