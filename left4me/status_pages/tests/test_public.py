"""What visitors without an account get of a status page, and what they do not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import User
from left4me.status_pages import actions, content_cache, public
from left4me.status_pages.models import StatusPage
from left4me.status_pages.tests.factories import make_page
from left4me.testing.cast import Cast
from livestate.tests.factories import make_profile, make_session, make_snapshot
from servers.models import Server
from servers.tests.factories import make_host, make_server

MINUTE = timedelta(minutes=1)
AVATAR = "https://avatars.steamstatic.com/a.jpg"


@pytest.fixture(autouse=True)
def _redis(redis_client: object) -> None:
    """The content is shared through Redis."""


def played(owner: User, *, name: str = "Friday", players: int = 2, game_map: str = "c2m3_coaster") -> Server:
    """A running server on which somebody plays."""
    now = timezone.now()
    host = make_host(last_seen_at=now, address="play.example.org")
    server = make_server(owner, host=host, name=name, actual_state="running", started_at=now - 60 * MINUTE)
    make_snapshot(server, now - 5 * MINUTE, now, players=players, max_players=8, map=game_map)
    for account in range(1, players + 1):
        make_session(server, server.pk * 100 + account, now - 5 * MINUTE, name_at_join=f"Rochelle {account}")
    return server


@pytest.fixture
def page(cast: Cast) -> StatusPage:
    return make_page(cast.owner, played(cast.owner), slug="friday", shows_players=True)


def commit(callbacks: Any) -> None:
    for callback in callbacks:
        callback()


def test_a_visitor_sees_the_chosen_servers_without_an_account(client: Client, page: StatusPage, cast: Cast):
    make_profile(page.servers.get().pk * 100 + 1, timezone.now(), persona_name="Coach", avatar_url=AVATAR)
    played(cast.owner, name="Secret server")
    answer = client.get("/status/friday")
    text = answer.content.decode()
    for shown in ("Friday night", "Dark Carnival", "The Coaster", "<b>2</b> / 8", "Coach", "Rochelle 2", AVATAR):
        assert shown in text
    assert "steam://connect/play.example.org:27015" in text
    assert "Secret server" not in text
    assert (answer["Referrer-Policy"], answer["Cache-Control"]) == ("no-referrer", "private, no-cache")


def test_the_same_is_there_for_programs_of_any_site(client: Client, page: StatusPage):
    answer = client.get("/status/friday.json")
    shown = answer.json()
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert (shown["title"], shown["running"], shown["players"]) == ("Friday night", 1, 2)
    (server,) = shown["servers"]
    assert (server["state"], server["map"], server["campaign"]) == ("running", "c2m3_coaster", "Dark Carnival")
    assert [player["name"] for player in server["players"]["names"]] == ["Rochelle 1", "Rochelle 2"]
    assert server["picture"].startswith("http://testserver/static/left4me/campaigns/c2")
    assert server["address"] == "play.example.org:27015"


def test_nothing_is_shown_that_was_not_chosen(client: Client, cast: Cast):
    server = played(cast.owner)
    Server.objects.filter(pk=server.pk).update(last_error="out of memory on box7", tags=",clan,")
    make_page(cast.owner, server, slug="bare", shows_join=False, shows_history=False)
    for path in ("/status/bare", "/status/bare/servers", "/status/bare.json", "/status/bare?embed=1"):
        text = client.get(path).content.decode()
        assert "Friday" in text
        for hidden in ("Rochelle", "27015", "play.example.org", "anna", "local", "box7", "clan", "24 hours"):
            assert hidden not in text.replace("localhost", ""), f"{hidden} in {path}"
        assert server.blueprint.name not in text
    assert client.get(f"/status/bare/join/{server.pk}").status_code == 404


def test_a_page_is_off_until_it_is_turned_on(client: Client, cast: Cast):
    make_page(cast.owner, played(cast.owner), slug="friday", is_enabled=StatusPage().is_enabled)
    for path in ("/status/friday", "/status/friday.json"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("change", ["turned off", "given another address", "deleted"])
def test_a_page_that_is_taken_back_is_gone_at_once(
    client: Client, page: StatusPage, cast: Cast, change: str, django_capture_on_commit_callbacks: Any
):
    assert client.get("/status/friday").status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        if change == "turned off":
            actions.change(page=page, by=cast.owner, is_enabled=False)
        elif change == "deleted":
            actions.delete(page=page, by=cast.owner)
        else:
            page = actions.reset_address(page=page, by=cast.owner)
    assert client.get("/status/friday").status_code == 404
    assert client.get("/status/friday.json").status_code == 404
    gone = client.get("/status/friday/servers")
    # A page that is open stops asking, and says why.
    assert (gone.status_code, "turned off" in gone.content.decode()) == (286, True)
    if change == "given another address":
        assert client.get(page.public_path).status_code == 200


def test_content_made_before_a_change_is_not_shown_after_it(
    client: Client,
    page: StatusPage,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
):
    """A request that computes while the page is turned off stores what nobody reads."""
    made = content_cache._made

    def slow(slug: str) -> Any:
        old = made(slug)
        with django_capture_on_commit_callbacks(execute=True):
            actions.change(page=page, by=cast.owner, is_enabled=False)
        return old

    with monkeypatch.context() as patch:
        patch.setattr(content_cache, "_made", slow)
        content_cache.read("friday")
    assert content_cache.read("friday") is None


def test_a_server_that_is_no_longer_the_owners_is_not_shown(client: Client, page: StatusPage, cast: Cast):
    page.servers.update(owner=cast.stranger)
    assert client.get("/status/friday.json").json()["servers"] == []


def test_visitors_do_not_load_the_database(client: Client, page: StatusPage, django_assert_num_queries: Any):
    client.get("/status/friday")
    with django_assert_num_queries(0):
        for _ in range(20):
            assert client.get("/status/friday").status_code == 200
            assert client.get("/status/friday/servers").status_code == 200
            assert client.get("/status/friday.json").status_code == 200


def test_visitors_of_a_page_that_is_off_do_not_either(
    client: Client, page: StatusPage, django_assert_num_queries: Any
):
    StatusPage.objects.update(is_enabled=False)
    client.get("/status/friday/servers")
    with django_assert_num_queries(0):
        for _ in range(20):
            assert client.get("/status/friday/servers").status_code == 286


def test_only_one_of_many_visitors_makes_the_content_anew(
    client: Client, page: StatusPage, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
):
    client.get("/status/friday.json")
    monkeypatch.setattr(content_cache, "FRESH_SECONDS", 0.0)
    page.servers.update(name="Saturday")
    assert client.get("/status/friday.json").json()["servers"][0]["name"] == "Saturday"
    # Who comes while that one computes gets what is there.
    with django_assert_num_queries(0):
        client.get("/status/friday.json")


def test_a_page_of_many_servers_costs_as_many_queries_as_one_of_one(
    client: Client, cast: Cast, django_assert_max_num_queries: Any
):
    servers = [played(cast.owner, name=f"server {number}") for number in range(8)]
    make_page(cast.owner, *servers, slug="many", shows_players=True)
    with django_assert_max_num_queries(9):
        assert len(client.get("/status/many.json").json()["servers"]) == 8


def test_a_page_that_stays_the_same_is_not_sent_again(client: Client, page: StatusPage):
    for path in ("/status/friday/servers", "/status/friday.json", "/status/friday/servers?embed=1"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    cache.clear()
    page.servers.get().snapshots.update(players=3)
    path = "/status/friday/servers"
    assert client.get(path, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_only_the_chosen_sites_may_embed_it(client: Client, page: StatusPage):
    page.embed_origins = ["https://clan.example.org", "https://*.example.net"]
    page.save()
    whole, narrow = client.get("/status/friday"), client.get("/status/friday?embed=1&theme=dark")
    assert "frame-ancestors 'none'" in whole["Content-Security-Policy"]
    assert whole["X-Frame-Options"] == "DENY"
    assert "frame-ancestors https://clan.example.org https://*.example.net" in narrow["Content-Security-Policy"]
    assert "X-Frame-Options" not in narrow
    assert 'data-theme="dark"' in narrow.content.decode()


def test_without_chosen_sites_no_site_may_embed_it(client: Client, page: StatusPage):
    narrow = client.get("/status/friday?embed=1")
    assert "frame-ancestors 'none'" in narrow["Content-Security-Policy"]
    assert narrow["X-Frame-Options"] == "DENY"


def test_chat_programs_get_a_card(client: Client, page: StatusPage):
    text = client.get("/status/friday").content.decode()
    assert '<meta property="og:title" content="Friday night">' in text
    assert "1 of 1 servers running · 2 players online" in text
    assert 'og:image" content="http://testserver/static/left4me/campaigns/c2' in text
    assert text.split('og:image" content="')[1].split('"')[0].endswith(".png")


def test_a_web_address_leads_into_the_game(client: Client, page: StatusPage):
    answer = client.get(f"/status/friday/join/{page.servers.get().pk}")
    assert (answer.status_code, answer["Location"]) == (302, "steam://connect/play.example.org:27015")


def test_one_address_may_not_ask_without_end(client: Client, page: StatusPage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(public, "REQUESTS", public.rate_limit.Limit("status-page", 2, 60))
    assert [client.get("/status/friday.json").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"actual_state": "stopped"}, "stopped"),
        ({"actual_state": "crashed"}, "stopped"),
        ({"actual_state": "gave_up"}, "stopped"),
        ({"actual_state": "starting"}, "starting"),
        ({"actual_state": "unknown"}, "unknown"),
        ({"hung_since": timezone.now()}, "unresponsive"),
    ],
)
def test_a_state_is_one_word_for_visitors(client: Client, page: StatusPage, fields: dict[str, Any], state: str):
    page.servers.update(**fields)
    assert client.get("/status/friday.json").json()["servers"][0]["state"] == state


def test_a_page_works_while_redis_is_away(client: Client, page: StatusPage, settings: Any):
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": settings.REDIS_URL}
    }
    assert client.get("/status/friday.json").json()["servers"][0]["name"] == "Friday"
