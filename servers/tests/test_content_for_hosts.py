"""Overlays' content on another host: a real process gives it over a real socket, another data directory takes it."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from left4me.core.concurrency import Cancelled
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.jobs.operations import Failed
from left4me.testing.cast import Cast
from left4me.testing.jobs import drain
from left4me.testing.recorded_run import RecordedRun
from overlays import actions as overlay_actions
from overlays.models import Overlay, OverlayCopy
from overlays.replication import attempts, layers
from overlays.replication import client as replication_client
from overlays.replication import store as replication_store
from overlays.replication.store import Copies
from overlays.tests.factories import make_overlay
from servers.models import HostToken, Server
from servers.tests.factories import make_blueprint, make_host, make_server
from servers.tests.far_web import far_web, port_of_web, process_of_web, worker_host  # noqa: F401 -- fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def overlay(web, db) -> Overlay:
    overlay = make_overlay(content_version=1, name="maps")
    write(
        web.tree(overlay), {"left4dead2/cfg/server.cfg": b"sv_x 1\n", "left4dead2/addons/big.vpk": os.urandom(300_000)}
    )
    return overlay


@pytest.fixture
def server(two, overlay, cast: Cast) -> Server:
    return make_server(cast.owner, host=two, blueprint=make_blueprint(cast.owner, overlays=[overlay]))


def write(tree: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)


def content(tree: Path) -> dict[str, str]:
    """Every path below with its hash, or where it links to."""
    return {
        str(path.relative_to(tree)): f"-> {path.readlink()}"
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tree.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def prepare(overlay: Overlay, run: Any = None) -> tuple[Path, RecordedRun]:
    overlay.refresh_from_db()
    run = run or RecordedRun()
    run.host = "two"
    return layers.trees(run, [overlay])[overlay.pk], run


def bytes_fetched(run: RecordedRun) -> int:
    (line,) = [line for line in run.lines if "to download:" in line]
    return int(line.rpartition(", ")[2].partition(" ")[0])


def bump(overlay: Overlay) -> None:
    Overlay.objects.filter(pk=overlay.pk).update(content_version=overlay.content_version + 1)


def test_the_copy_is_what_the_web_holds(web, server, overlay):
    (web.tree(overlay) / "empty").mkdir()
    (web.tree(overlay) / "tool.sh").write_bytes(b"#!/bin/sh\n")
    (web.tree(overlay) / "tool.sh").chmod(0o755)
    (web.tree(overlay) / "same").symlink_to("left4dead2/cfg")
    tree, _run = prepare(overlay)
    assert content(tree) == content(web.tree(overlay))
    assert (tree / "empty").is_dir()
    assert os.access(tree / "tool.sh", os.X_OK)
    assert not os.access(tree / "left4dead2/cfg/server.cfg", os.X_OK)
    assert OverlayCopy.objects.get().host == "two"


def test_what_is_there_already_is_not_asked_for_again(web, server, overlay):
    first, _run = prepare(overlay)
    web.stop()
    second, run = prepare(overlay)
    assert (second, run.lines) == (first, [])


def test_a_small_change_moves_only_the_small_file(web, server, overlay):
    first, _run = prepare(overlay)
    write(web.tree(overlay), {"left4dead2/cfg/server.cfg": b"sv_x 2\n"})
    bump(overlay)
    second, run = prepare(overlay)
    assert bytes_fetched(run) == len(b"sv_x 2\n")
    assert content(second) == content(web.tree(overlay))
    big = "left4dead2/addons/big.vpk"
    assert (first / big).stat().st_ino == (second / big).stat().st_ino


def test_a_running_server_keeps_the_layer_that_it_was_started_with(web, server, overlay):
    first, _run = prepare(overlay)
    before = content(first)
    shutil.rmtree(web.tree(overlay))
    write(web.tree(overlay), {"other": b"x"})
    bump(overlay)
    second, _run = prepare(overlay)
    assert content(second) == content(web.tree(overlay))
    assert content(first) == before


def test_a_new_version_of_the_same_content_costs_no_file(web, server, overlay):
    first, _run = prepare(overlay)
    bump(overlay)
    second, run = prepare(overlay)
    assert (second, bytes_fetched(run)) == (first, 0)
    assert OverlayCopy.objects.get().content_version == 2


def test_links_that_lead_out_and_names_that_cannot_be_used_stay_behind(web, server, overlay, tmp_path):
    (web.tree(overlay) / "secret").symlink_to("/etc/passwd")
    (web.tree(overlay) / "up").symlink_to("../../other")
    (web.tree(overlay) / "left4dead2/down").symlink_to("../left4dead2/cfg")
    os.mkfifo(web.tree(overlay) / "pipe")
    (web.tree(overlay) / "bad\nname").write_bytes(b"x")
    tree, run = prepare(overlay)
    assert not {"secret", "up", "pipe", "bad\nname"} & {path.name for path in tree.iterdir()}
    assert (tree / "left4dead2/down").is_symlink()
    assert {line.split()[1].rstrip(":") for line in run.lines if line.startswith("skipped")} == {
        "secret",
        "up",
        "pipe",
        "bad\\nname",
    }


def test_a_broken_transfer_goes_on_where_it_ended(web, server, overlay, monkeypatch):
    """The connection breaks in the middle of the large file: what has arrived is not sent again."""
    write(web.tree(overlay), {"huge": os.urandom(3_000_000)})
    counted: list[int] = []
    take = replication_client._Lines.take
    broken = []

    def breaking(self, length):
        for piece in take(self, length):
            counted.append(len(piece))
            yield piece
            if sum(counted) > 1_000_000 and not broken:
                broken.append(True)
                raise replication_client.fetch.Unreachable("cut")

    monkeypatch.setattr(replication_client._Lines, "take", breaking)
    tree, run = prepare(overlay)
    assert content(tree) == content(web.tree(overlay))
    assert sum(counted) == bytes_fetched(run)
    assert any("retrying" in line for line in run.lines)


def test_while_the_web_is_away_the_job_waits_for_it(web, server, overlay):
    web.stop()
    back = threading.Timer(1.5, web.start)
    back.start()
    tree, run = prepare(overlay)
    back.join()
    assert content(tree) == content(web.tree(overlay))
    assert any("retrying" in line for line in run.lines)


def test_when_the_web_stays_away_the_job_fails_with_its_address(web, server, overlay, monkeypatch):
    monkeypatch.setattr(attempts, "PATIENCE_SECONDS", 0.0)
    web.stop()
    with pytest.raises(Failed, match=f"“maps” could not be downloaded to this host: {web.url} does not answer"):
        prepare(overlay)


def test_a_cancel_ends_a_transfer_that_waits(web, server, overlay):
    web.stop()
    run = RecordedRun()
    run.cancel_after_sleeps = 2
    with pytest.raises(Cancelled):
        prepare(overlay, run)


def test_a_file_that_is_changed_meanwhile_is_looked_at_again(web, server, overlay, monkeypatch):
    """The manifest is made, then somebody saves the file: what arrives is not what was announced."""
    fetch = replication_client._Source.fetch
    changed = []

    def late(self, entries, arriving, *, total):
        if not changed:
            changed.append(True)
            write(web.tree(overlay), {"left4dead2/cfg/server.cfg": b"sv_x 9\n"})
        return fetch(self, entries, arriving, total=total)

    monkeypatch.setattr(replication_client._Source, "fetch", late)
    tree, run = prepare(overlay)
    assert content(tree) == content(web.tree(overlay))
    assert any("changed during the download" in line for line in run.lines)


def test_half_of_a_build_is_not_handed_out(web, server, overlay, settings):
    job = jobs.request(operation="build", resource=overlay.resource, by=None, host="local")
    now = job.created_at
    Job.objects.filter(pk=job.pk).update(state="running", started_at=now, lease_expires_at=now, worker="x")
    ended = threading.Timer(1.0, lambda: Job.objects.filter(pk=job.pk).delete())
    ended.start()
    _tree, run = prepare(overlay)
    ended.join()
    assert "Waiting for the build of “maps”." in run.lines


@pytest.mark.parametrize("authorization", ["", "Bearer l4h_wrong", "Bearer l4m_wrong", "Basic x"])
def test_without_a_host_s_token_nothing_is_given(web, server, overlay, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    path = f"{web.url}/api/v1/hosts/self/overlays/{overlay.pk}/content"
    assert requests.get(path, headers=headers, timeout=10).status_code == 401
    assert requests.post(path, headers=headers, json={"files": []}, timeout=10).status_code == 401


def test_a_host_gets_only_what_its_own_servers_are_made_of(web, server, overlay, settings, cast: Cast):
    foreign = make_overlay(content_version=1)
    make_server(cast.owner, host=make_host(), blueprint=make_blueprint(cast.owner, overlays=[foreign]))
    write(web.tree(foreign), {"x": b"x"})
    with pytest.raises(Failed, match="no such overlay for this host"):
        prepare(foreign)


def test_a_revoked_token_opens_nothing(web, server, overlay):
    HostToken.objects.all().delete()
    with pytest.raises(Failed, match="does not know this host's token"):
        prepare(overlay)


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "secret", "left4dead2/../../x"])
def test_no_request_reads_outside_of_the_overlay(web, server, overlay, settings, path):
    (web.tree(overlay) / "secret").symlink_to("/etc/passwd")
    answer = requests.post(
        f"{web.url}/api/v1/hosts/self/overlays/{overlay.pk}/content",
        json={"files": [[path, 0]]},
        headers={"Authorization": f"Bearer {settings.LEFT4ME_HOST_TOKEN}"},
        timeout=10,
    )
    assert answer.json() == {"path": path, "gone": True}


def test_a_web_that_lies_writes_nowhere_else(web, server, overlay, monkeypatch, tmp_path):
    """A manifest that leads out is refused as a whole."""
    from overlays.replication.manifest import Malformed, Reader

    for said in (
        b'{"path": "../../evil", "sha256": "%s", "size": 1}' % (b"0" * 64),
        b'{"path": "a/../../evil"}',
        b'{"path": "link", "link": "/etc"}',
        b'{"path": "a/link", "link": "../../x"}',
        b'{"path": "x", "sha256": "../../evil", "size": 1}',
    ):
        with pytest.raises(Malformed):
            Reader().take(said)


def test_two_starts_at_once_fetch_once(web, server, overlay, settings):
    runs = [RecordedRun(), RecordedRun()]
    threads = [threading.Thread(target=_prepare_in_thread, args=[overlay, run]) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for run in runs for line in run.lines if "to download:" in line) == 1


def _prepare_in_thread(overlay: Overlay, run: RecordedRun) -> None:
    from django.db import connection

    run.host = "two"
    try:
        layers.trees(run, [Overlay.objects.get(pk=overlay.pk)])
    finally:
        connection.close()


def test_old_copies_go_once_nobody_runs_them(web, server, overlay, monkeypatch):
    first, _run = prepare(overlay)
    write(web.tree(overlay), {"new": b"x"})
    bump(overlay)
    second, _run = prepare(overlay)
    assert layers.tidy() == 0, "a start that was prepared a moment ago may still mount it"
    an_hour_ago = time.time() - 2 * 3600
    os.utime(first, (an_hour_ago, an_hour_ago))
    os.utime(second, (an_hour_ago, an_hour_ago))
    monkeypatch.setattr(replication_store, "_mounts", [lambda: {first}])
    assert layers.tidy() == 0
    monkeypatch.setattr(replication_store, "_mounts", [lambda: set()])
    assert layers.tidy() == 1
    assert (first.exists(), second.exists()) == (False, True)


def test_deleting_an_overlay_removes_its_files_on_every_host(web, server, overlay, cast: Cast, settings):
    Overlay.objects.filter(pk=overlay.pk).update(path=str(overlay.pk))
    overlay.refresh_from_db()
    write(web.tree(overlay), {"x": b"x"})
    prepare(overlay)
    here = Copies(overlay.pk).path
    server.delete()
    overlay.in_blueprints.all().delete()
    number, tree = overlay.pk, web.tree(overlay)
    overlay_actions.delete(overlay=overlay, by=cast.admin)
    assert set(Job.objects.values_list("host", "resource")) == {
        ("local", f"overlay:{number}"),
        ("two", f"overlay:{number}"),
    }
    # The other host is down for now: its job waits, and holds up nobody.
    mine = settings.LEFT4ME_ROOT, settings.LEFT4ME_WEB_URL
    settings.LEFT4ME_ROOT, settings.LEFT4ME_WEB_URL = web.root, ""
    drain(host="local")
    assert not tree.exists()
    settings.LEFT4ME_ROOT, settings.LEFT4ME_WEB_URL = mine
    drain(host="two")
    assert set(Job.objects.values_list("host", "state")) == {("local", "succeeded"), ("two", "succeeded")}
    assert not here.exists()


def test_a_start_that_waits_for_a_host_that_is_down_holds_up_no_build(web, server, overlay, settings):
    waiting = jobs.request(operation="start", resource=server.resource, by=None, host="two")
    build = jobs.request(operation="build", resource=overlay.resource, by=None, host="local")
    settings.LEFT4ME_ROOT, settings.LEFT4ME_WEB_URL = web.root, ""
    assert [job.pk for job in drain(host="local")] == [build.pk]
    waiting.refresh_from_db()
    assert waiting.state == "queued"
