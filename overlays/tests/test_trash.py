"""The trash of files overlays: deleted files come back where they were, for a while and within limits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.files import room
from left4me.jobs.models import Job
from left4me.testing.buttons import press
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from overlays import actions
from overlays.files import trash, uploads
from overlays.models import DeletedFile, Overlay
from overlays.tests.factories import make_overlay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def overlay(cast: Cast, left4me_root: Path) -> Overlay:
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


@pytest.fixture
def root(overlay: Overlay) -> Path:
    root = settings.LEFT4ME_ROOT / "overlays" / overlay.path
    for path, size in {"left4dead2/cfg/a.cfg": 10, "left4dead2/cfg/b.cfg": 20, "motd.txt": 5}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * size)
    return root


@pytest.fixture
def anna(client: Client, cast: Cast) -> Client:
    client.force_login(cast.owner)
    return client


def url(name: str, overlay: Overlay, *args: int) -> str:
    return reverse(f"overlays:{name}", args=[overlay.pk, *args])


def kept() -> list[str]:
    return sorted(path.name for path in trash.directory().iterdir())


def throw_away(overlay: Overlay, *places: tuple[str, ...], ago: timedelta = timedelta()) -> list[DeletedFile]:
    return trash.delete(overlay=overlay, places=places, by=overlay.owner, now=timezone.now() - ago)


def test_a_deleted_folder_comes_back_with_undo(anna, overlay, root):
    overlay.size_bytes = 35
    overlay.save()
    deleted = anna.post(url("delete_files", overlay), {"at": "left4dead2", "name": "cfg"}, follow=True)
    row = DeletedFile.objects.get()
    assert (row.path, row.is_folder, row.file_count, row.size) == ("left4dead2/cfg", True, 2, 30)
    assert not (root / "left4dead2/cfg").exists()
    overlay.refresh_from_db()
    assert overlay.size_bytes == 5, "the quota is free before the build"
    assert [job.operation for job in drain(host=settings.LEFT4ME_HOST)] == ["build"]
    shown = press(anna, deleted, "Undo").content.decode()
    assert "a.cfg" not in shown and "cfg" in shown, "the folder it is in"
    assert (root / "left4dead2/cfg/b.cfg").read_bytes() == b"x" * 20
    assert not DeletedFile.objects.exists() and kept() == []
    assert [job.operation for job in drain(host=settings.LEFT4ME_HOST)] == ["build"]
    actions_of = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert [action for action in actions_of if "files" in action] == [
        "overlay.files_deleted",
        "overlay.files_restored",
    ]


def test_what_has_another_file_at_its_path_is_restored_once_that_is_gone(anna, overlay, root):
    deleted = anna.post(url("delete_files", overlay), {"at": "", "name": "motd.txt"}, follow=True)
    (root / "motd.txt").write_text("another one")
    refused = press(anna, deleted, "Undo")
    assert "Something else is at “motd.txt” now" in refused.content.decode()
    assert (root / "motd.txt").read_text() == "another one"
    (root / "motd.txt").unlink()
    press(anna, refused, "Undo")
    assert (root / "motd.txt").read_bytes() == b"xxxxx"


def test_the_page_lists_restores_and_deletes_for_good(anna, overlay, root):
    assert "No deleted files" in anna.get(url("deleted_files", overlay)).content.decode()
    folder, file = throw_away(overlay, ("left4dead2", "cfg"), ("motd.txt",))
    assert "Recently deleted" in anna.get(url("files", overlay)).content.decode()
    page = anna.get(url("deleted_files", overlay)).content.decode()
    assert "left4dead2/cfg" in page and "2 files" in page and "anna" in page
    assert anna.post(url("discard_file", overlay, file.pk)).status_code == 302
    assert kept() == [str(folder.pk)]
    answer = anna.post(url("restore_file", overlay, folder.pk))
    assert answer["Location"] == url("files", overlay) + "?at=left4dead2"
    assert (root / "left4dead2/cfg/a.cfg").exists() and kept() == []
    assert anna.post(url("restore_file", overlay, folder.pk)).status_code == 404


def test_the_trash_belongs_to_those_who_may_change_the_overlay(anna, cast, overlay, root):
    (file,) = throw_away(overlay, ("motd.txt",))
    other = make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)
    assert anna.post(url("restore_file", other, file.pk)).status_code == 404
    anna.force_login(cast.stranger)
    for name, args in (("deleted_files", []), ("restore_file", [file.pk]), ("discard_file", [file.pk])):
        answer = anna.get(url(name, overlay)) if not args else anna.post(url(name, overlay, *args))
        assert answer.status_code == 404
    assert DeletedFile.objects.exists()


def test_what_nobody_restores_goes_after_seven_days_and_with_its_overlay(cast, overlay, root):
    throw_away(overlay, ("motd.txt",), ago=timedelta(days=8))
    (young,) = throw_away(overlay, ("left4dead2", "cfg", "a.cfg"), ago=timedelta(days=6))
    trash.tidy(now=timezone.now())
    assert kept() == [str(young.pk)]
    overlay.path = str(overlay.pk)
    overlay.save()
    actions.delete(overlay=overlay, by=cast.owner)
    assert [job.operation for job in drain(host=settings.LEFT4ME_HOST)] == ["remove_overlay"]
    assert kept() == []


def test_an_upload_takes_the_space_of_the_oldest(cast, overlay, root, settings, monkeypatch):
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    overlay.size_bytes = 999_965
    overlay.save()
    old, young = throw_away(overlay, ("left4dead2", "cfg", "b.cfg"), ("left4dead2", "cfg", "a.cfg"))
    DeletedFile.objects.filter(pk=old.pk).update(deleted_at=timezone.now() - timedelta(days=1))
    start = {"overlay": overlay, "folder": "", "unpack": False, "by": cast.owner}
    uploads.start(**start, name="c.txt", size=20)
    assert kept() == sorted([str(old.pk), str(young.pk)]), "65 bytes are free, and the trash holds 30"
    uploads.start(**start, name="d.txt", size=30)
    assert kept() == [str(young.pk)]
    monkeypatch.setattr(room, "left", lambda path: 4)
    uploads.start(**start, name="e.txt", size=4)
    assert kept() == [str(young.pk)]
    with pytest.raises(uploads.UploadRefused):
        uploads.start(**start, name="f.txt", size=10)
    assert kept() == []


def test_an_upload_that_the_disk_cannot_take_at_all_costs_nobody_their_deleted_files(cast, overlay, root, monkeypatch):
    (file,) = throw_away(overlay, ("motd.txt",))
    monkeypatch.setattr(room, "left", lambda path: 4)
    with pytest.raises(uploads.UploadRefused):
        uploads.start(overlay=overlay, folder="", unpack=False, by=cast.owner, name="huge.txt", size=1_000_000)
    assert kept() == [str(file.pk)]


def test_what_a_row_of_a_replaced_database_left_in_the_trash_does_not_keep_others_out(overlay, root):
    (first,) = throw_away(overlay, ("motd.txt",))
    left_behind = trash.directory() / str(first.pk + 1) / "old.txt"
    left_behind.parent.mkdir()
    left_behind.touch()
    (second,) = throw_away(overlay, ("left4dead2", "cfg", "a.cfg"))
    assert second.pk == first.pk + 1
    assert (trash.directory() / str(second.pk)).read_bytes() == b"x" * 10


def test_links_are_moved_and_never_followed(overlay, root, tmp_path):
    (tmp_path / "secret").write_text("untouched")
    (root / "link").symlink_to(tmp_path)
    (file,) = throw_away(overlay, ("link",))
    trash.restore(file, by=overlay.owner)
    assert (root / "link").is_symlink()
    (file,) = throw_away(overlay, ("link",))
    trash.purge([file])
    assert (tmp_path / "secret").read_text() == "untouched"


def test_the_api_deletes_lists_restores_and_discards(cast: Cast, api: Caller, overlay, root):
    api = api.by(cast.owner)
    status, answer = api.delete(f"/overlays/{overlay.pk}/files?path=motd.txt&path=left4dead2/cfg")
    assert status == 202 and answer["job"]["operation"] == "build"
    file, folder = answer["deleted"]
    assert (file["path"], folder["file_count"], folder["deleted_by"]) == ("motd.txt", 2, "anna")
    assert api.get(f"/overlays/{overlay.pk}/deleted-files")[1]["count"] == 2
    (root / "motd.txt").write_text("another one")
    assert api.post(f"/overlays/{overlay.pk}/deleted-files/{file['id']}/restore", {})[0] == 409
    assert api.post(f"/overlays/{overlay.pk}/deleted-files/{folder['id']}/restore", {})[0] == 202
    assert api.delete(f"/overlays/{overlay.pk}/deleted-files/{file['id']}") == (204, "")
    assert api.get(f"/overlays/{overlay.pk}/deleted-files")[1] == {"items": [], "count": 0}
    for path in ("nothing.txt", "../x", ""):
        assert api.delete(f"/overlays/{overlay.pk}/files?path={path}")[0] == 422
    assert api.by(cast.stranger).delete(f"/overlays/{overlay.pk}/files?path=motd.txt")[0] == 404
    assert Job.objects.filter(operation="build").exists()
