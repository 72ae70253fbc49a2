"""The pages of hosts, and what is asked of a host's game."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from left4me.core import moments
from left4me.jobs import actions as jobs
from left4me.jobs.models import Job
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers.hosts import content
from servers.models import Host
from servers.tests.factories import make_host, make_server

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
OLD = {"id": "old", "kind": "steam", "build": "99", "installed_at": "2030-01-01T00:00:00+00:00"}
NEW = {"id": "new", "kind": "steam", "build": "100", "installed_at": "2030-01-02T00:00:00+00:00"}


@pytest.fixture
def host() -> Host:
    return make_host(last_seen_at=timezone.now(), game_version="new", facts={"versions": [OLD, NEW]})


@pytest.fixture
def admin(cast: Cast, client: Client) -> Client:
    client.force_login(cast.admin)
    return client


def test_the_page_names_the_versions_and_who_runs_them(host: Host, admin: Client, cast: Cast):
    make_server(cast.owner, host=host, game_version="old", actual_state="running")
    make_server(cast.owner, host=host, game_version="old", actual_state="stopped")
    page = admin.get(f"/hosts/{host.pk}")
    assert [(v.id, v.is_current, v.servers) for v in page.context["versions"]] == [("new", True, 0), ("old", False, 1)]
    assert "rollback_game" in page.content.decode()
    assert host.name in admin.get("/hosts").content.decode()


def test_a_host_without_the_game_offers_to_install_it_and_nothing_else(admin: Client):
    host = make_host(last_seen_at=timezone.now())
    page = admin.get(f"/hosts/{host.pk}").content.decode()
    assert 'value="install"' in page
    assert "rollback_game" not in page and "repair_game" not in page


FAULT = "Steam did not respond in time.\nSteamCMD: “ERROR (Timeout)”\nPress Retry."


def _failed_install(host: Host, by: object) -> Job:
    at = timezone.now()
    return Job.objects.create(
        operation="install", resource="game", host=host.name, user=by, state="failed", error=FAULT, finished_at=at
    )


def test_a_failed_install_says_why_and_can_be_retried_where_the_game_is_installed(admin: Client, cast: Cast):
    host = make_host(last_seen_at=timezone.now())
    job = _failed_install(host, cast.admin)
    page = admin.get(f"/hosts/{host.pk}").content.decode()
    assert "Steam did not respond in time.<br>SteamCMD: “ERROR (Timeout)”<br>Press Retry." in page
    assert f'action="/jobs/{job.pk}/retry"' in page
    again = admin.post(f"/jobs/{job.pk}/retry").headers["Location"]
    assert Job.objects.live().get().get_absolute_url() == again
    assert f'action="/jobs/{job.pk}/retry"' not in admin.get(f"/hosts/{host.pk}").content.decode()


def test_the_dashboard_of_admins_says_where_the_game_is_missing_and_why(admin: Client, cast: Cast):
    host = make_host(last_seen_at=timezone.now())
    # Its installation is the first step of a new installation; only a failed one needs attention beside it.
    assert "Game not installed" not in admin.get("/").content.decode()
    job = _failed_install(host, cast.admin)
    page = admin.get("/").content.decode()
    assert "Game not installed" in page
    assert "<br>Press Retry." in page
    assert f'action="/hosts/{host.pk}/actions"' in page
    jobs.retry(job=job, by=cast.admin)
    assert "Game not installed" not in admin.get("/").content.decode()
    admin.force_login(cast.owner)
    assert "Game not installed" not in admin.get("/").content.decode()


@pytest.mark.parametrize(
    ("asked", "operation", "params"),
    [
        ("install", "install", {}),
        ("repair_game", "install", {"repair": True}),
        ("rollback_game", "rollback_game", {"from": "new"}),
        ("clean_game", "clean_game", {}),
    ],
)
def test_every_button_is_a_job_that_the_page_shows(host: Host, admin: Client, asked: str, operation: str, params):
    part = admin.post(f"/hosts/{host.pk}/actions", {"operation": asked}, headers=HTMX).content.decode()
    job = Job.objects.get()
    assert (job.operation, job.resource, job.params) == (operation, "game", params)
    assert "Queued" in part and "<html" not in part
    Job.objects.update(state="failed", error="the disk is full", started_at=timezone.now(), finished_at=timezone.now())
    assert "the disk is full" in admin.get(f"/hosts/{host.pk}").content.decode()


def test_nothing_unknown_is_asked_of_a_host(host: Host, admin: Client):
    page = admin.post(f"/hosts/{host.pk}/actions", {"operation": "format"}, follow=True)
    assert "Unknown operation" in page.content.decode()
    assert not Job.objects.exists()


def test_hosts_are_run_by_admins_only(host: Host, cast: Cast, client: Client):
    client.force_login(cast.owner)
    assert 'value="install"' not in client.get(f"/hosts/{host.pk}").content.decode()
    assert client.post(f"/hosts/{host.pk}/actions", {"operation": "install"}).status_code == 403
    assert not Job.objects.exists()


def test_a_silent_host_is_shown_as_down_since_when_and_what_is_asked_of_it_says_so(
    host: Host, admin: Client, api: Caller, cast: Cast
):
    server = make_server(cast.owner, host=host, actual_state="running")
    silent_since = timezone.now() - timedelta(minutes=5)
    Host.objects.update(last_seen_at=silent_since)
    _status, told = api.by(cast.admin).get(f"/hosts/{host.pk}")
    assert (told["is_down"], told["silent_since"][:19]) == (True, silent_since.isoformat()[:19])
    assert "Offline" in admin.get(f"/hosts/{host.pk}").content.decode()
    status, job = api.by(cast.owner).post(f"/servers/{server.pk}/actions", {"operation": "stop"})
    words = f"Waiting for host local: offline since {moments.second(silent_since)}"
    assert (status, job["state"], job["waiting_for"]) == (202, "queued", words)
    _status, listed = api.by(cast.owner).get("/jobs")
    assert listed["items"][0]["waiting_for"] == words
    _status, shown = api.by(cast.owner).get(f"/servers/{server.pk}")
    assert (shown["actual_state"], shown["job"]["waiting_for"]) == ("unknown", words)
    for page in (f"/servers/{server.pk}", f"/jobs/{job['id']}", "/jobs?whose=all"):
        assert words in admin.get(page).content.decode(), page


def test_an_older_release_is_named_with_its_cure(host: Host, admin: Client, api: Caller, cast: Cast, monkeypatch):
    monkeypatch.setattr("servers.models.hosts.VERSION", "20300102-abcdef0")
    for version, words in {
        "20300101-1234567": "This host runs an older release (20300101-1234567; the web server runs 20300102-abcdef0)",
        "20300103-1234567": "This host runs another release",
        "20300102-abcdef0": "",
        "": "",
    }.items():
        Host.objects.update(version=version)
        _status, told = api.by(cast.admin).get(f"/hosts/{host.pk}")
        assert told["release_note"].startswith(words) if words else told["release_note"] == ""
        assert words in admin.get(f"/hosts/{host.pk}").content.decode()
    Host.objects.update(version="20300101-1234567")
    assert "left4mectl upgrade" in admin.get(f"/hosts/{host.pk}").content.decode()
    assert "Other release" in admin.get("/hosts").content.decode()


def test_a_host_that_takes_no_jobs_says_why(host: Host, admin: Client, api: Caller, cast: Cast):
    Host.objects.update(facts={"refusal": "The database is of a newer release"})
    server = make_server(cast.owner, host=host)
    _status, job = api.by(cast.owner).post(f"/servers/{server.pk}/actions", {"operation": "start"})
    assert job["waiting_for"].endswith("not accepting jobs: The database is of a newer release")
    assert "The database is of a newer release" in admin.get(f"/hosts/{host.pk}").content.decode()


def test_a_host_is_added_gets_a_new_token_each_time_and_is_forgotten(cast: Cast, admin: Client, capsys):
    call_command("add_host", "two", "--address", "203.0.113.7")
    first = json.loads(capsys.readouterr().out)
    call_command("add_host", "two")
    second = json.loads(capsys.readouterr().out)
    assert first["token"] != second["token"] and first["sealing_key"] != second["sealing_key"]
    two = Host.objects.get(name="two")
    assert two.address == "203.0.113.7"
    assert content.host_of({"authorization": f"Bearer {second['token']}"}) == two
    assert content.host_of({"authorization": f"Bearer {first['token']}"}) is None
    assert "allows this host to download the overlays" in admin.get(f"/hosts/{two.pk}").content.decode()
    admin.post(f"/hosts/{two.pk}/token/revoke")
    assert content.host_of({"authorization": f"Bearer {second['token']}"}) is None
    assert "left4mectl host add two" in admin.get(f"/hosts/{two.pk}").content.decode()
    server = make_server(cast.owner, host=two)
    assert "This host still has servers" in admin.post(f"/hosts/{two.pk}/remove", follow=True).content.decode()
    with pytest.raises(CommandError, match="This host still has servers"):
        call_command("remove_host", "two")
    server.delete()
    waiting = jobs.request(operation="install", resource="game", by=None, host="two")
    assert "Host “two” removed" in admin.post(f"/hosts/{two.pk}/remove", follow=True).content.decode()
    waiting.refresh_from_db()
    assert (waiting.state, Host.objects.filter(name="two").exists()) == ("cancelled", False)
    call_command("remove_host", "two")


def test_the_web_s_own_host_is_neither_added_nor_forgotten(host: Host, api: Caller, cast: Cast):
    with pytest.raises(CommandError, match="is the name of this machine"):
        call_command("add_host", "local")
    status, problem = api.by(cast.admin).delete(f"/hosts/{host.pk}")
    assert (status, problem["detail"]) == (409, "This host runs the web server and cannot be removed.")
    with pytest.raises(CommandError, match="is no host name"):
        call_command("add_host", "Two_Hosts")


@pytest.mark.parametrize(
    ("address", "site", "joined"),
    [
        ("203.0.113.7", "left4me.example.org", "203.0.113.7:27015"),
        ("", "left4me.example.org", "left4me.example.org:27015"),
        ("", "127.0.0.1:8000", "127.0.0.1:27015"),
        ("", "[::1]:8000", "127.0.0.1:27015"),
        ("", "[2001:db8::10]", "[2001:db8::10]:27015"),
        ("", "", ":27015"),
    ],
)
def test_players_join_at_the_address_of_the_host_or_of_the_site(address: str, site: str, joined: str):
    assert Host(name="two", address=address).join_address(27015, site=site) == joined


@pytest.mark.parametrize("address", ["2001:db8::10", "203.0.113.7:27015"])
def test_an_address_that_no_game_has_is_refused(address: str):
    with pytest.raises(ValidationError, match="IPv4"):
        Host(name="two", address=address).clean()


def test_an_admin_lets_a_host_accept_no_new_servers_and_new_ones_again(client: Client, cast: Cast):
    host = make_host(name="two")
    client.force_login(cast.owner)
    assert client.post(f"/hosts/{host.pk}/new-servers", {"accepts": "no"}).status_code == 403
    client.force_login(cast.admin)
    for accepts in ("no", "yes"):
        assert client.post(f"/hosts/{host.pk}/new-servers", {"accepts": accepts}).status_code == 302
        assert Host.objects.get(pk=host.pk).is_enabled is (accepts == "yes")
