"""The builders of overlays below their programs: what is logged, counted, refused and kept when something fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.utils import timezone

from left4me.core.concurrency import Cancelled
from left4me.core.processes import commands
from left4me.jobs.operations import Failed
from left4me.testing import vpk_files
from left4me.testing.recorded_run import RecordedRun
from overlays import links, paths
from overlays.builders import script, workshop
from overlays.models import Overlay, OverlayScript, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from workshop import cache
from workshop.item_download import PublishedFile
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("left4me_root")]


# --- scripts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scripted(redis_client) -> Overlay:
    overlay = make_overlay(kind=Overlay.Kind.SCRIPT)
    OverlayScript.objects.create(overlay=overlay, text="one\r\ntwo")
    return overlay


@pytest.fixture
def writes(monkeypatch):
    """What the script writes, by path, in place of running it; or the exception that its program raises."""
    files: dict[str, bytes | Exception] = {}

    def run(argv, **how):
        files["argv"], files["how"] = argv, how
        for path, content in list(files.items()):
            if isinstance(content, Exception):
                raise content
            if isinstance(content, bytes):
                target = Path(argv[argv.index("--bind") + 1]) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)

    monkeypatch.setattr(script.commands, "run", run)
    return files


def test_a_script_is_run_within_its_limits_and_its_files_are_taken(scripted, writes):
    writes["left4dead2/cfg/a.cfg"] = b"\xef\xbb\xbfx"
    writes["b"] = b"123"
    run = RecordedRun(scripted.resource)
    assert script.build(run, scripted) is True
    tree = paths.directory(scripted)
    assert (tree / "left4dead2" / "cfg" / "a.cfg").read_bytes() == b"x"
    scripted.refresh_from_db()
    assert (scripted.file_count, scripted.size_bytes, scripted.content_version) == (2, 7, 1)
    assert run.lines == [
        "left4dead2/cfg/a.cfg converted from UTF-8 with a byte order mark to UTF-8",
        "files=2 bytes=7",
    ]
    assert scripted.contents.paths == ["left4dead2/cfg/a.cfg", "b"]
    argv = [str(word) for word in writes["argv"]]
    assert argv[:5] == ["prlimit", f"--as={4 * 1024**3}", "--nproc=512", f"--fsize={20 * 1000**3}", "--core=0"]
    assert argv[5] == "bwrap", "with the network"
    assert argv[argv.index("--size") + 1] == str(1024**3)
    assert {"/etc/resolv.conf", "/etc/ssl", "/etc/hosts"} <= set(argv)
    assert argv[-3:] == ["sh", "-e", "/script"]
    assert writes["how"]["timeout"] == 30 * 60
    assert [path.name for path in tree.parent.iterdir()] == [tree.name], "neither the script nor a half tree is left"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (commands.CommandMissing("bwrap is not installed"), "bwrap is not installed. Script overlays need bubblewrap"),
        (commands.CommandTimedOut("sh", 1800), "ran longer than 30 minutes"),
        (commands.CommandFailed("sh", 3, "tail"), "failed with exit status 3: tail"),
        (Cancelled(), "wrote more than 20 GB"),
    ],
)
def test_a_script_that_fails_says_why_and_leaves_nothing(scripted, writes, fault, words):
    writes["fault"] = fault
    with pytest.raises(Failed, match=words):
        script.build(RecordedRun(scripted.resource), scripted)
    assert list(paths.directory(scripted).parent.iterdir()) == []
    scripted.refresh_from_db()
    assert scripted.content_version == 0


def test_a_cancel_of_the_job_is_told_from_a_full_tree(scripted, writes):
    writes["fault"] = Cancelled()
    run = RecordedRun(scripted.resource)
    run.cancel_after_sleeps = 0
    with pytest.raises(Cancelled):
        script.build(run, scripted)


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_without_a_script_there_is_nothing_to_build(text):
    overlay = make_overlay(kind=Overlay.Kind.SCRIPT)
    if text is not None:
        OverlayScript.objects.create(overlay=overlay, text=text)
    with pytest.raises(Failed, match="no script yet"):
        script.build(RecordedRun(overlay.resource), overlay)


def test_files_that_the_game_cannot_open_fail_the_build_and_some_are_named(scripted, writes):
    writes |= {f"left4dead2/addons/{number:02}.vpk": b"<html>" for number in range(21)}
    with pytest.raises(Failed) as failed:
        script.build(RecordedRun(scripted.resource), scripted)
    lines = str(failed.value).splitlines()
    assert lines[0] == "The game cannot open these files, which the script created."
    assert lines[1].endswith(".vpk is a web page, not a VPK")
    assert len(lines) == 21


def test_the_space_of_a_tree_is_what_is_taken_of_the_disk(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(bytes(5000))
    (tmp_path / "b").write_bytes(bytes(1))
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(10**9)
    (tmp_path / "link").symlink_to("deep/a")
    expected = sum(os.lstat(tmp_path / name).st_blocks * 512 for name in ("deep/a", "b", "hole", "link"))
    assert script._used(tmp_path) == expected < 10**6
    assert expected > 0


# --- workshop items ----------------------------------------------------------------------------------------------


@pytest.fixture
def overlay(steam_world) -> Overlay:
    return make_overlay(kind=Overlay.Kind.WORKSHOP)


def add(overlay, steam_world, steam_id, **fields):
    steam_world.add(steam_id)
    details = steam_world.details(steam_id)
    usual = {
        "file_url": details["file_url"],
        "file_size": int(details["file_size"]),
        "time_updated": details["time_updated"],
        "title": details["title"],
        "steam_result": 1,
    }
    item = WorkshopItem.objects.create(steam_id=steam_id, **(usual | fields))
    OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    return item


def build(overlay):
    run = RecordedRun(overlay.resource)
    try:
        return workshop.build(run, overlay), run.lines, ""
    except Failed as fault:
        return None, run.lines, str(fault)


def test_items_are_fetched_linked_and_counted_once(overlay, steam_world):
    item = add(overlay, steam_world, 1)
    changed, lines, _error = build(overlay)
    assert changed is True
    assert lines[:2] == ["workshop 1 downloading", f"workshop 1 downloaded “Item 1”, {item.file_size} bytes"]
    assert lines[-1] == "downloaded=1 cached=0 skipped=0 created=1 removed=0 unchanged=0"
    overlay.refresh_from_db()
    assert (overlay.content_version, overlay.file_count, overlay.size_bytes) == (1, 1, item.file_size)
    assert overlay.is_inspected
    changed, lines, _error = build(overlay)
    assert (changed, lines) == (False, ["downloaded=0 cached=1 skipped=0 created=0 removed=0 unchanged=1"])
    overlay.refresh_from_db()
    assert overlay.content_version == 1
    overlay.workshop_links.all().delete()
    changed, lines, _error = build(overlay)
    assert (changed, lines[-1]) == (True, "downloaded=0 cached=0 skipped=0 created=0 removed=1 unchanged=0")
    overlay.refresh_from_db()
    assert (overlay.content_version, overlay.file_count, overlay.size_bytes) == (2, 0, 0)


def test_an_empty_overlay_is_built_and_looked_at_without_a_change(overlay):
    assert build(overlay)[0] is False
    overlay.refresh_from_db()
    assert (overlay.is_inspected, overlay.content_version, overlay.built_at is not None) == (True, 0, True)


def test_an_item_without_an_address_is_skipped_with_what_steam_said(overlay, steam_world):
    add(overlay, steam_world, 1, file_url="", steam_result=None)
    add(overlay, steam_world, 2, file_url="", steam_result=9, steam_error="not found")
    add(overlay, steam_world, 3, file_url="", steam_result=1)
    changed, lines, error = build(overlay)
    assert (changed, error) == (False, "")
    assert lines == [
        "workshop 1 skipped: no data from Steam about “Item 1” yet; refresh the overlay from Steam",
        "workshop 2 skipped: Steam gives no download address for “Item 2” (result 9: not found)",
        "workshop 3 skipped: Steam gives no download address for “Item 3” (result 1)",
        "downloaded=0 cached=0 skipped=3 created=0 removed=0 unchanged=0",
    ]


def test_what_was_refused_is_not_fetched_again_and_the_others_are_ready(overlay, steam_world):
    refused = add(overlay, steam_world, 1)
    WorkshopItem.objects.update(refused_version=refused.time_updated, refused_size=refused.file_size)
    add(overlay, steam_world, 2)
    changed, lines, error = build(overlay)
    assert (changed, steam_world.downloads(1), steam_world.downloads(2)) == (None, 0, 1)
    assert error.splitlines() == [
        "1 of 2 items failed; the others are ready.",
        "1 “Item 1”: the file is not a valid VPK",
    ]
    assert any(
        line.startswith("workshop 1 not downloaded again: the file is not a valid VPK; left4me tries")
        for line in lines
    )
    refused.refresh_from_db()
    assert refused.last_error == "download failed: the file is not a valid VPK"
    overlay.refresh_from_db()
    assert (overlay.content_version, overlay.file_count) == (1, 1)
    WorkshopItem.objects.filter(steam_id=1).update(last_error="download failed: torn")
    assert build(overlay)[2].splitlines()[1] == "1 “Item 1”: torn"


def test_a_cached_file_that_is_no_vpk_is_not_linked(overlay, steam_world):
    item = add(overlay, steam_world, 1)
    path = cache.directory() / "1.vpk"
    path.write_bytes(b"<html>".ljust(item.file_size))
    os.utime(path, (item.time_updated, item.time_updated))
    _changed, lines, error = build(overlay)
    assert error.endswith("1 “Item 1”: the file is a web page, not a VPK")
    assert "workshop 1 not linked: the file is a web page, not a VPK" in lines
    assert list((paths.directory(overlay) / links.ADDONS).iterdir()) == []
    # A version that was inspected is not inspected again.
    WorkshopItem.objects.update(last_error="")
    assert build(overlay)[2].endswith("1 “Item 1”: the file is not a valid VPK")


def test_a_new_version_of_a_file_is_a_change_though_its_link_stays(overlay, steam_world):
    item = add(overlay, steam_world, 1)
    build(overlay)
    path = cache.directory() / "1.vpk"
    vpk_files.write(path, {"new.txt": b"1"})
    os.utime(path, (item.time_updated + 5, item.time_updated + 5))
    WorkshopItem.objects.update(time_updated=item.time_updated + 5, file_size=path.stat().st_size)
    changed, lines, _error = build(overlay)
    assert (changed, lines[-1]) == (True, "downloaded=0 cached=1 skipped=0 created=0 removed=0 unchanged=1")
    assert overlay.workshop_links.get().linked_version == item.time_updated + 5


def test_of_very_many_failures_some_are_named(overlay):
    items = [WorkshopItem(steam_id=number, title=f"T{number}") for number in range(1, 23)]
    failed = {item.steam_id: "e" for item in items[:21]}
    lines = workshop._failure(failed, items).splitlines()
    assert (lines[0], lines[1], len(lines)) == ("21 of 22 items failed; the others are ready.", "1 “T1”: e", 22)
    assert lines[-1] == "… and 1 more"
    del failed[1]
    assert workshop._failure(failed, items).splitlines()[-1] == "21 “T21”: e"


def test_progress_is_the_sum_of_all_and_reaches_the_rows_every_two_seconds(overlay, monkeypatch):
    items = {number: WorkshopItem.objects.create(steam_id=number) for number in (1, 2)}
    now, told = [100.0], []
    run = RecordedRun()
    monkeypatch.setattr(run, "progress", lambda **how: told.append((how["done"], how["total"])))
    monkeypatch.setattr(workshop.time, "monotonic", lambda: now[0])
    progress = workshop._Progress(run, items, 50)
    recorded = []
    for later, steam_id, done in ((0, 1, 5), (0, 2, 7), (1.9, 1, 9), (0.1, 1, 11), (0, 2, 12), (0, 2, 13)):
        now[0] += later
        progress.advance(PublishedFile(steam_id, "", 9, 9), done)
        recorded.append(WorkshopItem.objects.get(steam_id=steam_id).progress_bytes)
    assert told == [(5, 50), (12, 50), (16, 50), (18, 50), (23, 50), (24, 50)]
    assert recorded == [5, 7, 5, 11, 12, 12]
    assert WorkshopItem.objects.get(steam_id=1).progress_at <= timezone.now()
