"""Sign-in at other providers: a real OpenID Connect provider over HTTP, and one that lies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pyotp
import pytest
from django.core.cache import cache
from django.test import Client
from joserfc import jwt
from joserfc.jwk import RSAKey

from accounts.models import AuthenticatorApp, Identity, Session, SteamSource, User
from accounts.tests.factories import bearer, make_token
from left4me.audit.models import AuditEntry
from left4me.core import secrets
from left4me.testing import openid_provider
from left4me.testing.openid_provider import Registered, query

PASSWORD = "correct horse battery"
FACTORS = "/accounts/factors/"
BEGIN, RETURN = "/accounts/doors/oidc/begin", "/accounts/doors/oidc/return"


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", PASSWORD)


@pytest.fixture
def session(anna) -> Client:
    client = Client()
    client.post("/accounts/login/", {"username": "anna", "password": PASSWORD})
    return client


@pytest.fixture(scope="module")
def real_provider():
    with openid_provider.running([f"http://testserver{RETURN}"]) as provider:
        yield provider


@pytest.fixture
def provider(real_provider, settings) -> Registered:
    openid_provider.use(settings, real_provider)
    return real_provider


def link_address(client: Client, door: str = "oidc") -> str:
    page = client.get(FACTORS).content.decode()
    return re.search(rf'href="(/accounts/doors/{door}/link\?token=[0-9a-f]+)"', page)[1]


def link(client: Client, provider: Registered, subject: str = "anna-there"):
    back = provider.authorize(client.get(link_address(client))["Location"], subject)
    return client.get(back, follow=True)


def shown(response) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def test_an_account_there_is_linked_and_signs_in(anna, session, provider):
    assert "Linked." in shown(link(session, provider))
    identity = Identity.objects.get()
    assert (identity.user, identity.issuer, identity.subject) == (anna, provider.issuer, "anna-there")
    client = Client()
    assert "Sign in with Example" in client.get("/accounts/login/").content.decode()
    away = client.get(f"{BEGIN}?next=/jobs")["Location"]
    assert not Session.objects.exclude(user=anna).exists(), "no session before somebody is signed in"
    assert client.get(provider.authorize(away, "anna-there"))["Location"] == "/jobs"
    assert client.get("/jobs").status_code == 200
    entry = AuditEntry.objects.filter(action="session.start").latest("pk")
    assert (entry.user, entry.details) == (anna, {"means": "oidc"})
    assert AuditEntry.objects.filter(action="identity.link", user=anna).exists()
    told = client.get("/api/v1/me/factors", headers=bearer(make_token(anna))).json()
    assert [(each["door"], each["label"]) for each in told["identities"]] == [("oidc", "anna-there")]


def test_an_account_that_nobody_linked_signs_nobody_in_and_makes_no_user(anna, provider):
    client = Client()
    response = client.get(provider.authorize(client.get(BEGIN)["Location"], "somebody"), follow=True)
    assert "linked to no user here" in shown(response)
    assert (User.objects.count(), client.get("/").status_code) == (1, 302)
    assert AuditEntry.objects.filter(action="session.door_refused").exists()


def test_a_second_factor_is_still_asked_for(anna, session, provider):
    link(session, provider)
    secret = pyotp.random_base32()
    AuthenticatorApp.objects.create(user=anna, secret_sealed=secrets.seal(secret))
    User.objects.update(second_factor_at=datetime.now(UTC))
    Session.objects.all().delete()
    client = Client()
    response = client.get(provider.authorize(client.get(BEGIN)["Location"], "anna-there"))
    assert response["Location"].startswith("/accounts/second-step/")
    assert not Session.objects.exists()
    assert client.post(response["Location"], {"code": pyotp.TOTP(secret).now()}).status_code == 302
    assert client.get("/").status_code == 200


def test_a_deactivated_user_is_not_signed_in(anna, session, provider):
    link(session, provider)
    User.objects.update(is_active=False)
    client = Client()
    client.get(provider.authorize(client.get(BEGIN)["Location"], "anna-there"))
    assert client.get("/").status_code == 302


def test_one_account_there_belongs_to_one_user_here(anna, session, provider):
    link(session, provider)
    User.objects.create_user("other", PASSWORD)
    other = Client()
    other.post("/accounts/login/", {"username": "other", "password": PASSWORD})
    assert "linked to another user here" in shown(link(other, provider))
    assert Identity.objects.get().user == anna


def test_unlinking_ends_it(anna, session, provider):
    link(session, provider)
    session.post(f"/accounts/identities/{Identity.objects.get().pk}/unlink")
    client = Client()
    client.get(provider.authorize(client.get(BEGIN)["Location"], "anna-there"))
    assert client.get("/").status_code == 302


def test_linking_asks_for_the_password_when_the_sign_in_is_long_ago(anna, session, provider):
    address = link_address(session)
    data = session.session
    data["confirmed_at"] = int(time.time()) - 3600
    data.save()
    assert session.get(address)["Location"].startswith("/accounts/confirm/")


def test_another_site_cannot_have_an_account_linked(anna, session, provider):
    for address in ("/accounts/doors/oidc/link", "/accounts/doors/oidc/link?token=guessed"):
        assert session.get(address)["Location"] == FACTORS
    stranger = Client()
    back = provider.authorize(stranger.get(BEGIN)["Location"], "mallory")
    assert "not started in this browser" in shown(session.get(back, follow=True))
    assert not Identity.objects.exists()


def test_an_answer_is_taken_once(anna, session, provider):
    link(session, provider)
    client = Client()
    back = provider.authorize(client.get(BEGIN)["Location"], "anna-there")
    kept = client.cookies["left4me_door"].value
    client.get(back)
    again = Client()
    again.cookies["left4me_door"] = kept
    again.get(back)
    assert again.get("/").status_code == 302, "the provider does not take its code twice"


def test_a_refusal_there_is_told(liar):
    assert "cancelled or refused" in come_back(liar, error="access_denied")
    assert "cancelled or refused" in come_back(liar, code="")


def test_without_a_provider_there_is_no_door(anna, client, session):
    assert client.get(BEGIN).status_code == 404
    assert client.get(RETURN).status_code == 404
    assert "/accounts/doors/oidc/" not in session.get(FACTORS).content.decode()


def test_a_provider_that_is_away_is_told(anna, settings):
    openid_provider.use(settings, Registered("http://127.0.0.1:9", "here", ""))
    assert "could not be reached" in shown(Client().get(BEGIN, follow=True))


def test_endpoints_in_private_networks_are_not_asked(anna, settings, liar):
    liar.endpoints["token_endpoint"] = "http://127.0.0.1:1/token"
    assert "could not be reached" in come_back(liar)


class Liar:
    """A provider that says what a test wants, and notes what it was asked."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, parameters={"kid": "1"})
        self.published = [self.key]
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signer: Any = None
        self.raw: bytes | None = None
        self.nonce = ""
        self.asked: dict[str, str] = {}
        self.authorization = ""
        self.endpoints: dict[str, Any] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys = {"keys": [key.as_dict(private=False) for key in provider.published]}
                self._send(json.dumps(keys if self.path == "/jwks" else provider.configuration()).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.asked = {name: values[0] for name, values in parse_qs(body).items()}
                provider.authorization = self.headers.get("Authorization", "")
                self._send(provider.raw if provider.raw is not None else provider.token())

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        } | self.endpoints

    def token(self) -> bytes:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "here", "sub": "1", "iat": now, "exp": now + 60, "nonce": self.nonce}
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        header = {"alg": "RS256", "kid": "1"} | self.header
        return json.dumps({"id_token": jwt.encode(header, claims, self.signer or self.key)}).encode()


