"""Workshop items that failed: shown wherever their overlay is, and tried again one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.testing.jobs import drain
from left4me.testing.simulated_steam import Fault, SimulatedSteam
from overlays import tasks
from overlays.models import Overlay, OverlayAddon, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from overlays.workshop_items import refresh
from servers.tests.factories import make_blueprint, make_server, share
from workshop.models import WorkshopItem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def left4me_root(settings, tmp_path):
    settings.LEFT4ME_ROOT = tmp_path / "root"
    settings.LEFT4ME_ROOT.mkdir()


@pytest.fixture
def steam_world(settings, tmp_path, left4me_root, monkeypatch) -> Iterator[SimulatedSteam]:
    (tmp_path / "steam").mkdir()
    monkeypatch.setattr("workshop.steam._SECONDS_BETWEEN_CALLS", 0.0)
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", (0.0, 0.0))
    with SimulatedSteam(tmp_path / "steam") as steam:
        settings.LEFT4ME_STEAM_API_URL = steam.url
        settings.LEFT4ME_STEAM_CONTENT_HOSTS = [".steamusercontent.com", steam.url]
        yield steam


@pytest.fixture
def overlay(cast, left4me_root) -> Overlay:
    """A workshop overlay with a failed item and one that is fine."""
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner, name="our maps")
    for steam_id, error in ((1, "download failed: no answer"), (2, "")):
        item = WorkshopItem.objects.create(steam_id=steam_id, title=f"Item {steam_id}", last_error=error)
        OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    return overlay


def test_a_failed_item_shows_on_overlay_list_blueprint_and_server(client, cast, overlay):
    files = make_overlay(owner=cast.owner)
    OverlayAddon.objects.create(
        overlay=files, path="left4dead2/addons/a.vpk", is_valid=False, reason="contains no files"
    )
    blueprint = make_blueprint(cast.owner, overlays=[overlay, files])
    server = make_server(cast.owner, blueprint=blueprint)
    items, campaigns = f"{reverse('overlays:items', args=[overlay.pk])}?only=failed", f"/overlays/{files.pk}#campaigns"
    client.force_login(cast.owner)
    assert f'href="{items}"' in client.get(overlay.get_absolute_url()).content.decode()
    for url in (reverse("overlays:list"), blueprint.get_absolute_url(), server.get_absolute_url()):
        page = client.get(url).content.decode()
        assert f'href="{items}"' in page
        assert f'href="{campaigns}"' in page
    share(server, cast.viewer)
    client.force_login(cast.viewer)
    page = client.get(server.get_absolute_url()).content.decode()
    assert "our maps" not in page, "who sees the server alone does not see its private overlays"


def test_one_item_is_tried_again_from_the_page(client, cast, overlay, steam_world):
    steam_world.add(1, title="Better")
    WorkshopItem.objects.filter(steam_id=1).update(refused_version=1, refused_size=1)
    client.force_login(cast.owner)
    url = reverse("overlays:retry_item", args=[overlay.pk, 1])
    assert url in client.get(reverse("overlays:items", args=[overlay.pk])).content.decode()
    client.post(url)
    drain(host=settings.LEFT4ME_HOST)
    item = WorkshopItem.objects.get(steam_id=1)
    assert (item.title, item.last_error, item.cached_version) == ("Better", "", item.time_updated)
    assert WorkshopItem.objects.get(steam_id=2).refreshed_at is None
    assert client.post(reverse("overlays:retry_item", args=[overlay.pk, 3])).status_code == 404


def test_a_retry_that_steam_does_not_answer_changes_nothing(client, cast, overlay, steam_world):
    steam_world.api_faults.extend([Fault(status=500)] * 6)
    client.force_login(cast.owner)
    assert client.post(reverse("overlays:retry_item", args=[overlay.pk, 1])).status_code == 502
    assert client.post(f"/api/v1/overlays/{overlay.pk}/items/1/retry").status_code == 502
    assert WorkshopItem.objects.get(steam_id=1).last_error == "download failed: no answer"
    assert not Job.objects.exists()


def test_a_refresh_that_failed_says_why_in_the_log_of_the_process(overlay, steam_world, caplog):
    steam_world.api_faults.extend([Fault(status=500)] * 3)
    refresh.request_refresh(by=None)
    drain(host=settings.LEFT4ME_HOST)
    assert "Workshop refresh failed: refreshed=0 unchanged=0 failed=2 | Steam has an internal error" in caplog.text


def test_a_scheduled_refresh_that_is_refused_says_so_in_the_log_of_the_process(monkeypatch, caplog, overlay):
    def refuse(**_: object) -> None:
        raise jobs.Refused("not now")

    monkeypatch.setattr(refresh, "request_refresh", refuse)
    Job.objects.filter(created_at__lt=timezone.now()).delete()
    tasks.refresh_when_due()
    assert "The scheduled workshop refresh could not start: not now" in caplog.text
