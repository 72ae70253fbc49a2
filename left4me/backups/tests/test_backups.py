"""Backups from request to restore: jobs, pages, API, schedule."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.backups import actions, operations
from left4me.backups.models import KEPT, Backup
from left4me.backups.tests.factories import make_backup
from left4me.core.concurrency import Cancelled
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from left4me.testing.recorded_run import RecordedRun
from overlays.tests.factories import make_overlay
from servers.hosts import this_host
from servers.lifecycle import lifecycle
from servers.models import DeletedServer, Server
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import FakeRuntime
from servers.tests.near_host import answer_here

HOST = "local"


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_client: object) -> Path:
    """A root of its own; the host answers in the test's thread."""
    settings.LEFT4ME_ROOT = tmp_path

    answer_here(monkeypatch)
    return tmp_path


@pytest.fixture
def server(cast: Cast, root: Path) -> Server:
    server = make_server(
        cast.owner, host=make_host(last_seen_at=timezone.now()), name="Friday", actual_state="stopped"
    )
    files_of(root, server).mkdir(parents=True)
    (files_of(root, server) / "bans.txt").write_text("nobody")
    return server


def files_of(root: Path, server: Server) -> Path:
    return root / "servers" / str(server.pk) / "upper"


@pytest.fixture
def anna(client: Client, cast: Cast) -> Client:
    client.force_login(cast.owner)
    return client


def back_up(server: Server, by: Any) -> Backup:
    backup = actions.request(target=server, by=by)
    drain(host=HOST)
    backup.refresh_from_db()
    return backup


def test_a_server_is_backed_up_and_restored_by_hand(anna: Client, server: Server, root: Path, cast: Cast):
    page = f"/servers/{server.pk}/backups"
    assert "No backups yet" in anna.get(page).content.decode()
    anna.post(f"{page}/create")
    assert "Queued" in anna.get(page).content.decode()
    drain(host=HOST)
    backup = Backup.objects.get()
    assert (backup.file_count, backup.reason, backup.was_running) == (1, "manual", False)
    (files_of(root, server) / "bans.txt").write_text("everybody")
    (files_of(root, server) / "new.txt").write_text("new")
    plan = anna.get(f"{page}/{backup.pk}/plan").content.decode()
    assert "Replaced: 1" in plan
    assert "Removed: 1" in plan
    assert "new.txt" in plan
    anna.post(f"{page}/{backup.pk}/restore")
    drain(host=HOST)
    assert (files_of(root, server) / "bans.txt").read_text() == "nobody"
    assert not (files_of(root, server) / "new.txt").exists()
    # What was there before can be restored as well.
    before = Backup.objects.get(reason="before_restore")
    anna.post(f"{page}/{before.pk}/restore")
    drain(host=HOST)
    assert (files_of(root, server) / "new.txt").read_text() == "new"
    done = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert done == ["server.backup", "server.restore_backup", "server.restore_backup"]


def test_a_running_server_is_backed_up_without_stopping_and_says_so(anna: Client, server: Server, cast: Cast):
    Server.objects.update(actual_state="running", desired_state="running")
    assert back_up(server, cast.owner).was_running
    assert "while the server was running" in anna.get(f"/servers/{server.pk}/backups").content.decode()
    server.refresh_from_db()
    assert server.desired_state == "running"


def test_a_running_server_is_not_restored(anna: Client, server: Server, cast: Cast, root: Path):
    backup = back_up(server, cast.owner)
    Server.objects.update(actual_state="running")
    plan = anna.get(f"/servers/{server.pk}/backups/{backup.pk}/plan").content.decode()
    assert "Stop server" in plan
    anna.post(f"/servers/{server.pk}/backups/{backup.pk}/restore")
    assert not Job.objects.filter(operation="put_back").exists()


def test_only_the_newest_are_kept(server: Server, cast: Cast, root: Path):
    for _ in range(KEPT + 2):
        back_up(server, cast.owner)
    assert Backup.objects.count() == KEPT
    assert len(list((root / "backups").glob("*/*.tar.gz"))) == KEPT


def test_a_backup_beyond_the_quota_fails_and_leaves_nothing(server: Server, cast: Cast, root: Path, settings: Any):
    make_backup(server, size=settings.LEFT4ME_BACKUP_QUOTA_MB * 1_000_000)
    actions.request(target=server, by=cast.owner)
    (job,) = drain(host=HOST)
    assert (job.state, "Delete backups" in job.error) == ("failed", True)
    assert Backup.objects.count() == 1
    assert not list((root / "backups").glob("*/*"))


def test_a_deleted_backup_takes_its_archive_along(anna: Client, server: Server, cast: Cast, root: Path):
    backup = back_up(server, cast.owner)
    kept = back_up(server, cast.owner)
    anna.post(f"/servers/{server.pk}/backups/{backup.pk}/delete")
    assert operations.remove_orphans() == 2
    assert [path.name for path in sorted((root / "backups").glob("*/*"))] == [
        f"{kept.pk}.json.gz",
        f"{kept.pk}.tar.gz",
    ]


