"""The pages and the API on which users manage their status pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from left4me.alerts.tests.factories import make_channel
from left4me.audit.models import AuditEntry
from left4me.status_pages.models import StatusMessage, StatusPage
from left4me.status_pages.tests.factories import make_page
from left4me.testing.caller import Caller
from left4me.testing.cast import Cast
from servers.models import Server
from servers.tests.factories import make_server


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner, name="Friday")


@pytest.fixture
def anna(client: Client, cast: Cast, redis_client: object) -> Client:
    client.force_login(cast.owner)
    return client


def given(server: Server, **fields: Any) -> dict[str, Any]:
    return {"title": "Our servers", "servers": [server.pk], "slug": "", "embed_origins": "", **fields}


def test_a_page_is_created_turned_on_changed_reset_and_deleted(anna: Client, server: Server, cast: Cast):
    answer = anna.post("/status-pages/new", given(server, shows_join="on"))
    page = StatusPage.objects.get()
    assert answer["Location"] == page.get_absolute_url()
    assert (page.is_enabled, page.shows_players, page.shows_join, len(page.slug)) == (False, False, True, 32)
    secret = page.slug
    anna.post(f"/status-pages/{page.pk}/switch", {"on": "yes"})
    shown = anna.get(page.get_absolute_url()).content.decode()
    assert f"http://testserver/status/{secret}" in shown
    anna.post(page.get_absolute_url(), given(server, slug="friday", embed_origins="https://clan.example.org/"))
    page.refresh_from_db()
    assert (page.slug, page.embed_origins, page.is_enabled) == ("friday", ["https://clan.example.org"], True)
    assert "iframe" in anna.get(page.get_absolute_url()).content.decode()
    anna.post(f"/status-pages/{page.pk}/reset")
    page.refresh_from_db()
    assert page.slug not in ("friday", secret)
    assert "Our servers" in anna.get("/status-pages").content.decode()
    anna.post(f"/status-pages/{page.pk}/delete")
    assert not StatusPage.objects.exists()
    done = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert done == ["status_page.create", *["status_page.update"] * 3, "status_page.delete"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"servers": []}, "This field is required."),
        ({"slug": "Our Server"}, "Use lower-case letters, digits and single hyphens"),
        ({"slug": "taken"}, "Another status page has this address."),
        ({"embed_origins": "https://clan.example.org/forum"}, "is not a site"),
        ({"embed_origins": "https://clan.example.org;script-src"}, "is not a site"),
        ({"embed_origins": "clan.example.org"}, "is not a site"),
    ],
)
def test_a_form_that_is_wrong_says_why(anna: Client, server: Server, cast: Cast, fields: Any, message: str):
    make_page(cast.stranger, slug="taken")
    answer = anna.post("/status-pages/new", given(server, **fields))
    assert (answer.status_code, message in answer.content.decode()) == (422, True)


def test_servers_of_others_cannot_be_chosen(anna: Client, api: Caller, cast: Cast):
    theirs = make_server(cast.stranger)
    assert anna.post("/status-pages/new", given(theirs)).status_code == 422
    status, answer = api.by(cast.owner).post("/status-pages", {"title": "x", "server_ids": [theirs.pk]})
    assert (status, answer["errors"][0]["field"]) == (422, "servers")


def test_who_has_no_server_is_led_to_one(anna: Client):
    assert 'href="/servers/new"' in anna.get("/status-pages/new").content.decode()


def test_the_api_does_the_same(api: Caller, server: Server, cast: Cast):
    anna = api.by(cast.owner)
    status, page = anna.post("/status-pages", {"title": "Ours", "server_ids": [server.pk], "slug": "ours"})
    assert (status, page["is_enabled"], page["url"].endswith("/status/ours")) == (201, False, True)
    status, page = anna.patch(f"/status-pages/{page['id']}", {"is_enabled": True, "shows_players": True})
    assert (status, page["is_enabled"], page["shows_players"], page["server_ids"]) == (200, True, True, [server.pk])
    status, reset = anna.post(f"/status-pages/{page['id']}/reset")
    assert (status, reset["slug"] != "ours") == (200, True)
    assert anna.get("/status-pages")[1]["count"] == 1
    assert api.by(cast.stranger).get(f"/status-pages/{page['id']}")[0] == 404
    channel = make_channel(cast.owner, "https://discord.com/api/webhooks/1/x", kind="discord")
    status, message = anna.call("put", f"/alerts/{channel.pk}/message", {"status_page_id": page["id"]})
    assert (status, message["status_page_id"], message["message_id"]) == (200, page["id"], "")
    assert anna.delete(f"/status-pages/{page['id']}")[0] == 409
    assert anna.delete(f"/alerts/{channel.pk}/message")[0] == 204
    assert anna.get(f"/alerts/{channel.pk}/message")[0] == 404
    StatusMessage.objects.all().delete()
    assert anna.delete(f"/status-pages/{page['id']}")[0] == 204


def test_the_message_of_a_channel_is_chosen_on_its_page(anna: Client, server: Server, cast: Cast):
    channel = make_channel(cast.owner, "https://discord.com/api/webhooks/1/x", kind="discord")
    address = f"/accounts/alerts/{channel.pk}/message/"
    assert address in anna.get(f"/accounts/alerts/{channel.pk}/").content.decode()
    assert 'href="/status-pages/new"' in anna.get(address).content.decode()
    page = make_page(cast.owner, server)
    anna.post(address, {"page": page.pk})
    assert StatusMessage.objects.get().page == page
    assert channel.name in anna.get(page.get_absolute_url()).content.decode()
    anna.post(address, {"end": "1"})
    assert not StatusMessage.objects.get().is_wanted


def test_the_pages_of_others_cannot_be_shown_in_ones_channel(anna: Client, cast: Cast):
    channel = make_channel(cast.owner, "https://discord.com/api/webhooks/1/x", kind="discord")
    page = make_page(cast.stranger, make_server(cast.stranger))
    assert anna.post(f"/accounts/alerts/{channel.pk}/message/", {"page": page.pk}).status_code == 422
    assert not StatusMessage.objects.exists()
