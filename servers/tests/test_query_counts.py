"""No page and no list of the API asks the database more often for many servers than for few."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from left4me.jobs import actions as jobs
from left4me.testing.cast import Cast
from overlays.tests.factories import make_overlay
from servers.models import Host, Server
from servers.tests.factories import make_blueprint, make_host, make_server, share

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

# The last server of both is in the same state: a page asks for overlays only where it compares them.
FEW, MANY = 5, 502
LISTS = ["/", "/servers", "/servers?page=2", "/blueprints", "/overlays", "/api/v1/servers?limit=500"]
LISTS += ["/api/v1/blueprints?limit=500", "/api/v1/overlays?limit=500", "/api/v1/hosts"]
PAGES = ["/servers/{server}", "/servers/{server}/state", "/servers/{server}/changes"]
PAGES += [f"/servers/{{server}}/{tab}" for tab in ("settings", "console", "players", "history")]
PAGES += ["/blueprints/{blueprint}", "/blueprints/{blueprint}/edit", "/overlays/{overlay}", "/api/v1/servers/{server}"]


class Installation:
    """Servers in many states, each with a blueprint of its own, shares and jobs."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.host = make_host(last_seen_at=timezone.now(), last_port=40000)
        self.layers = [make_overlay(expose_cfg=True), make_overlay(owner=cast.owner)]
        self.servers = 0
        self.grow(FEW)

    def grow(self, total: int) -> None:
        states = Server.State.values
        for number in range(self.servers, total):
            overlays = [*self.layers, make_overlay(owner=self.cast.owner)]
            self.blueprint = make_blueprint(self.cast.owner, overlays=overlays, config="sv_pure 2")
            self.overlay = overlays[-1]
            self.server = make_server(
                self.cast.owner,
                host=self.host,
                port=27015 + number,
                blueprint=self.blueprint,
                actual_state=states[number % len(states)],
                applied={"overlays": [], "arguments": [], "config": []},
            )
            share(self.server, self.cast.viewer)
            if number % 5 == 0:
                jobs.request(operation="start", resource=self.server.resource, by=None, host="local")
        self.servers = total

    def address(self, pattern: str) -> str:
        return pattern.format(server=self.server.pk, blueprint=self.blueprint.pk, overlay=self.overlay.pk)


def queries(client: Client, path: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        response = client.get(path)
    assert response.status_code == 200, f"{path}: {response.status_code}"
    return [query["sql"] for query in captured]


def test_no_page_asks_more_for_many_servers(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise the drawings of few servers would be cached when they are counted, and those of many would not.
    monkeypatch.setattr("livestate.figures.sparklines.KEPT_SECONDS", 0)
    installation = Installation(cast)
    clients = {}
    for who in ("owner", "viewer", "admin"):
        clients[who] = Client()
        clients[who].force_login(getattr(cast, who))
        clients[who].get("/")  # the session's first request also writes when it was seen

    def count() -> dict[tuple[str, str], int]:
        seen = {(who, path): len(queries(client, path)) for who, client in clients.items() for path in LISTS}
        for page in PAGES:
            seen["owner", page] = len(queries(clients["owner"], installation.address(page)))
        return seen

    few = count()
    installation.grow(MANY)
    # Growing may take longer than a host may be silent, and pages ask for more of one that is.
    Host.objects.update(last_seen_at=timezone.now())
    many = count()
    more = {which: (few[which], many[which]) for which in few if many[which] > few[which]}
    assert not more
    assert max(few.values()) <= 32, few


def test_a_list_of_500_servers_comes_in_pages(cast: Cast) -> None:
    blueprint = make_blueprint(cast.owner)
    for number in range(120):
        make_server(cast.owner, blueprint=blueprint, name=f"s{number:03}")
    client = Client()
    client.force_login(cast.owner)
    assert len(client.get("/servers").context["statuses"]) == 50
    assert len(client.get("/servers?page=3").context["statuses"]) == 20
    assert client.get("/servers?page=99").status_code == 200
