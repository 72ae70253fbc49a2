"""How many servers a user may have and run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.tests.factories import bearer, make_token
from left4me.jobs import actions as jobs
from servers import actions
from servers.actions import deletions, quotas
from servers.models import DeletedServer, Server
from servers.state import usage
from servers.state.usage import Usage
from servers.tests.factories import make_blueprint, make_host, make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def servers(cast, redis_client) -> list[Server]:
    """Two stopped servers of Anna's."""
    host, blueprint = make_host(), make_blueprint(cast.owner)
    return [make_server(cast.owner, host=host, blueprint=blueprint, name=name) for name in ("One", "Two")]


def create(server: Server) -> Server:
    owner, blueprint, host = server.owner, server.blueprint, server.host
    return actions.create_server(owner=owner, by=owner, name="Three", blueprint=blueprint, host=host, port=27099)


def start(server: Server) -> None:
    server.refresh_from_db()
    actions.request(server=server, operation="start", by=server.owner)


def test_without_limits_nothing_is_refused(servers):
    create(servers[0])
    for server in servers:
        start(server)


def test_a_user_may_have_so_many_servers(servers, settings):
    settings.LEFT4ME_SERVERS_PER_USER = 3
    create(servers[0])
    settings.LEFT4ME_SERVERS_PER_USER = 2
    with pytest.raises(ValidationError, match="You may have 2 servers"):
        create(servers[0])


def test_a_deleted_server_is_not_restored_beyond_the_limit(servers, settings):
    one = servers[0]
    deleted = DeletedServer.objects.create(
        server_id=999, owner=one.owner, host=one.host, blueprint=one.blueprint, name="Old", port=27098,
        deleted_at=datetime.now(UTC),
    )  # fmt: skip
    settings.LEFT4ME_SERVERS_PER_USER = 2
    with pytest.raises(jobs.Refused, match="You may have 2 servers"):
        deletions.restore_server(deleted=deleted, by=one.owner)


def test_a_user_may_run_so_many_servers_whoever_starts_them(servers, cast, settings):
    settings.LEFT4ME_RUNNING_SERVERS_PER_USER = 1
    start(servers[0])
    start(servers[0])
    servers[1].refresh_from_db()
    with pytest.raises(jobs.Refused, match="may run 1 server at a time"):
        actions.request(server=servers[1], operation="start", by=cast.admin)
    servers[1].refresh_from_db()
    assert servers[1].desired_state == Server.Desired.STOPPED
    servers[0].refresh_from_db()
    actions.request(server=servers[0], operation="restart", by=cast.owner)
    servers[0].refresh_from_db()
    actions.request(server=servers[0], operation="stop", by=cast.owner)
    start(servers[1])


def test_the_memory_of_running_servers_is_limited(servers, settings, monkeypatch):
    settings.LEFT4ME_MEMORY_PER_USER_MB = 1000
    start(servers[0])
    now = datetime.now(UTC)
    used = Usage(at=now, cpu_percent=1, memory_bytes=1_100_000_000, tasks=1, disk_bytes=0, cpu_seconds=1, disk_at=now)
    monkeypatch.setattr(usage, "of", lambda ids: dict.fromkeys(ids, used))
    with pytest.raises(jobs.Refused, match="use 1100 MB of memory, and may use 1000 MB"):
        start(servers[1])


def test_admins_are_not_limited(servers, cast, settings):
    settings.LEFT4ME_SERVERS_PER_USER = settings.LEFT4ME_RUNNING_SERVERS_PER_USER = 1
    cast.owner.is_admin = True
    cast.owner.save()
    start(servers[0])
    start(servers[1])
    assert quotas.servers(cast.owner).limit is None


def test_the_page_says_why_and_where_to_go(servers, cast, settings, client):
    settings.LEFT4ME_RUNNING_SERVERS_PER_USER = 1
    start(servers[0])
    client.force_login(cast.owner)
    address = reverse("servers:action", args=[servers[1].pk])
    page = client.post(address, {"operation": "start"}, follow=True).content.decode()
    assert "may run 1 server at a time" in page
    assert "Show running servers" in page


def test_the_api_refuses_and_tells_what_is_used(servers, cast, settings, client):
    settings.LEFT4ME_RUNNING_SERVERS_PER_USER = 1
    start(servers[0])
    key = make_token(cast.owner)
    address, body = f"/api/v1/servers/{servers[1].pk}/actions", {"operation": "start"}
    answer = client.post(address, body, content_type="application/json", headers=bearer(key))
    assert answer.status_code == 409
    told = client.get("/api/v1/me/quotas", headers=bearer(key)).json()
    assert told["servers"] == {"used": 2, "limit": None}
    assert told["running_servers"] == {"used": 1, "limit": 1}
