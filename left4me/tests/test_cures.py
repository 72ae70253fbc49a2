"""Refusals with a button: what is in the way is removed by one press, for those who may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client, RequestFactory
from django.utils import timezone
from playwright.sync_api import expect

from left4me.alerts.models import Channel
from left4me.alerts.tests.factories import make_channel
from left4me.core.web.refusals import Cure, Invalid, cure_of
from left4me.jobs.models import Job
from left4me.site import error_pages
from left4me.testing.buttons import cures, press
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from overlays.models import Overlay, OverlayWorkshopItem, Upload
from overlays.tests.factories import make_overlay
from servers.models import DeletedServer, Server, StateChange
from servers.tests.factories import make_blueprint, make_host, make_server
from workshop.models import WorkshopItem

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def host(db: None):
    return make_host(last_seen_at=timezone.now(), game_version="2", facts={"disk": {"free": 10**12, "total": 10**12}})


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def anna(cast: Cast, redis_client: object) -> Client:
    return signed_in(cast.owner)


def failed_job(resource: str, operation: str, **fields: Any) -> Job:
    now = timezone.now()
    return Job.objects.create(
        operation=operation,
        resource=resource,
        host="local",
        state="failed",
        error="It failed.",
        finished_at=now,
        **fields,
    )


def test_a_cure_is_found_among_the_errors_of_fields():
    cure = Cure(label="Stop", url="/", operation="stop")
    assert cure_of(ValidationError({"name": "bad", "port": Invalid("worse", cure=cure)})) == cure
    assert cure_of(ValidationError("bad")) is None


def test_a_port_that_cannot_change_while_the_game_runs_offers_to_stop_it(anna: Client, cast: Cast, api: Caller):
    server = make_server(cast.owner, name="Friday", actual_state="running", desired_state="running")
    form = {"name": "Friday", "version": 1, "blueprint": server.blueprint_id, "host": server.host_id}
    refused = anna.post(f"/servers/{server.pk}/settings", form | {"port": server.port + 1, "tag_list": ""})
    assert "Stop the server before" in refused.content.decode()
    press(anna, refused, "Stop")
    assert Job.objects.get().operation == "stop"
    status, problem = api.by(cast.owner).patch(f"/servers/{server.pk}", {"version": 1, "port": server.port + 1})
    assert status == 422
    assert problem["cure"] == {"label": "Stop", "url": f"/servers/{server.pk}/actions", "operation": "stop"}


def test_orders_to_a_stopped_server_offer_to_start_it(anna: Client, cast: Cast, api: Caller):
    server = make_server(cast.owner, actual_state="stopped")
    refused = anna.post(f"/servers/{server.pk}/console", {"value": "status"}, follow=True)
    press(anna, refused, "Start")
    assert Job.objects.get().operation == "start"
    status, problem = api.by(cast.owner).post(f"/servers/{server.pk}/orders", {"kind": "command", "value": "status"})
    assert (status, problem["cure"]["label"]) == (409, "Start")


@pytest.mark.parametrize(("command", "operation"), [("quit", "stop"), ("_restart", "restart")])
def test_a_command_that_would_end_the_game_offers_the_button_that_does(anna, cast, command, operation):
    server = make_server(cast.owner, actual_state="running", desired_state="running")
    refused = anna.post(f"/servers/{server.pk}/console", {"value": command}, follow=True)
    press(anna, refused, operation.capitalize())
    assert Job.objects.get().operation == operation


def test_waiting_for_players_to_leave_a_stopped_server_offers_to_start_it(anna: Client, cast: Cast):
    server = make_server(cast.owner, desired_state="stopped")
    refused = anna.post(f"/servers/{server.pk}/when-empty", {"action": "restart"}, follow=True)
    press(anna, refused, "Start")
    assert Job.objects.get().operation == "start"


def test_too_many_queued_jobs_lead_to_the_list_of_them(anna: Client, cast: Cast, settings):
    settings.LEFT4ME_JOBS_WAITING_PER_USER = 0
    server = make_server(cast.owner)
    refused = anna.post(f"/servers/{server.pk}/actions", {"operation": "start"}, follow=True)
    assert cures(refused)["Show queued jobs"] == ("/jobs?state=queued", "")
    assert press(anna, refused, "Show queued jobs").status_code == 200


def test_a_server_that_is_being_deleted_leads_to_the_job(anna: Client, cast: Cast):
    server = make_server(cast.owner)
    job = Job.objects.create(operation="delete", resource=server.resource, host="local")
    refused = anna.post(f"/servers/{server.pk}/actions", {"operation": "start"}, follow=True)
    # Otto did not request it and may not see it on another's server.
    assert press(anna, refused, "Open job").status_code in {200, 403}
    assert cures(refused)["Open job"] == (job.get_absolute_url(), "")


def test_many_servers_at_once_show_the_button_beside_each_refusal(anna: Client, cast: Cast, settings):
    settings.LEFT4ME_JOBS_WAITING_PER_USER = 0
    server = make_server(cast.owner)
    shown = anna.post("/servers/actions", {"server": [server.pk], "operation": "start"})
    assert cures(shown)["Show queued jobs"] == ("/jobs?state=queued", "")


def test_a_blueprint_in_use_and_a_host_with_servers_lead_to_what_uses_them(cast: Cast, api: Caller):
    server = make_server(cast.owner, name="Friday", host=make_host(name="far"))
    _status, problem = api.by(cast.owner).delete(f"/blueprints/{server.blueprint_id}")
    assert problem["cure"] == {"label": "Open “Friday”", "url": f"/servers/{server.pk}/settings", "operation": ""}
    ada = signed_in(cast.admin)
    refused = ada.post(f"/hosts/{server.host_id}/remove", follow=True)
    assert "Friday" in press(ada, refused, "Show its servers").content.decode()


def test_a_server_with_the_name_of_a_deleted_one_is_a_press_away(anna: Client, cast: Cast):
    deleted = make_server(cast.owner, name="Friday")
    DeletedServer.remember(deleted, now=timezone.now())
    deleted.delete()
    other = make_server(cast.owner, name="friday")
    refused = anna.post(f"/servers/deleted/{deleted.pk or DeletedServer.objects.get().pk}/restore", follow=True)
    assert cures(refused)["Rename"] == (f"/servers/{other.pk}/settings", "")


def test_only_admins_are_led_to_the_range_of_ports(cast: Cast, host):
    type(host).objects.update(first_port=27015, last_port=27015)
    make_server(cast.owner, port=27015)
    form = {"name": "one more", "blueprint_id": make_blueprint(cast.admin).pk}
    for user, expected in ((cast.admin, "Open host"), (cast.owner, None)):
        form["blueprint_id"] = make_blueprint(user).pk
        _status, problem = Caller().by(user).post("/servers", form)
        assert problem.get("cure", {}).get("label") == expected


def test_a_full_quota_leads_to_the_files_that_fill_it(anna: Client, cast: Cast, settings):
    settings.LEFT4ME_UPLOAD_QUOTA_MB = 1
    large = make_overlay(owner=cast.owner, name="Large", size_bytes=900_000)
    small = make_overlay(owner=cast.owner, name="Small")
    asked = {"name": "a.bsp", "size": 500_000, "folder": "", "unpack": False}
    refused = anna.post(f"/overlays/{small.pk}/uploads", asked, content_type="application/json").json()
    assert refused["cure"] == {"label": "Show files of “Large”", "url": f"/overlays/{large.pk}/files", "operation": ""}


def test_an_archive_that_waits_is_a_press_away(anna: Client, cast: Cast):
    overlay = make_overlay(owner=cast.owner)
    upload = Upload.objects.create(
        overlay=overlay, user=cast.owner, path="a.zip", size=9, unpack=True, ready_at=timezone.now()
    )
    url = f"/overlays/{overlay.pk}/uploads/{upload.pk}"
    refused = anna.post(f"{url}?offset=0", b"x", content_type="application/octet-stream").json()
    assert refused["cure"]["label"] == "Open archive"


def test_a_channel_that_is_off_is_turned_on_by_the_refusal(anna: Client, cast: Cast):
    channel = make_channel(cast.owner, is_enabled=False)
    refused = anna.post(f"/accounts/alerts/{channel.pk}/test/", follow=True)
    press(anna, refused, "Turn on")
    assert Channel.objects.get().is_enabled


def test_a_failed_start_offers_what_it_lacked(cast: Cast, host):
    server = make_server(cast.owner, desired_state="running", last_error="The game is not installed on this host.")
    type(host).objects.update(game_version="")
    page = f"/servers/{server.pk}"
    # Who may not install the game can still try again.
    assert "Install the game" not in cures(signed_in(cast.owner).get(page))
    ada = signed_in(cast.admin)
    press(ada, ada.get(page), "Install the game")
    assert Job.objects.get().operation == "install"


def test_a_failed_start_builds_the_overlay_that_was_never_built(anna: Client, cast: Cast):
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner, name="Campaigns")
    blueprint = make_blueprint(cast.owner, overlays=[overlay])
    server = make_server(
        cast.owner, blueprint=blueprint, desired_state="running", last_error="Overlays not built yet."
    )
    job = failed_job(server.resource, "start", user=cast.owner)
    press(anna, anna.get(f"/servers/{server.pk}"), "Build “Campaigns”")
    assert Job.objects.filter(operation="build", resource=overlay.resource).count() == 1
    # The page of the job offers the same.
    assert "Build “Campaigns”" in cures(anna.get(job.get_absolute_url()))


def test_a_password_that_cannot_be_read_is_replaced_by_the_refusal(anna: Client, cast: Cast):
    server = make_server(cast.owner, desired_state="running", last_error="The RCON password cannot be read.")
    Server.objects.update(sealed_rcon_password="of another key")
    press(anna, anna.get(f"/servers/{server.pk}"), "New RCON password")
    assert len(Server.objects.get().rcon_password) > 10


def test_programs_are_allowed_beside_the_refusal_by_admins_only(cast: Cast):
    overlay = make_overlay(owner=cast.owner, programs={"bin/engine.so": "abc"})
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[overlay]))
    assert "Allow these programs" not in cures(signed_in(cast.owner).get(f"/servers/{server.pk}"))
    ada = signed_in(cast.admin)
    press(ada, ada.get(f"/servers/{server.pk}"), "Allow these programs")
    assert Overlay.objects.get().refused_programs == []


def test_items_that_failed_are_tried_again_from_the_server_that_uses_them(anna: Client, cast: Cast):
    overlay = make_overlay(kind=Overlay.Kind.WORKSHOP, owner=cast.owner, built_at=timezone.now())
    item = WorkshopItem.objects.create(steam_id=1, last_error="download failed")
    OverlayWorkshopItem.objects.create(overlay=overlay, item=item)
    server = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[overlay]))
    press(anna, anna.get(f"/servers/{server.pk}"), "Retry")
    assert Job.objects.get().operation == "build"


def test_a_crash_leads_to_its_last_lines(anna: Client, cast: Cast):
    server = make_server(cast.owner, actual_state="running", desired_state="running")
    StateChange.objects.create(
        server=server, at=timezone.now() - timedelta(minutes=1), state="crashed", detail="Signal 11."
    )
    assert cures(anna.get("/"))["Open last log lines"] == (f"/servers/{server.pk}/console", "")
    # There it is the link below the lines themselves.
    assert anna.get(f"/servers/{server.pk}").content.decode().count("Open last log lines") == 1


def test_a_page_of_an_error_leads_back_to_the_form(rf: RequestFactory):
    request = rf.post("/servers/new", headers={"Host": "testserver", "Referer": "http://testserver/servers/new?x=1"})
    assert 'href="/servers/new?x=1"' in error_pages.csrf_failure(request).content.decode()
    elsewhere = rf.post("/servers/new", headers={"Host": "testserver", "Referer": "http://evil.example/"})
    assert "Back to the page" not in error_pages.csrf_failure(elsewhere).content.decode()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_refused_order_is_a_toast_whose_button_starts_the_server(cast: Cast, sign_in, axe, complaints):
    complaints.expect("409")
    server = make_server(cast.owner, actual_state="running", desired_state="running")
    page = sign_in(cast.owner)
    page.goto(f"/servers/{server.pk}/console")
    page.get_by_label("Command", exact=True).fill("quit")
    page.get_by_label("Command", exact=True).press("Enter")
    toast = page.locator("#toasts").get_by_role("status")
    expect(toast).to_contain_text("Use the server's buttons")
    axe(page)
    toast.get_by_role("button", name="Stop").click()
    expect(page.locator(".server-bar")).to_contain_text("Stopping")
    assert Job.objects.get().operation == "stop"
