"""Passkeys that are made and used, with an authenticator in memory: at sign-in and as a second factor."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client, RequestFactory

from accounts.factors import actions
from accounts.models import Passkey, RecoveryCode, User
from accounts.tests.authenticator import Authenticator
from accounts.tests.factories import make_passkey
from left4me.audit.models import AuditEntry

PASSWORD = "correct horse battery"
LOGIN, STEP, CONFIRM = "/accounts/login/", "/accounts/second-step/", "/accounts/confirm/"
ANY, OWN, SIGN_IN = "/accounts/passkeys/any/", "/accounts/passkeys/own/", "/accounts/passkeys/sign-in/"
OFFER, ADD, FACTORS = "/accounts/factors/passkeys/offer/", "/accounts/factors/passkeys/", "/accounts/factors/"


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", PASSWORD)


@pytest.fixture
def session(anna, client) -> Client:
    client.post(LOGIN, {"username": "anna", "password": PASSWORD})
    return client


@pytest.fixture
def phone() -> Authenticator:
    return Authenticator()


def add(client: Client, phone: Authenticator, name: str = "Phone") -> Any:
    return client.post(ADD, {"credential": phone.make(client.post(OFFER).json()), "name": name})


def sign_in(client: Client, phone: Authenticator, **how: Any) -> Any:
    return client.post(SIGN_IN, {"credential": phone.use(client.post(ANY).json(), **how), "next": "/jobs"})


def shown(client: Client, response: Any) -> str:
    return " ".join(str(each) for each in client.get(response["Location"], follow=True).context["messages"])


def test_a_passkey_is_made_and_signs_in_without_a_name(anna, session, phone):
    page = add(session, phone)
    assert page.status_code == 200
    assert page.content.decode().count("-") >= 30, "the recovery codes are shown"
    passkey = Passkey.objects.get()
    assert (passkey.user, passkey.name, passkey.sign_count, passkey.last_used_at) == (anna, "Phone", 0, None)
    anna.refresh_from_db()
    assert anna.second_factor_at is not None
    assert session.get("/jobs").status_code == 200, "this session has shown it"
    client = Client()
    assert sign_in(client, phone)["Location"] == "/jobs"
    assert client.get("/jobs").status_code == 200
    assert AuditEntry.objects.filter(action="session.start").latest("pk").details == {"means": "passkey"}
    passkey.refresh_from_db()
    assert passkey.last_used_at is not None


def test_a_second_passkey_leaves_the_recovery_codes(anna, session, phone):
    add(session, phone)
    codes = set(RecoveryCode.objects.values_list("digest", flat=True))
    other = Authenticator(name="tablet")
    asked = session.post(OFFER).json()
    assert len(asked["publicKey"]["excludeCredentials"]) == 1
    answer = session.post(ADD, {"credential": other.make(asked), "name": "Tablet"})
    assert answer["Location"] == FACTORS
    assert shown(session, answer) == "Passkey “Tablet” added."
    assert set(RecoveryCode.objects.values_list("digest", flat=True)) == codes


def test_a_passkey_without_a_name_is_called_as_its_browser(session, phone):
    add(session, phone, " ")
    assert Passkey.objects.get().name == "Unknown device"


@pytest.mark.parametrize("name", ["x" * 65, 'a"b'])
def test_a_name_that_a_passkey_cannot_have_is_refused(session, phone, name: str):
    answer = add(session, phone, name)
    assert answer["Location"] == FACTORS
    assert shown(session, answer)
    assert not Passkey.objects.exists()


def test_a_passkey_of_another_site_is_none_of_this_one(anna, session, phone):
    assert add(session, Authenticator(origin="https://evil.example"))["Location"] == FACTORS
    assert not Passkey.objects.exists()
    add(session, phone)
    phone.origin = "https://evil.example"
    assert sign_in(Client(), phone)["Location"] == LOGIN
    phone.origin = "http://testserver"
    assert sign_in(Client(), phone, party="evil.example")["Location"] == LOGIN


def test_a_device_that_did_not_ask_its_owner_signs_nobody_in_without_a_password(anna, session, phone):
    add(session, phone)
    client = Client()
    answer = sign_in(client, phone, is_verified=False)
    assert answer["Location"] == LOGIN
    assert "could not be verified" in shown(client, answer)
    assert AuditEntry.objects.get(action="session.passkey_refused").target == f"user:{anna.pk}"


def test_a_passkey_that_says_it_is_somebody_else_s_is_refused(anna, session, phone):
    add(session, phone)
    phone.handle = b"somebody else"
    assert sign_in(Client(), phone)["Location"] == LOGIN
    phone.handle = None
    assert sign_in(Client(), phone)["Location"] == "/jobs"


def test_a_deactivated_user_s_passkey_signs_nobody_in(anna, session, phone):
    add(session, phone)
    User.objects.update(is_active=False)
    assert sign_in(Client(), phone)["Location"] == LOGIN


@pytest.mark.parametrize(
    ("counts", "accepted"),
    [
        ([0, 0, 0], [True, True, True]),
        ([1, 2, 7], [True, True, True]),
        ([3, 3], [True, False]),
        ([3, 2], [True, False]),
        ([3, 0], [True, False]),
        ([0, 1, 0], [True, True, False]),
    ],
    ids=str,
)
def test_a_passkey_whose_counter_falls_behind_was_copied(anna, session, phone, counts, accepted):
    add(session, phone)
    found = []
    for phone.count in counts:
        client = Client()
        answer = sign_in(client, phone)
        found.append(answer["Location"] == "/jobs")
    assert found == accepted
    passkey = Passkey.objects.get()
    assert passkey.sign_count == max(counts)
    if not accepted[-1]:
        assert "may have been copied" in shown(client, answer)
        entry = AuditEntry.objects.get(action="session.passkey_refused")
        assert (entry.target, entry.details) == (f"user:{anna.pk}", {"count": counts[-1]})


def test_a_passkey_is_the_second_step_after_the_password(anna, session, phone):
    add(session, phone)
    client = Client()
    assert client.post(LOGIN, {"username": "anna", "password": PASSWORD})["Location"].startswith(STEP)
    asked = client.post(OWN).json()
    wrong = client.post(STEP, {"credential": Authenticator(name="other").use(asked)})
    assert wrong.status_code == 422
    assert "could not be verified" in wrong.content.decode()
    answer = client.post(STEP, {"credential": phone.use(client.post(OWN).json(), is_verified=False), "next": "/jobs"})
    assert answer["Location"] == "/jobs"
    assert client.get("/jobs").status_code == 200


def test_a_passkey_of_somebody_else_is_no_second_step(anna, session, phone):
    add(session, phone)
    User.objects.create_user("other", PASSWORD)
    User.objects.update(second_factor_at=anna.created_at)
    client = Client()
    client.post(LOGIN, {"username": "other", "password": PASSWORD})
    phone.handle = None
    assert client.post(STEP, {"credential": phone.use(client.post(OWN).json())}).status_code == 422


def test_a_passkey_confirms_as_well_as_the_password(anna, session, phone):
    add(session, phone)
    data = session.session
    data["confirmed_at"] = int(time.time()) - 16 * 60
    data.save()
    assert session.post(OFFER)["Location"].startswith(CONFIRM)
    assert session.post(CONFIRM, {"credential": "{}"}).status_code == 422
    assert (
        session.post(CONFIRM, {"credential": phone.use(session.post(OWN).json()), "next": FACTORS})["Location"]
        == FACTORS
    )
    assert session.post(OFFER).status_code == 200


def test_removing_the_last_passkey_ends_the_second_factor(anna, session, phone):
    add(session, phone)
    add(session, Authenticator(name="tablet"), "Tablet")
    first, second = Passkey.objects.all()
    session.post(f"{ADD}{first.pk}/remove/")
    anna.refresh_from_db()
    assert anna.second_factor_at is not None and RecoveryCode.objects.exists()
    answer = session.post(f"{ADD}{second.pk}/remove/")
    assert "Passkey “Tablet” removed." in shown(session, answer)
    anna.refresh_from_db()
    assert (anna.second_factor_at, RecoveryCode.objects.count()) == (None, 0)
    entry = AuditEntry.objects.filter(action="factor.remove_passkey").latest("pk")
    assert (entry.user, entry.details) == (anna, {"name": "Tablet"})


def test_the_last_demanded_passkey_stays(anna, session, phone, settings):
    add(session, phone)
    settings.LEFT4ME_SECOND_FACTOR = "everyone"
    answer = session.post(f"{ADD}{Passkey.objects.get().pk}/remove/")
    assert "requires a second factor" in shown(session, answer)
    assert Passkey.objects.exists()


def test_an_open_session_alone_removes_no_passkey(anna, session, phone):
    add(session, phone)
    data = session.session
    data["confirmed_at"] = int(time.time()) - 16 * 60
    data.save()
    assert session.post(f"{ADD}{Passkey.objects.get().pk}/remove/")["Location"].startswith(CONFIRM)
    assert session.post(ADD, {"credential": "{}", "name": "x"})["Location"].startswith(CONFIRM)
    assert Passkey.objects.count() == 1


def test_a_user_has_so_many_passkeys(anna, rf: RequestFactory, monkeypatch):
    monkeypatch.setattr(actions, "MOST_PASSKEYS", 2)
    request = rf.post("/")
    request.session = {}
    for name in "ab":
        row = make_passkey(anna, name=name)
    with pytest.raises(ValidationError, match="already have 2 passkeys"):
        actions.add_passkey(user=anna, passkey=row, request=request)


def test_a_question_counts_once_and_for_ten_minutes(redis_client, anna, session, phone):
    add(session, phone)
    client = Client()
    credential = phone.use(client.post(ANY).json())
    assert client.post(SIGN_IN, {"credential": credential})["Location"] == "/"
    again = Client()
    again.cookies["left4me_passkey"] = client.cookies["left4me_passkey"].value
    assert again.post(SIGN_IN, {"credential": credential})["Location"] == LOGIN
    assert {redis_client.ttl(key) for key in redis_client.keys("*passkey-challenge*")} <= set(range(590, 601))


def test_without_redis_a_passkey_still_signs_in(anna, session, phone, settings):
    add(session, phone)
    client = Client()
    credential = phone.use(client.post(ANY).json())
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert client.post(SIGN_IN, {"credential": credential}).status_code == 302
