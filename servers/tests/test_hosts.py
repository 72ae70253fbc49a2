"""The pages of hosts, and what is asked of a host's game."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from left4me.jobs.models import Job
from left4me.testing.cast import Cast
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
    assert "waits for its turn" in part and "<html" not in part
    Job.objects.update(state="failed", error="the disk is full", started_at=timezone.now(), finished_at=timezone.now())
    assert "the disk is full" in admin.get(f"/hosts/{host.pk}").content.decode()


def test_nothing_unknown_is_asked_of_a_host(host: Host, admin: Client):
    page = admin.post(f"/hosts/{host.pk}/actions", {"operation": "format"}, follow=True)
    assert "There is no operation" in page.content.decode()
    assert not Job.objects.exists()


def test_hosts_are_run_by_admins_only(host: Host, cast: Cast, client: Client):
    client.force_login(cast.owner)
    assert 'value="install"' not in client.get(f"/hosts/{host.pk}").content.decode()
    assert client.post(f"/hosts/{host.pk}/actions", {"operation": "install"}).status_code == 403
    assert not Job.objects.exists()