def test_backups_outlive_their_server_for_as_long_as_it_can_be_restored(
    anna: Client, server: Server, cast: Cast, root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(this_host, "runtime", FakeRuntime)
    backup = back_up(server, cast.owner)
    pk = server.pk
    for ending in ("restored", "forgotten"):
        lifecycle.delete(server, RecordedRun())
        assert not Backup.objects.exists()
        assert operations.remove_orphans() == 0
        if ending == "restored":
            # Jobs are pruned meanwhile.
            Job.objects.all().delete()
            anna.post(f"/servers/deleted/{pk}/restore")
            restored = Backup.objects.get()
            assert (restored.pk, restored.size) == (backup.pk, backup.size)
            assert (restored.user, restored.job) == (cast.owner, None)
            assert restored.archive.exists()
            server = Server.objects.get(pk=pk)
    DeletedServer.objects.all().delete()
    assert operations.remove_orphans() == 2


def test_a_backup_is_downloaded_and_a_broken_download_continues(
    anna: Client, server: Server, cast: Cast, monkeypatch: pytest.MonkeyPatch
):
    backup = back_up(server, cast.owner)
    monkeypatch.setattr(operations, "PIECE", 50)
    address = f"/servers/{server.pk}/backups/{backup.pk}/download"
    whole = anna.get(address)
    data = b"".join(whole.streaming_content)  # type: ignore[attr-defined]
    assert len(data) == backup.size == int(whole["Content-Length"])
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        assert tar.getnames() == ["bans.txt"]
    rest = anna.get(address, headers={"Range": "bytes=60-"})
    assert (rest.status_code, rest["Content-Range"]) == (206, f"bytes 60-{backup.size - 1}/{backup.size}")
    assert b"".join(rest.streaming_content) == data[60:]  # type: ignore[attr-defined]
    assert anna.get(address, headers={"Range": "bytes=9999999-"}).status_code == 416


def test_an_archive_that_is_missing_is_said(anna: Client, server: Server, cast: Cast, root: Path):
    backup = make_backup(server)
    assert "are missing" in anna.get(f"/servers/{server.pk}/backups/{backup.pk}/plan").content.decode()
    assert anna.get(f"/servers/{server.pk}/backups/{backup.pk}/download").status_code == 404


def test_a_files_overlay_is_backed_up_and_restored(anna: Client, cast: Cast, root: Path):
    overlay = make_overlay(owner=cast.owner, name="our cfgs")
    folder = root / "overlays" / overlay.path
    folder.mkdir(parents=True)
    (folder / "a.cfg").write_text("one")
    page = f"/overlays/{overlay.pk}/backups"
    anna.post(f"{page}/create")
    drain(host=HOST)
    (folder / "a.cfg").write_text("two, which is longer")
    version = overlay.content_version
    anna.post(f"{page}/{Backup.objects.get().pk}/restore")
    drain(host=HOST)
    assert (folder / "a.cfg").read_text() == "one"
    overlay.refresh_from_db()
    # Servers that use it show that a restart applies it, and other hosts fetch it.
    assert overlay.content_version > version
    assert page in anna.get(f"/overlays/{overlay.pk}").content.decode()


def test_overlays_that_can_be_built_again_are_not_backed_up(api: Caller, cast: Cast):
    overlay = make_overlay(owner=cast.owner, kind="workshop")
    assert api.by(cast.owner).post(f"/overlays/{overlay.pk}/backups")[0] == 404


def test_the_api_does_the_same(api: Caller, server: Server, cast: Cast, root: Path):
    anna = api.by(cast.owner)
    status, made = anna.post(f"/servers/{server.pk}/backups")
    assert (status, made["finished_at"]) == (202, None)
    drain(host=HOST)
    (backup,) = anna.get(f"/servers/{server.pk}/backups")[1]["items"]
    assert (backup["id"], backup["file_count"]) == (made["id"], 1)
    (files_of(root, server) / "bans.txt").unlink()
    plan = anna.get(f"/servers/{server.pk}/backups/{backup['id']}/plan")[1]
    assert plan["added"] == {"count": 1, "paths": ["bans.txt"]}
    status, job = anna.post(f"/servers/{server.pk}/backups/{backup['id']}/restore")
    assert (status, job["operation"]) == (202, "put_back")
    drain(host=HOST)
    assert (files_of(root, server) / "bans.txt").exists()
    assert anna.delete(f"/servers/{server.pk}/backups/{backup['id']}")[0] == 204
    assert api.by(cast.viewer).get(f"/servers/{server.pk}/backups")[0] == 404


def test_a_cancelled_backup_leaves_nothing(server: Server, cast: Cast, root: Path, monkeypatch: pytest.MonkeyPatch):
    def cancelled(*args: object, **kwargs: object) -> None:
        raise Cancelled

    monkeypatch.setattr(operations.archives, "write", cancelled)
    actions.request(target=server, by=cast.owner)
    drain(host=HOST)
    assert not Backup.objects.exists()


def test_a_failed_backup_says_why_on_the_page_and_can_be_tried_again(
    anna: Client, server: Server, cast: Cast, root: Path, settings: Any
):
    full = make_backup(server, size=settings.LEFT4ME_BACKUP_QUOTA_MB * 1_000_000)
    anna.post(f"/servers/{server.pk}/backups/create")
    (failed,) = drain(host=HOST)
    page = anna.get(f"/servers/{server.pk}/backups").content.decode()
    assert "Back up: failed" in page
    assert "Delete backups, then try again." in page
    full.delete()
    anna.post(f"/jobs/{failed.pk}/retry")
    drain(host=HOST)
    backup = Backup.objects.get()
    assert (backup.user, backup.file_count, backup.owner) == (cast.owner, 1, cast.owner)
    assert "Back up: failed" not in anna.get(f"/servers/{server.pk}/backups").content.decode()
