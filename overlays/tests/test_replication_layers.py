"""The layers of servers on another host: copies of overlays, and links to the items of its own cache."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from left4me.core.concurrency import Cancelled
from left4me.core.web.asgi import Refusal
from left4me.jobs.models import Job, JobLock
from left4me.jobs.operations import Failed
from left4me.testing.folders import listed
from left4me.testing.recorded_run import RecordedRun
from overlays import paths
from overlays.models import Overlay, OverlayCopy, OverlayWorkshopItem
from overlays.replication import layers, server, store, workshop
from overlays.replication.store import Copies
from overlays.tests.factories import make_overlay
from overlays.tests.replicas import Web, contents, publish
from workshop.models import WorkshopItem

NOW = timezone.now()


@pytest.fixture
def elsewhere(redis_client: object, web: Web) -> RecordedRun:
    run = RecordedRun()
    run.host = "two"
    return run


def test_on_the_host_of_the_web_the_layer_is_the_overlay_itself(maps: Overlay, settings):
    settings.LEFT4ME_WEB_URL = ""
    other = make_overlay()
    run = RecordedRun()
    expected = {each.pk: paths.directory(each) for each in (maps, other)}
    assert layers.trees(run, [maps, other]) == expected
    assert paths.directory(other).is_dir()
    assert layers.present([maps, other]) == expected
    assert layers.tidy() == 0
    assert not OverlayCopy.objects.exists()


def test_on_another_host_it_is_a_copy_that_is_recorded(maps: Overlay, elsewhere: RecordedRun, web: Web):
    assert layers.present([maps]) == {}
    [tree] = layers.trees(elsewhere, [maps]).values()
    assert contents(tree) == contents(paths.directory(maps))
    assert layers.present([maps]) == {maps.pk: tree}
    row = OverlayCopy.objects.get()
    assert (row.overlay, row.host, row.content_version, row.is_whole) == (maps, "two", 3, True)
    asked = len(web.requests)
    os.utime(tree, (1, 1))
    assert layers.trees(elsewhere, [maps]) == {maps.pk: tree}
    assert len(web.requests) == asked, "it is up to date"
    assert tree.stat().st_mtime > 1, "and in use"
    assert OverlayCopy.objects.get().made_at == row.made_at
    # A newer version than the row that was read: the copy is of the newer one.
    Overlay.objects.update(content_version=5)
    web.overlay.content_version = 5
    maps.content_version = 4
    layers.trees(elsewhere, [maps])
    assert maps.content_version == 5
    assert OverlayCopy.objects.get().content_version == 5


def test_a_copy_that_cannot_be_made_fails_the_job_but_may_pass(maps: Overlay, elsewhere: RecordedRun, web: Web):
    web.faults = [404]
    with pytest.raises(Failed, match="The files of “maps” could not be downloaded to this host") as failed:
        layers.trees(elsewhere, [maps])
    assert failed.value.may_pass
    web.faults = [OSError(28, "No space left on device")]
    with pytest.raises(Failed, match=r"cannot be stored on this host: .*No space left") as failed:
        layers.trees(elsewhere, [maps])
    assert failed.value.may_pass
    elsewhere.cancel_after_sleeps = 0
    with pytest.raises(Cancelled):
        layers.trees(elsewhere, [maps])


def test_the_copies_of_overlays_that_are_gone_go_whole(maps: Overlay, elsewhere: RecordedRun):
    layers.trees(elsewhere, [maps])
    publish(Copies(maps.pk + 1), {"a": b"1"})
    publish(Copies(maps.pk), {"b": b"1"})
    assert layers.tidy() == 1
    assert store.overlay_ids() == [maps.pk]
    first, _second = sorted(
        (path for path in Copies(maps.pk).path.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    os.utime(first, (1, 1))
    assert layers.tidy() == 1
    assert not first.exists()


@pytest.fixture
def items(db: None, left4me_root: Path, steam_world: Any) -> Overlay:
    """Items 1 and 2 are linked, 3 is not yet, 4 is broken and 5 has no address."""
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, name="items", content_version=6)
    for steam_id, linked in ((1, 1), (2, 1), (3, None), (4, 1), (5, 1)):
        details = steam_world.add(steam_id) and steam_world.details(steam_id)
        item = WorkshopItem.objects.create(
            steam_id=steam_id,
            file_url="" if steam_id == 5 else details["file_url"],
            file_size=int(details["file_size"]),
            time_updated=details["time_updated"],
            is_valid={4: False, 2: None}.get(steam_id, True),
        )
        OverlayWorkshopItem.objects.create(overlay=overlay, item=item, linked_version=linked)
    return overlay


def test_a_copy_of_a_workshop_overlay_links_to_the_cache_of_this_host(items: Overlay, steam_world: Any):
    run, copies = RecordedRun(), Copies(items.pk)
    assert not workshop.is_cached(items)
    current = workshop.link(run, items, copies)
    addons = copies.tree(current) / "left4dead2" / "addons"
    assert listed(addons) == ["1.vpk", "2.vpk"]
    assert (addons / "1.vpk").read_bytes() == steam_world.items[1].path.read_bytes()
    assert (current.content_version, current.is_whole) == (6, False)
    assert "workshop 5 failed, servers start without it: Steam gives no download address" in run.lines
    assert "“items”, version 6: linked=2 failed=1" in run.lines
    assert any(line.startswith("workshop 1 downloaded, ") for line in run.lines)
    assert run.phases[-1] == "downloading “items”"
    assert workshop.is_cached(items)
    asked = len(steam_world.requests)
    workshop.link(run, items, copies)
    assert len(steam_world.requests) == asked


def test_an_older_version_stays_in_use_while_the_newer_fails(items: Overlay, steam_world: Any):
    copies = Copies(items.pk)
    workshop.link(RecordedRun(), items, copies)
    WorkshopItem.objects.filter(steam_id=1).update(time_updated=1_800_000_000, file_url=f"{steam_world.url}/none")
    assert not workshop.is_cached(items)
    run = RecordedRun()
    current = workshop.link(run, items, copies)
    assert any(line.startswith("workshop 1 failed, using the older version: ") for line in run.lines)
    assert listed(copies.tree(current) / "left4dead2" / "addons") == ["1.vpk", "2.vpk"]
    assert not current.is_whole


# --- the application of the web ----------------------------------------------------------------------------------


def request(application: server.Application, path: str, *, method: str = "GET", body: bytes = b"") -> tuple[int, Any]:
    """The status and the body of an answer of the application; lines of JSON are read."""
    sent: list[dict[str, Any]] = []
    waiting = [{"type": "http.request", "body": body}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        return await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def answer() -> None:
        scope = {"type": "http", "method": method, "path": path, "headers": [(b"x-host", b"two")]}
        await asyncio.wait_for(application(scope, receive, send), 20)

    asyncio.run(answer())
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], content


@pytest.mark.django_db(transaction=True)
def test_the_web_answers_hosts_with_the_manifest_and_with_files(maps: Overlay):
    asked: list[tuple[Any, int]] = []

    def find(headers: Any, overlay_id: int) -> Overlay:
        asked.append((headers, overlay_id))
        if overlay_id != maps.pk:
            raise Refusal(404, "No such overlay")
        return maps

    application = server.Application(find)
    path = f"/api/v1/hosts/self/overlays/{maps.pk}/content"
    assert [application.serves(each) for each in (path, f"{path}/x", path.replace(str(maps.pk), "0"))] == [
        True,
        False,
        False,
    ]
    status, content = request(application, path)
    assert (status, asked) == (200, [({"x-host": "two"}, maps.pk)])
    lines = [json.loads(line) for line in content.splitlines()]
    assert (lines[0], lines[-1]) == ({"content_version": 3}, {"end": True, "left_out": []})
    status, content = request(application, path, method="POST", body=b'{"files": [["run", 3]]}')
    assert (status, content) == (200, b'{"path": "run", "bytes": 4}\ngram')
    assert request(application, path, method="PUT")[0] == 405
    assert request(application, "/other")[0] == 404
    assert request(application, path.replace(str(maps.pk), "999"))[0] == 404
    assert request(application, path, method="POST", body=b"x" * (4 * 1024 * 1024 + 1))[0] == 413
    assert request(application, path, method="POST", body=b"x" * (4 * 1024 * 1024))[0] == 400
    for resource, exclusive, status in (
        ("overlay:0", True, 200),
        (maps.resource, False, 200),
        (maps.resource, True, 409),
    ):
        job = Job.objects.create(
            operation="build",
            resource=maps.resource,
            host="local",
            state=Job.State.RUNNING,
            started_at=NOW,
            lease_expires_at=NOW,
            worker="w",
        )
        JobLock.objects.create(job=job, resource=resource, exclusive=exclusive)
        assert request(application, path)[0] == status
        job.delete()
