"""What a server does with answers of passkeys that are none. Real ones are in test_passkeys_browser."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from accounts import throttle
from accounts.models import Passkey, Session, User
from accounts.tests.factories import make_passkey
from left4me.audit.models import AuditEntry

PASSWORD = "correct horse battery"
SIGN_IN, ANY, OFFER, ADD = (
    "/accounts/passkeys/sign-in/",
    "/accounts/passkeys/any/",
    "/accounts/factors/passkeys/offer/",
    "/accounts/factors/passkeys/",
)
WELL_FORMED = {
    "id": "AAAA",
    "rawId": "AAAA",
    "type": "public-key",
    "response": {"clientDataJSON": "e30", "authenticatorData": "A" * 64, "signature": "AAAA"},
    "clientExtensionResults": {},
}


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", PASSWORD)


@pytest.fixture
def session(anna, client) -> Client:
    client.post("/accounts/login/", {"username": "anna", "password": PASSWORD})
    return client


def shown(response) -> str:
    return " ".join(str(message) for message in response.context["messages"])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{}",
        "[]",
        "null",
        "1",
        "x" * 100_000,
        "[" * 10_000,
        '{"id": "\\u0000"}',
        json.dumps(WELL_FORMED),
        json.dumps(WELL_FORMED | {"response": {}}),
        json.dumps(WELL_FORMED | {"response": 1}),
        json.dumps(WELL_FORMED | {"rawId": "ä"}),
        json.dumps(WELL_FORMED | {"rawId": {"a": 1}}),
    ],
)
def test_nonsense_signs_nobody_in(anna, client, session, answer):
    stranger = Client()
    assert stranger.post(ANY).json()["publicKey"]["userVerification"] == "required"
    response = stranger.post(SIGN_IN, {"credential": answer}, follow=True)
    assert response.redirect_chain[-1][0] == "/accounts/login/"
    assert shown(response)
    session.post(OFFER)
    made = session.post(ADD, {"credential": answer}, follow=True)
    assert (made.status_code, Passkey.objects.count()) == (200, 0)


def test_an_answer_without_a_question_is_refused(anna, client):
    assert "This took too long" in shown(client.post(SIGN_IN, {"credential": json.dumps(WELL_FORMED)}, follow=True))


def test_a_question_is_answered_once(anna, client):
    client.post(ANY)
    for words in ("not known here", "This took too long"):
        response = client.post(SIGN_IN, {"credential": json.dumps(WELL_FORMED)}, follow=True)
        assert words in shown(response)


def test_the_question_for_making_a_passkey_does_not_sign_in(session):
    session.post(OFFER)
    stranger = Client()
    stranger.cookies["left4me_passkey"] = session.cookies["left4me_passkey"].value
    assert "This took too long" in shown(stranger.post(SIGN_IN, {"credential": json.dumps(WELL_FORMED)}, follow=True))


def test_a_refused_passkey_is_on_record(anna, client):
    client.post(ANY)
    client.post(SIGN_IN, {"credential": json.dumps(WELL_FORMED)})
    assert AuditEntry.objects.filter(action="session.passkey_refused").exists()
    assert not Session.objects.filter(user__isnull=False).exists()


def test_attempts_are_limited_by_address(anna, client):
    answers = [client.post(SIGN_IN, {"credential": "{}"}).status_code for _ in range(throttle.LONG_CODE.most + 1)]
    assert (answers[0], answers[-1]) == (302, 429)


def test_the_question_of_the_second_step_is_for_whoever_entered_the_password(anna, client):
    assert client.post("/accounts/passkeys/own/")["Location"] == "/accounts/login/"


def test_the_question_names_the_keys_of_the_user_only_after_the_password(anna, session):
    assert "allowCredentials" not in Client().post(ANY).json()["publicKey"]
    assert session.post(OFFER).json()["publicKey"]["rp"]["id"] == "testserver"


def test_the_second_step_offers_the_passkeys_of_whoever_entered_the_password(anna, client):
    make_passkey(anna)
    User.objects.update(second_factor_at=anna.created_at)
    client.post("/accounts/login/", {"username": "anna", "password": PASSWORD})
    asked = client.post("/accounts/passkeys/own/").json()["publicKey"]
    assert (len(asked["allowCredentials"]), asked["userVerification"]) == (1, "preferred")


def test_somebody_else_s_passkey_is_not_there_to_be_removed(anna, session):
    other = User.objects.create_user("other")
    passkey = make_passkey(other)
    assert session.post(f"/accounts/factors/passkeys/{passkey.pk}/remove/").status_code == 404
