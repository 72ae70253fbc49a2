"""The trash, called directly: what it takes, what is gone, and what makes room."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.files.tree import BadPath, Tree
from left4me.core.rows import Gone
from left4me.core.web.refusals import Refused
from left4me.testing.folders import listed
from overlays import paths
from overlays.files import trash
from overlays.models import DeletedFile, Overlay
from overlays.tests.factories import make_overlay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

NOW = timezone.now()


@pytest.fixture
def overlay(cast, left4me_root: Path, settings) -> Overlay:
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    return make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner)


def throw(overlay: Overlay, name: str, size: int = 5, *, ago: int = 0) -> DeletedFile:
    with Tree(paths.directory(overlay)) as content, content.writing((name,)) as stream:
        stream.write(bytes(size))
    when = NOW - timedelta(days=ago)
    [row] = trash.delete(overlay=overlay, places=[(name,)], by=overlay.owner, now=when)
    return row


def test_a_folder_is_thrown_away_whole_and_restored(overlay, cast):
    Overlay.objects.update(size_bytes=100)
    folder = paths.directory(overlay) / "cfg"
    (folder / "deep").mkdir(parents=True)
    for name, size in (("a", 3), ("deep/b", 4)):
        (folder / name).write_bytes(bytes(size))
    [row] = trash.delete(overlay=overlay, places=[("cfg",)], by=cast.owner, now=NOW)
    assert (row.path, row.is_folder, row.file_count, row.size, row.deleted_by) == ("cfg", True, 2, 7, cast.owner)
    overlay.refresh_from_db()
    assert (overlay.size_bytes, folder.exists()) == (93, False)
    folder.mkdir()
    with pytest.raises(Refused, match="Something else is at “cfg” now"):
        trash.restore(row, by=cast.owner)
    folder.rmdir()
    trash.restore(DeletedFile.objects.get(), by=cast.owner)
    overlay.refresh_from_db()
    assert (overlay.size_bytes, (folder / "deep" / "b").stat().st_size) == (100, 4)
    actions = [entry.action for entry in AuditEntry.objects.order_by("pk")]
    assert actions == ["overlay.files_deleted", "overlay.files_restored"]
    with pytest.raises(BadPath, match="top folder"):
        trash.delete(overlay=overlay, places=[()], by=cast.owner, now=NOW)


def test_what_is_not_in_the_trash_any_more_is_gone(overlay, cast):
    row = throw(overlay, "a")
    (trash.directory() / str(row.pk)).unlink()
    with pytest.raises(Gone):
        trash.restore(row, by=cast.owner)
    trash.discard(row, by=cast.owner)
    assert not DeletedFile.objects.exists()
    assert AuditEntry.objects.filter(action="overlay.files_discarded").exists()


@pytest.mark.parametrize(("fault", "passes"), [(errno.EXDEV, True), (errno.EIO, False)])
def test_what_the_trash_cannot_take_is_deleted_for_good(overlay, cast, monkeypatch, fault, passes):
    (paths.directory(overlay)).mkdir(parents=True)
    (paths.directory(overlay) / "a").write_bytes(b"12345")
    Overlay.objects.update(size_bytes=10)

    def refuse(*_where, **_how):
        raise OSError(fault, "no")

    monkeypatch.setattr(Tree, "rename", refuse)
    if passes:
        assert trash.delete(overlay=overlay, places=[("a",)], by=cast.owner, now=NOW) == []
    else:
        with pytest.raises(OSError, match="no"):
            trash.delete(overlay=overlay, places=[("a",)], by=cast.owner, now=NOW)
    overlay.refresh_from_db()
    assert (overlay.size_bytes, (paths.directory(overlay) / "a").exists()) == ((5, False) if passes else (10, True))
    assert not DeletedFile.objects.exists()


@pytest.mark.parametrize(
    ("quota", "wanted", "disk", "left"),
    [
        (100, 0, 0, "empty new old middle"),
        (20, 5, 100, "empty new old middle"),
        (19, 5, 100, "empty new middle"),
        (15, 5, 100, "empty new middle"),
        (14, 5, 100, "empty new"),
        (5, 5, 100, "empty"),
        (4, 5, 100, "empty new old middle"),
        (None, 5, 5, "empty new old middle"),
        (None, 5, 4, "empty new middle"),
        (None, 21, 5, "empty new old middle"),
    ],
)
def test_the_oldest_make_room_but_not_for_what_would_not_fit_even_then(overlay, free, quota, wanted, disk, left):
    rows = {
        name: throw(overlay, name, size, ago=ago)
        for name, size, ago in (("old", 5, 3), ("middle", 5, 2), ("new", 5, 1))
    }
    rows["empty"] = throw(overlay, "empty", 0, ago=9)
    other = throw(make_overlay(owner=overlay.owner, kind="files"), "x", 0)
    free[0] = disk
    trash.make_room(overlay, quota_left=quota, wanted=wanted)
    found = {row.path for row in DeletedFile.objects.exclude(pk=other.pk)}
    assert found == set(left.split())


def test_what_expired_and_what_has_no_row_goes(overlay):
    kept, expired = throw(overlay, "kept", ago=7), throw(overlay, "expired", ago=8)
    (trash.directory() / "999").mkdir()
    trash.tidy(now=NOW)
    assert list(DeletedFile.objects.all()) == [kept]
    assert listed(trash.directory()) == [str(kept.pk)]
    assert expired.path == "expired"
