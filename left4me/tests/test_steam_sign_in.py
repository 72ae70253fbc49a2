"""A Steam ID confirmed through Steam: with simulated Steam's own sign-in page, over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.test import Client

from left4me.audit.models import AuditEntry
from servers.simulated import steam_sign_in

pytestmark = pytest.mark.django_db(transaction=True)

GABEN = 76561197960287930


@pytest.fixture
def provider(live_server, settings, redis_client) -> str:
    settings.LEFT4ME_STEAM_OPENID_URL = f"{live_server.url}/simulated-steam"
    return settings.LEFT4ME_STEAM_OPENID_URL


@pytest.fixture
def client(cast, client) -> Client:
    client.force_login(cast.owner)
    return client


def begin(client: Client) -> dict[str, str]:
    """What the browser is sent to Steam with."""
    address = client.get("/accounts/steam/begin")["Location"]
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def answer(client: Client, provider: str, *, steam_id: int = GABEN, at: datetime | None = None) -> str:
    return steam_sign_in.answer(
        provider=provider,
        return_to=begin(client)["openid.return_to"],
        steam_id=steam_id,
        now=at or datetime.now(UTC),
    )


def come_back(client: Client, address: str) -> str:
    """The message that is shown after the return from Steam."""
    page = client.get(address, follow=True)
    return next(str(message) for message in page.context["messages"])


def changed(address: str, **fields: str) -> str:
    parts = urlsplit(address)
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return f"{parts.path}?{urlencode({**given, **{f'openid.{name}': value for name, value in fields.items()}})}"


def test_a_steam_id_is_linked_when_steam_confirms_it(client, cast, provider):
    assert come_back(client, answer(client, provider)) == "Steam ID confirmed."
    cast.owner.refresh_from_db()
    assert (cast.owner.steam_id, cast.owner.steam_source) == (GABEN, "steam")
    assert cast.owner.trusted_steam_id == GABEN
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.details["steam_id"]) == ("user.steam_link", str(GABEN))


@pytest.mark.parametrize(
    "change",
    [
        {"claimed_id": "{provider}/id/76561197960265729", "identity": "{provider}/id/76561197960265729"},
        {"claimed_id": "https://evil.example/id/76561197960287930"},
        {"op_endpoint": "https://evil.example/login"},
        {"return_to": "http://testserver/accounts/steam/return?state=other"},
        {"signed": "signed,mode"},
        {"response_nonce": "2020-01-01T00:00:00Zold"},
        {"sig": "invented"},
        {"mode": "setup_needed"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_answer_is_refused_with_another(client, cast, provider, change):
    address = answer(client, provider)
    given = {name: value.format(provider=provider) for name, value in change.items()}
    assert "confirmed." not in come_back(client, changed(address, **given))
    cast.owner.refresh_from_db()
    assert cast.owner.steam_id is None


def test_an_answer_is_taken_once(client, cast, provider):
    address = answer(client, provider)
    come_back(client, address)
    assert come_back(client, address).startswith("This sign-in was not started")


def test_steam_out_of_reach_says_what_else_there_is(client, provider, settings):
    settings.LEFT4ME_STEAM_OPENID_URL = "http://127.0.0.1:9/openid"
    message = come_back(client, answer(client, settings.LEFT4ME_STEAM_OPENID_URL))
    assert "could not be reached" in message
    assert "by hand" in message
