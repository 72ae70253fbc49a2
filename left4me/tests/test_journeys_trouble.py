"""Journeys by clicks where something is wrong, and with files of an overlay up to the restart that applies them."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import expect

from left4me.jobs.models import Job
from left4me.testing import vpk_files
from left4me.testing.jobs import drain
from overlays import builds
from overlays.models import Overlay, OverlayWorkshopItem
from overlays.tests.factories import make_overlay
from servers.hosts import ports
from servers.models import Blueprint, Server, StarterBlueprint, StateChange
from servers.tests.factories import make_blueprint, make_host, make_server
from workshop.models import WorkshopItem

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.timeout(300),
]

MEGABYTES = 50


@pytest.fixture
def host():
    return make_host(game_version="20300102T000000-100", last_seen_at=timezone.now() + timedelta(hours=1))


@pytest.fixture(autouse=True)
def _without_streams(complaints):
    # Streams are an application of their own, which the live server of the tests does not serve.
    complaints.expect("status of 404")


def test_a_bad_cfg_and_a_busy_port_are_mended_where_they_are_said(cast, sign_in, axe, picture, host, monkeypatch):
    monkeypatch.setattr(ports, "ask", lambda host, asked: {port: "nc (process 7)" for port in asked if port == 27015})
    StarterBlueprint.objects.get_or_create(name="Vanilla co-op", defaults={"arguments": "+map c1m1_hotel"})
    page = sign_in(cast.owner)
    page.goto("/servers/new")
    page.get_by_text("server.cfg, port and other options").click()
    page.get_by_label("More lines for server.cfg").fill("sv_alltalk 1\n" + "x" * 600)
    page.get_by_label("Port").fill("27015")
    page.get_by_role("button", name="Create and start").click()
    expect(page.locator("#id_config_error")).to_contain_text("Line 2")
    axe(page)
    picture("trouble", "1-bad-cfg")
    page.get_by_label("More lines for server.cfg").fill("sv_alltalk 1")
    page.get_by_role("button", name="Create and start").click()
    expect(page.get_by_role("main")).to_contain_text("in use by nc (process 7)")
    axe(page)
    picture("trouble", "2-busy-port")
    page.get_by_role("button", name="Use port 27016 and start").click()
    page.wait_for_url(re.compile(r"/servers/\d+$"))
    assert Server.objects.get().port == 27016


def test_a_failing_item_is_retried_where_it_fails_even_while_steam_is_away(
    cast, sign_in, axe, picture, host, complaints, monkeypatch
):
    complaints.expect("502")
    monkeypatch.setattr(settings, "LEFT4ME_STEAM_API_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", (0.0, 0.0))
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner, name="Friday maps")
    item = WorkshopItem.objects.create(
        steam_id=3_000_000_001, title="Dead Before Dawn", last_error="download failed: Steam answered 404."
    )
    OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    page = sign_in(cast.owner)
    page.goto("/overlays")
    page.get_by_role("link", name="Friday maps").click()
    page.get_by_role("link", name=re.compile("Manage items|1 item", re.IGNORECASE)).first.click()
    expect(page.get_by_role("row", name=re.compile("Dead Before Dawn"))).to_contain_text("404")
    axe(page)
    picture("trouble", "3-failing-item")
    page.get_by_role("button", name="Retry Dead Before Dawn").click()
    expect(page.get_by_role("main")).to_contain_text("Steam cannot be reached")
    expect(page.get_by_role("button", name="Retry Dead Before Dawn")).to_be_visible()
    axe(page)
    picture("trouble", "4-steam-is-away")


def test_a_crash_loop_is_explained_and_started_again_behind_a_full_queue(cast, sign_in, axe, picture, host):
    server = make_server(
        cast.owner,
        name="Friday",
        host=host,
        desired_state="running",
        actual_state="gave_up",
        actual_state_at=timezone.now(),
        last_error="srcds ended with signal 11, five times in ten minutes.",
    )
    StateChange.objects.create(
        server=server,
        at=timezone.now(),
        state="gave_up",
        detail="ended with signal 11",
        last_lines=["loading addons/broken.so", "Segmentation fault"],
    )
    for number in range(30):
        other = make_server(cast.owner, name=f"Other {number}", host=host)
        Job.objects.create(operation="start", resource=other.resource, user=cast.owner, host=host.name)
    page = sign_in(cast.owner)
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="Friday").first.click()
    expect(page.get_by_role("main")).to_contain_text("Keeps crashing")
    expect(page.get_by_role("main")).to_contain_text("Segmentation fault")
    axe(page)
    picture("trouble", "5-crash-loop")
    page.locator(".server-bar").get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".server-bar")).to_contain_text(re.compile("Queued|Starting"))
    page.goto("/jobs")
    expect(page.get_by_role("row").filter(has_text="Queued")).not_to_have_count(0)
    axe(page)
    picture("trouble", "6-full-queue")


def test_files_are_uploaded_extracted_edited_ordered_compared_and_applied(
    cast, sign_in, axe, picture, host, tmp_path, monkeypatch
):
    monkeypatch.setattr(settings, "LEFT4ME_ROOT", tmp_path / "root")
    ours = make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner, name="Our files")
    theirs = make_overlay(kind=Overlay.Kind.FILES, owner=cast.owner, name="Their files")
    root = settings.LEFT4ME_ROOT / "overlays" / theirs.path / "left4dead2/cfg"
    root.mkdir(parents=True)
    (root / "server.cfg").write_text("sv_cheats 0\n")
    builds.request(overlay=theirs, by=cast.owner)
    drain(host=settings.LEFT4ME_HOST)
    blueprint = make_blueprint(cast.owner, name="League", overlays=[theirs, ours])
    server = make_server(
        cast.owner,
        name="Friday",
        host=host,
        blueprint=blueprint,
        desired_state="running",
        actual_state="running",
        actual_state_at=timezone.now() + timedelta(hours=1),
        started_at=timezone.now(),
        applied={},
    )
    pack = tmp_path / "big.vpk"
    vpk_files.write(pack, {"maps/ours.bsp": bytes(MEGABYTES * 1024 * 1024)})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("cfg/server.cfg", "sv_alltalk 1\n")

    page = sign_in(cast.owner)
    page.goto(f"/overlays/{ours.pk}/files")
    page.get_by_label("Files").set_input_files(pack)
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("link", name="left4dead2").wait_for(timeout=120_000)
    picture("files", "1-uploaded")
    uploaded = settings.LEFT4ME_ROOT / "overlays" / ours.path / "left4dead2/addons/big.vpk"
    assert uploaded.stat().st_size > MEGABYTES << 20

    zip_file = {"name": "pack.zip", "mimeType": "application/zip", "buffer": archive.getvalue()}
    page.get_by_label("Files").set_input_files(zip_file)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/plan")
    drain(host=settings.LEFT4ME_HOST)
    page.get_by_role("button", name="Extract").wait_for()
    axe(page)
    picture("files", "2-plan")
    page.get_by_role("button", name="Extract").click()
    page.wait_for_url("**/jobs/*")
    drain(host=settings.LEFT4ME_HOST)

    page.goto(f"/overlays/{ours.pk}/files?at=left4dead2/cfg")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Text").fill("sv_alltalk 1\nsv_region 3\n")
    picture("files", "3-edit")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="server.cfg", exact=True).wait_for()
    drain(host=settings.LEFT4ME_HOST)

    page.goto(f"/blueprints/{blueprint.pk}")
    expect(page.get_by_role("main")).to_contain_text("left4dead2/cfg/server.cfg")
    axe(page)
    picture("files", "4-conflict")
    page.get_by_role("button", name="Move Our files up").click()
    expect(page.locator("ol.lines > li").first).to_contain_text("Our files")
    assert Blueprint.objects.with_layers().get(pk=blueprint.pk).layers[0] == ours

    page.get_by_role("link", name=re.compile("Pending changes")).click()
    expect(page.get_by_role("main")).to_contain_text("Our files")
    axe(page)
    picture("files", "5-changes")
    page.get_by_role("button", name="Restart now").click()
    page.get_by_role("dialog").get_by_role("button", name="Restart").click()
    page.locator('[data-state="starting"], [data-state="stopping"], [data-state="restarting"]').first.wait_for()
    picture("files", "6-applied")
    assert Job.objects.filter(operation="restart", resource=server.resource).exists()