@pytest.fixture
def liar(settings, anna):
    cache.clear()
    provider = Liar()
    thread = threading.Thread(target=provider.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    openid_provider.use(settings, Registered(provider.issuer, "here", "hidden:x"))
    Identity.objects.create(user=anna, door="oidc", issuer=provider.issuer, subject="1", label="anna")
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
    thread.join()


def come_back(liar: Liar, **changed: str) -> str:
    """What is shown after the return; empty for somebody who is signed in."""
    client = Client()
    asked = query(client.get(BEGIN)["Location"])
    liar.nonce = asked["nonce"]
    answer = {"state": asked["state"], "code": "42"} | changed
    response = client.get(RETURN, answer)
    if client.get("/").status_code == 200:
        return ""
    return shown(client.get(response["Location"]))


def test_the_request_and_the_code_are_bound_to_this_browser_by_pkce_state_and_nonce(liar):
    client = Client()
    asked = query(client.get(BEGIN)["Location"])
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    liar.nonce = asked["nonce"]
    client.get(RETURN, {"state": asked["state"], "code": "42"})
    assert client.get("/").status_code == 200
    digest = hashlib.sha256(liar.asked["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
    assert liar.asked["redirect_uri"] == asked["redirect_uri"] == f"http://testserver{RETURN}"
    assert base64.b64decode(liar.authorization.removeprefix("Basic ")) == b"here:hidden%3Ax"


def test_the_secret_is_sent_as_the_provider_wants_it(liar):
    liar.endpoints["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert come_back(liar) == ""
    assert (liar.asked["client_secret"], liar.authorization) == ("hidden:x", "")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "somebody else"},
        {"aud": ["somebody", "else"]},
        {"azp": "somebody else"},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"sub": 1},
        {"sub": "x" * 300},
        {"exp": None},
        {"exp": -(10**9)},
        {"exp": -300},
        {"exp": "soon"},
        {"iat": 3600},
        {"nbf": 3600},
    ],
    ids=str,
)
def test_a_claim_that_is_not_true_signs_nobody_in(liar, claims):
    now = int(time.time())
    is_moment = {"exp", "iat", "nbf"}.__contains__
    liar.claims = {
        name: now + value if is_moment(name) and isinstance(value, int) else value for name, value in claims.items()
    }
    assert "not valid" in come_back(liar)


