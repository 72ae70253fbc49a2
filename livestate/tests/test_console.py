from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from left4me.core.redis import hosts
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate import live
from livestate.models import Order
from livestate.tests.factories import make_session
from servers.models import Server
from servers.tests.factories import make_server, share

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

ZOEY = str(STEAM_ID_64_BASE + 101)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def server(cast):
    server = make_server(cast.owner, actual_state=Server.State.RUNNING, started_at=timezone.now())
    share(server, cast.viewer, "viewer")
    share(server, cast.operator, "operator")
    return server


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr(hosts.current_app, "send_task", lambda *args, **options: None, raising=False)


def address(name: str, server: Server, *more: int) -> str:
    return reverse(f"livestate:{name}", args=[server.pk, *more])


def make_order(server, user, **fields) -> Order:
    given = {"kind": "command", "value": "stats", "created_at": timezone.now(), **fields}
    return Order.objects.create(server=server, user=user, **given)


ROLES = [("owner", 200), ("operator", 200), ("admin", 200), ("viewer", 403), ("stranger", 404)]


@pytest.mark.parametrize(("who", "status"), ROLES)
def test_the_prompt_is_for_those_who_operate_the_server(client, cast, server, who, status):
    order = make_order(server, cast.owner)
    client.force_login(getattr(cast, who))
    for page in (address("completions", server), address("order", server, order.pk)):
        assert client.get(page).status_code == status
    console = client.get(address("console", server))
    assert console.status_code == (404 if who == "stranger" else 200), "viewers read the log"
    assert ('id="console-command"' in console.content.decode()) == (status == 200)
    for target in ("console", "give_order"):
        response = client.post(address(target, server), {"value": "stats", "kind": "command"}, headers=HTMX)
        assert response.status_code == status


def test_an_entry_of_another_server_is_not_there(client, cast, server):
    order = make_order(make_server(cast.owner), cast.owner)
    client.force_login(cast.owner)
    assert client.get(address("order", server, order.pk)).status_code == 404


def test_a_command_answers_at_once_with_its_entry_which_asks_on_until_it_is_settled(client, cast, server):
    client.force_login(cast.owner)
    text = client.post(address("console", server), {"value": "stats"}, headers=HTMX).content.decode()
    order = Order.objects.get()
    assert f'hx-get="{address("order", server, order.pk)}"' in text
    Order.objects.update(state="done", output="<b>CPU</b>", finished_at=timezone.now())
    text = client.get(address("order", server, order.pk), headers=HTMX).content.decode()
    assert "hx-get" not in text
    assert "&lt;b&gt;CPU" in text


def test_a_refused_command_is_explained(client, cast, server):
    client.force_login(cast.owner)
    response = client.post(address("console", server), {"value": "quit"}, headers=HTMX)
    assert response.status_code == 409
    assert "server's buttons" in response.content.decode()


def test_everything_works_without_javascript(client, cast, server):
    client.force_login(cast.owner)
    assert client.post(address("console", server), {"value": "stats"}).status_code == 302
    assert client.post(address("give_order", server), {"kind": "kick", "value": ZOEY}).status_code == 302
    response = client.post(address("console", server), {"value": "quit"}, follow=True)
    assert "server&#x27;s buttons" in response.content.decode()
    assert Order.objects.count() == 2


def test_the_buttons_beside_players_are_for_those_who_may_use_them(client, cast, server):
    make_session(server, 101, timezone.now())
    client.force_login(cast.operator)
    assert 'value="kick"' in client.get(address("panel", server)).content.decode()
    client.force_login(cast.viewer)
    assert 'value="kick"' not in client.get(address("panel", server)).content.decode()


def test_the_panel_shows_how_the_action_goes_on(client, cast, server):
    client.force_login(cast.owner)
    text = client.post(address("give_order", server), {"kind": "kick", "value": ZOEY}, headers=HTMX).content.decode()
    order = Order.objects.get()
    assert f'id="order-{order.pk}"' in text
    Order.objects.update(state="uncertain", note="The player is still on the server.")
    assert "still on the server" in client.get(address("panel", server), headers=HTMX).content.decode()


def test_the_console_offers_the_servers_maps(client, cast, server):
    client.force_login(cast.owner)
    text = client.get(address("console", server)).content.decode()
    assert '<optgroup label="Dark Carnival"' in text


def test_completions_are_options(client, cast, server):
    client.force_login(cast.owner)
    text = client.get(address("completions", server), {"value": "z_diff"}).content.decode()
    assert '<option value="z_difficulty">' in text


def test_the_api_gives_orders_and_tells_how_they_went(client, cast, server):
    client.force_login(cast.operator)
    path = f"/api/v1/servers/{server.pk}/orders"
    response = client.post(path, {"value": "stats"}, content_type="application/json")
    assert response.status_code == 202
    assert response.json()["state"] == "queued"
    assert client.get(f"{path}/{response.json()['id']}").json()["by"] == "otto"
    assert client.get(path).json()["count"] == 1
    refused = client.post(path, {"value": "quit"}, content_type="application/json")
    assert (refused.status_code, refused.headers["Content-Type"]) == (409, "application/problem+json")


@pytest.mark.parametrize(("who", "status"), [("viewer", 403), ("stranger", 404)])
def test_the_api_refuses_who_may_not(client, cast, server, who, status):
    client.force_login(getattr(cast, who))
    path = f"/api/v1/servers/{server.pk}/orders"
    assert client.get(path).status_code == status
    assert client.post(path, {"value": "stats"}, content_type="application/json").status_code == status


def test_a_console_that_is_open_learns_of_a_start_without_losing_what_is_typed(client, cast, server):
    words = "Start the server to send commands."
    client.force_login(cast.owner)
    Server.objects.filter(pk=server.pk).update(actual_state=Server.State.STOPPED)
    page = client.get(address("console", server)).content.decode()
    assert words in page
    asked = address("console", server) + "?listening"
    assert f'hx-get="{asked}"' in page
    assert words in client.get(asked, headers=HTMX).content.decode()
    Server.objects.filter(pk=server.pk).update(actual_state=Server.State.RUNNING)
    part = client.get(asked, headers=HTMX).content.decode()
    assert words not in part
    assert "<input" not in part and f'hx-get="{asked}"' in part


@pytest.mark.parametrize(
    ("kind", "state", "output", "words"),
    [
        ("command", "failed", 'Unknown command "foo"\n', "Unknown command"),
        ("command", "failed", "", "Failed"),
        ("command", "uncertain", "", "No reply"),
        ("kick", "uncertain", "", "Not confirmed"),
        ("command", "done", "ok", "Succeeded"),
    ],
)
def test_the_badge_of_an_order_says_what_became_of_it(server, cast, kind, state, output, words):
    order = make_order(server, cast.owner, kind=kind, value=ZOEY, state=state, output=output)
    assert live.order_rows([order], now=timezone.now())[0]["state_label"] == words
