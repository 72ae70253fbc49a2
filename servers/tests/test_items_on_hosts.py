"""Workshop overlays on a second host: it fills its own cache from a simulated Steam and writes nothing about items."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.utils import timezone

from left4me.core.concurrency import Cancelled
from left4me.jobs import actions as jobs
from left4me.testing.jobs import drain
from left4me.testing.recorded_run import RecordedRun
from left4me.testing.simulated_steam import Fault, SimulatedSteam
from overlays.models import Overlay, OverlayCopy, OverlayWorkshopItem
from overlays.replication import layers
from overlays.tests.factories import make_overlay
from workshop import item_download, metadata, vpk
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def steam_world(settings, tmp_path, monkeypatch) -> Iterator[SimulatedSteam]:
    settings.LEFT4ME_ROOT = tmp_path / "root"
    folder = tmp_path / "steam"
    folder.mkdir()
    monkeypatch.setattr(item_download, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr("workshop.steam._SECONDS_BETWEEN_CALLS", 0.0)
    with SimulatedSteam(folder) as steam:
        settings.LEFT4ME_STEAM_API_URL = steam.url
        settings.LEFT4ME_STEAM_CONTENT_HOSTS = [steam.url]
        yield steam


@pytest.fixture
def overlay(steam_world):
    """Three items, built on the web's own host."""
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP)
    for steam_id in (11, 12, 13):
        steam_world.add(steam_id)
    with metadata.connect() as api:
        for row in metadata.save(api.all_items([11, 12, 13]), now=timezone.now()).values():
            OverlayWorkshopItem.objects.create(overlay=overlay, item=row)
    build(overlay)
    return overlay


def build(overlay):
    jobs.request(operation="build", resource=overlay.resource, by=None, host=settings.LEFT4ME_HOST)
    drain(host=settings.LEFT4ME_HOST)
    overlay.refresh_from_db()


@pytest.fixture
def elsewhere(settings, tmp_path, overlay):
    """From now on this process works on the second host. Nobody gives content there: items come from Steam alone."""
    settings.LEFT4ME_ROOT = tmp_path / "two"
    settings.LEFT4ME_ROOT.mkdir()
    settings.LEFT4ME_WEB_URL = "http://127.0.0.1:9"
    return settings.LEFT4ME_ROOT


def prepare(overlay):
    run = RecordedRun()
    run.host = "two"
    return layers.trees(run, [overlay])[overlay.pk] / "left4dead2/addons", run


def rows():
    return list(WorkshopItem.objects.order_by("pk").values())


def test_items_come_into_the_host_s_own_cache(overlay, elsewhere, steam_world):
    before = rows()
    addons, run = prepare(overlay)
    assert sorted(path.name for path in addons.iterdir()) == ["11.vpk", "12.vpk", "13.vpk"]
    for path in addons.iterdir():
        assert path.readlink() == elsewhere / "workshop_cache" / path.name
        vpk.check(path)
    assert rows() == before
    assert any(phase.startswith("downloading") for phase in run.phases)


def test_the_second_start_asks_nobody(overlay, elsewhere, steam_world):
    prepare(overlay)
    asked = steam_world.downloads(11)
    _addons, run = prepare(overlay)
    assert (run.lines, steam_world.downloads(11)) == ([], asked)


def test_a_file_that_vanished_from_the_cache_comes_back(overlay, elsewhere, steam_world):
    prepare(overlay)
    (elsewhere / "workshop_cache/12.vpk").unlink()
    addons, _run = prepare(overlay)
    vpk.check(addons / "12.vpk")


def test_an_item_that_cannot_be_had_stops_no_server_and_is_tried_again(overlay, elsewhere, steam_world):
    before = rows()
    steam_world.items[12].faults.extend([Fault(status=503)] * 3)
    addons, run = prepare(overlay)
    assert sorted(path.name for path in addons.iterdir()) == ["11.vpk", "13.vpk"]
    assert any("workshop 12 failed, servers start without it" in line for line in run.lines)
    assert (OverlayCopy.objects.get().is_whole, rows()) == (False, before)
    addons, _run = prepare(overlay)
    assert len(list(addons.iterdir())) == 3
    assert OverlayCopy.objects.get().is_whole


def test_a_cancel_ends_the_download(overlay, elsewhere, steam_world, monkeypatch):
    monkeypatch.setattr(RecordedRun, "cancelled", lambda self: True)
    monkeypatch.setattr(RecordedRun, "check", _cancelled)
    with pytest.raises(Cancelled):
        prepare(overlay)


def _cancelled(self):
    raise Cancelled


def test_what_the_web_s_build_did_not_link_is_not_linked_here(overlay, elsewhere, steam_world):
    overlay.workshop_links.filter(item__steam_id=13).update(linked_version=None)
    addons, _run = prepare(overlay)
    assert sorted(path.name for path in addons.iterdir()) == ["11.vpk", "12.vpk"]