@pytest.mark.parametrize("seconds", [-60, 60])
def test_clocks_may_be_two_minutes_apart(liar, seconds):
    now = int(time.time()) + seconds
    liar.claims = {"iat": now, "exp": now + 10}
    assert come_back(liar) == ""


def part(values: dict[str, str]) -> str:
    """A part of a token, signed by nobody."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize("case", ["none", "symmetric", "another key", "no token", "no json", "no object", "junk"])
def test_a_token_that_the_provider_did_not_sign_signs_nobody_in(liar, case):
    if case == "none":
        liar.raw = json.dumps({"id_token": f"{part({'alg': 'none'})}.{part({'sub': '1'})}."}).encode()
    elif case == "symmetric":
        signed = f"{part({'alg': 'HS256', 'kid': '1'})}.{part({'sub': '1'})}"
        signature = hmac.digest(liar.key.as_pem(private=False), signed.encode(), "sha256")
        encoded = base64.urlsafe_b64encode(signature).decode().rstrip("=")
        liar.raw = json.dumps({"id_token": f"{signed}.{encoded}"}).encode()
    elif case == "another key":
        liar.signer = RSAKey.generate_key(2048)
    else:
        answers = {"no token": b"{}", "no json": b"<html>", "no object": b"[]", "junk": b'{"id_token": "a.b.c"}'}
        liar.raw = answers[case]
    assert "not valid" in come_back(liar)


def test_new_keys_of_the_provider_are_fetched(liar):
    assert come_back(liar) == ""
    liar.key = RSAKey.generate_key(2048, parameters={"kid": "2"})
    liar.published, liar.header = [liar.key], {"kid": "2"}
    assert come_back(liar) == ""


@pytest.mark.parametrize(
    "endpoints", [{"issuer": "https://elsewhere.example"}, {"token_endpoint": None}, {"jwks_uri": 1}], ids=str
)
def test_a_description_of_something_else_is_refused(liar, endpoints):
    liar.endpoints = endpoints
    assert "not valid" in shown(Client().get(BEGIN, follow=True))


@pytest.mark.parametrize("changed", [{"state": "another"}, {"state": ""}, {"iss": "https://elsewhere.example"}])
def test_an_answer_to_something_else_signs_nobody_in(liar, changed):
    assert come_back(liar, **changed)


def test_the_user_is_not_sent_to_another_site_afterwards(liar):
    client = Client()
    asked = query(client.get(f"{BEGIN}?next=https://evil.example/")["Location"])
    liar.nonce = asked["nonce"]
    assert client.get(RETURN, {"state": asked["state"], "code": "42"})["Location"] == "/"


GABEN = 76561197960287930


def test_unlinking_the_steam_id_ends_signing_in_through_steam(anna, session):
    User.objects.update(steam_id=GABEN, steam_source=SteamSource.STEAM)
    Identity.objects.create(user=anna, door="steam", issuer="x", subject=str(GABEN))
    session.post("/accounts/steam-id/unlink")
    assert not Identity.objects.exists()


def test_the_owner_of_the_site_may_keep_steam_out(anna, client, settings):
    settings.LEFT4ME_STEAM_SIGN_IN = False
    assert client.get("/accounts/doors/steam/begin").status_code == 404
    assert "Steam" not in client.get("/accounts/login/").content.decode()


def test_unlinking_asks_for_the_password_when_the_sign_in_is_long_ago(anna, session, provider):
    link(session, provider)
    data = session.session
    data["confirmed_at"] = int(time.time()) - 3600
    data.save()
    address = f"/accounts/identities/{Identity.objects.get().pk}/unlink"
    assert session.post(address)["Location"].startswith("/accounts/confirm/")
    other = User.objects.create_user("other")
    Identity.objects.update(user=other)
    assert session.post(address).status_code == 404
    assert Identity.objects.exists()


def test_a_link_that_comes_back_to_another_session_is_refused(anna, session, provider):
    back = provider.authorize(session.get(link_address(session))["Location"], "anna-there")
    data = session.session
    data["confirmed_at"] = int(time.time()) - 3600
    data.save()
    assert "Sign in here first" in shown(session.get(back, follow=True))
    assert not Identity.objects.exists()


def test_a_door_that_is_no_longer_offered_can_still_be_unlinked(anna, session, settings):
    Identity.objects.create(user=anna, door="oidc", issuer="x", subject="1", label="anna there")
    page = session.get(FACTORS).content.decode()
    assert "anna there" in page and "/unlink" in page
    assert "/accounts/doors/oidc/" not in page


def test_a_public_client_sends_its_name_and_no_secret(liar, settings):
    settings.LEFT4ME_OIDC_CLIENT_SECRET = ""
    assert come_back(liar) == ""
    assert (liar.asked["client_id"], liar.authorization) == ("here", "")
    assert "client_secret" not in liar.asked


@pytest.mark.parametrize(
    ("claims", "label"),
    [
        ({"preferred_username": "a\u202eb", "name": "x"}, "ab"),
        ({"preferred_username": " ", "name": "Anna"}, "Anna"),
        ({"preferred_username": 7, "email": "a@b.example"}, "a@b.example"),
        ({"name": "x" * 200}, "x" * 100),
        ({}, "2"),
    ],
    ids=["unprintable", "blank", "no text", "long", "none"],
)
def test_an_account_there_is_known_by_a_name_for_people(liar, session, claims, label):
    Identity.objects.all().delete()
    liar.claims = {"sub": "2", **claims}
    asked = query(session.get(link_address(session))["Location"])
    liar.nonce = asked["nonce"]
    session.get(RETURN, {"state": asked["state"], "code": "42"})
    assert Identity.objects.get().label == label


@pytest.mark.parametrize(("seconds", "is_taken"), [(-125, False), (-110, True)])
def test_a_token_counts_two_minutes_beyond_its_end(liar, seconds, is_taken):
    liar.claims = {"exp": int(time.time()) + seconds}
    assert (come_back(liar) == "") is is_taken


def test_the_description_of_a_provider_is_kept_for_a_quarter_of_an_hour(liar, redis_client):
    assert come_back(liar) == ""
    kept = redis_client.keys("*accounts:oidc:*")
    assert len(kept) == 2
    assert {redis_client.ttl(key) for key in kept} <= set(range(880, 901))
    liar.endpoints["authorization_endpoint"] = "https://elsewhere.example/authorize"
    assert Client().get(BEGIN)["Location"].startswith(f"{liar.issuer}/authorize?")
    cache.clear()
    assert Client().get(BEGIN)["Location"].startswith("https://elsewhere.example/authorize?")
    cache.clear()
    liar.endpoints["authorization_endpoint"] = "https://elsewhere.example/authorize?a=b"
    assert "?a=b&response_type=code" in Client().get(BEGIN)["Location"]
    cache.clear()
    liar.endpoints["authorization_endpoint"] = "ftp://elsewhere.example/authorize"
    assert "not valid" in shown(Client().get(BEGIN, follow=True))
