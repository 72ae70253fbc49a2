"""A Steam ID confirmed through Steam: with simulated Steam's own sign-in page, over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from accounts import actions
from accounts.models import SteamSource, User
from left4me.audit.models import AuditEntry
from left4me.core import steam_ids
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


def test_steam_is_asked_for_this_site_and_this_session(client, provider):
    fields = begin(client)
    assert fields["openid.realm"] == "http://testserver/"
    assert fields["openid.return_to"].startswith("http://testserver/accounts/steam/return?state=")
    assert fields["openid.return_to"] != begin(client)["openid.return_to"]


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


def test_an_answer_with_a_field_twice_is_refused(client, cast, provider):
    address = answer(client, provider)
    assert come_back(client, f"{address}&openid.claimed_id={provider}/id/76561197960265729").startswith(
        "Steam's answer"
    )


def test_an_answer_is_taken_once(client, cast, provider):
    address = answer(client, provider)
    come_back(client, address)
    assert come_back(client, address).startswith("This sign-in was not started")


def test_a_nonce_is_taken_once_in_any_session(client, cast, provider):
    address = answer(client, provider)
    state = client.session["steam_sign_in"]
    come_back(client, address)
    kept = client.session
    kept["steam_sign_in"] = state
    kept.save()
    assert come_back(client, address).startswith("This answer of Steam was used before")


def test_an_answer_to_another_session_is_refused(client, cast, provider):
    address = answer(client, provider)
    other = Client()
    other.force_login(cast.stranger)
    assert come_back(other, address).startswith("This sign-in was not started")
    begin(other)
    assert come_back(other, address).startswith("This sign-in was not started")


def test_an_old_answer_is_refused(client, provider):
    address = answer(client, provider, at=datetime.now(UTC) - timedelta(minutes=6))
    assert come_back(client, address) == "Steam's answer is not valid. Try again."


def test_a_visitor_can_cancel_at_steam(client, provider):
    return_to = begin(client)["openid.return_to"]
    assert come_back(client, f"{return_to}&openid.mode=cancel") == "Sign-in through Steam was cancelled."


def test_steam_out_of_reach_says_what_else_there_is(client, provider, settings):
    settings.LEFT4ME_STEAM_OPENID_URL = "http://127.0.0.1:9/openid"
    message = come_back(client, answer(client, settings.LEFT4ME_STEAM_OPENID_URL))
    assert "could not be reached" in message
    assert "by hand" in message


def test_a_steam_id_that_is_confirmed_for_another_user_is_not_taken_over(client, cast, provider):
    actions.link_steam_id(user=cast.stranger, steam_id=GABEN, source=SteamSource.STEAM, by=None)
    assert "linked to another user" in come_back(client, answer(client, provider))
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=cast.owner.pk).update(steam_id=GABEN, steam_source="steam")


def test_a_typed_steam_id_is_not_confirmed(client, cast):
    page = client.post("/accounts/steam-id", {"steam_id": "STEAM_0:0:11101"}, follow=True)
    cast.owner.refresh_from_db()
    assert (cast.owner.steam_id, cast.owner.trusted_steam_id) == (GABEN, None)
    assert "Not confirmed" in page.content.decode()


def test_a_text_that_is_no_steam_id_is_refused_with_examples(client):
    page = client.post("/accounts/steam-id", {"steam_id": "https://steamcommunity.com/id/gaben"})
    assert page.status_code == 422
    assert "STEAM_1:0:11101" in page.context["form"].errors["steam_id"][0]


def test_an_admin_enters_and_unlinks_the_steam_id_of_a_user(client, cast):
    client.force_login(cast.admin)
    client.post(f"/users/{cast.owner.pk}/steam-id", {"steam_id": f"https://steamcommunity.com/profiles/{GABEN}/"})
    cast.owner.refresh_from_db()
    assert cast.owner.trusted_steam_id == GABEN
    assert str(GABEN) in client.get("/users").content.decode()
    client.post(f"/users/{cast.owner.pk}/steam-id/unlink")
    cast.owner.refresh_from_db()
    assert (cast.owner.steam_id, cast.owner.steam_source) == (None, "")


def test_only_admins_enter_the_steam_id_of_others(client, cast):
    assert client.post(f"/users/{cast.stranger.pk}/steam-id", {"steam_id": str(GABEN)}).status_code == 403
    assert client.post(f"/users/{cast.stranger.pk}/steam-id/unlink").status_code == 403


def test_the_api_names_the_steam_id_and_who_says_so(client, cast):
    actions.link_steam_id(user=cast.owner, steam_id=GABEN, source=SteamSource.ADMIN, by=cast.admin)
    me = client.get("/api/v1/me").json()
    assert (me["steam_id"], me["steam_source"]) == (str(GABEN), "admin")


@pytest.mark.parametrize(
    "text",
    [
        "76561197960287930",
        " STEAM_1:0:11101 ",
        "steam_0:0:11101",
        "[U:1:22202]",
        "U:1:22202",
        "steamcommunity.com/profiles/76561197960287930",
        "https://steamcommunity.com/profiles/[U:1:22202]/?l=german",
    ],
)
def test_every_form_of_a_steam_id_is_read(text):
    assert steam_ids.parse(text) == GABEN
    assert steam_ids.parse(steam_ids.steam_id_2(GABEN)) == GABEN


@pytest.mark.parametrize(
    "text",
    ["", "7656119796028793", "76561197960265728", "76561202255233024", "STEAM_1:2:1", "[U:1:4294967296]", "gaben"],
)
def test_what_is_no_persons_steam_id_is_not_read(text):
    assert steam_ids.parse(text) is None
