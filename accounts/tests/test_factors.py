"""Second factors: an authenticator app and recovery codes, at sign-in and in sessions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pyotp
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import auth, throttle
from accounts.factors import actions, recovery_codes
from accounts.models import AuthenticatorApp, RecoveryCode, Session, User
from accounts.secrets import digest
from accounts.tests.factories import bearer, make_passkey, make_token
from left4me.audit.models import AuditEntry
from left4me.core import secrets

LOGIN, STEP = "/accounts/login/", "/accounts/second-step/"
FACTORS, APP = "/accounts/factors/", "/accounts/factors/app/"
PASSWORD = "correct horse battery"
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", PASSWORD)


@pytest.fixture
def boss(db):
    return User.objects.create_user("boss", PASSWORD, is_admin=True)


@pytest.fixture
def clock():
    with time_machine.travel(NOON, tick=False) as travel:
        yield travel


def enter(client: Client, name="anna", address="192.0.2.1", **fields):
    return client.post(LOGIN, {"username": name, "password": PASSWORD, **fields}, REMOTE_ADDR=address)


def step(client: Client, code: str, address="192.0.2.1", **fields):
    return client.post(STEP, {"code": code, **fields}, REMOTE_ADDR=address)


def secret_of(user: User) -> str:
    return secrets.unseal(AuthenticatorApp.objects.get(user=user).secret_sealed)


def code_of(user: User, *, later: int = 0) -> str:
    return pyotp.TOTP(secret_of(user)).at(datetime.now(UTC) + timedelta(seconds=later))


def set_up(client: Client) -> list[str]:
    """Set up an app on the pages, as a person does; returns the recovery codes."""
    page = client.get(APP).content.decode()
    secret = re.search(r'<code tabindex="0">([A-Z2-7]{32})</code>', page)[1]
    shown = client.post(APP, {"code": pyotp.TOTP(secret).now()}).content.decode()
    return re.findall(r"\b(?:[a-z0-9]{4}-){3}[a-z0-9]{4}\b", re.search(r"<pre[^>]*>(.*?)</pre>", shown, re.S)[1])


@pytest.fixture
def with_app(anna, clock) -> list[str]:
    """Anna has an app; the recovery codes. The code of this minute is used."""
    client = Client()
    enter(client)
    codes = set_up(client)
    clock.shift(60)
    anna.refresh_from_db()
    return codes


def test_without_a_second_factor_a_password_is_enough(anna, client):
    assert enter(client)["Location"] == "/"
    assert client.get("/").status_code == 200


def test_an_app_is_set_up_with_recovery_codes_that_are_shown_once(anna, clock, client):
    enter(client)
    codes = set_up(client)
    assert len(set(codes)) == recovery_codes.COUNT
    stored = str(list(AuthenticatorApp.objects.values()) + list(RecoveryCode.objects.values()))
    assert secret_of(anna) not in stored
    assert not any(code.replace("-", "") in stored for code in codes)
    assert "10 codes are left" in client.get(FACTORS).content.decode()
    actions_done = set(AuditEntry.objects.values_list("action", flat=True))
    assert "factor.add_app" in actions_done


def test_the_secret_of_an_app_that_is_being_set_up_is_not_readable_in_the_session(anna, clock, client):
    enter(client)
    page = client.get(APP).content.decode()
    secret = re.search(r'<code tabindex="0">([A-Z2-7]{32})</code>', page)[1]
    assert secret not in str(client.session.items())


def test_a_mistyped_code_keeps_the_secret_that_was_scanned(anna, clock, client):
    enter(client)
    first = re.search(r"[A-Z2-7]{32}", client.get(APP).content.decode())[0]
    answer = client.post(APP, {"code": "000000"})
    assert answer.status_code == 422
    assert first in answer.content.decode()
    assert not AuthenticatorApp.objects.exists()


def test_between_password_and_code_there_is_no_session(anna, with_app, client):
    Session.objects.all().delete()
    answer = enter(client, next="/jobs")
    assert answer["Location"] == f"{STEP}?next=%2Fjobs"
    assert not Session.objects.exists()
    assert "sessionid" not in client.cookies
    assert client.get("/").status_code == 302
    answer = step(client, code_of(anna), next="/jobs")
    assert (answer.status_code, answer["Location"]) == (302, "/jobs")
    assert client.get("/jobs").status_code == 200
    assert AuditEntry.objects.filter(action="session.start").latest("pk").details == {"means": "app"}


def test_the_second_step_alone_opens_nothing(anna, with_app, client):
    assert step(client, code_of(anna))["Location"] == LOGIN
    assert client.get("/").status_code == 302


def test_the_password_is_forgotten_after_five_minutes(anna, with_app, client, clock):
    enter(client)
    clock.shift(301)
    assert step(client, code_of(anna))["Location"] == LOGIN


def test_a_new_password_voids_sign_ins_that_wait_for_their_second_step(anna, with_app, client):
    enter(client)
    anna.set_password("another horse battery")
    anna.save()
    assert step(client, code_of(anna))["Location"] == LOGIN


def test_a_deactivated_user_does_not_pass_the_second_step(anna, with_app, client):
    enter(client)
    User.objects.update(is_active=False)
    assert step(client, code_of(anna))["Location"] == LOGIN


@pytest.mark.parametrize("later", [-30, 0, 30])
def test_a_clock_may_be_half_a_minute_off(anna, with_app, client, later):
    enter(client)
    assert step(client, code_of(anna, later=later)).status_code == 302


@pytest.mark.parametrize("later", [-90, 90])
def test_codes_of_other_minutes_are_wrong(anna, with_app, client, later):
    enter(client)
    assert step(client, code_of(anna, later=later)).status_code == 422


@pytest.mark.parametrize("code", ["", "000000", "12345", "\0", "x" * 500, "１２３４５６", "-----"])
def test_what_is_no_code_is_refused(anna, with_app, client, code):
    enter(client)
    assert step(client, code).status_code == 422
    assert client.get("/").status_code == 302


def test_no_code_works_twice(anna, with_app):
    code = code_of(anna)
    for status in (302, 422):
        client = Client()
        enter(client)
        assert step(client, code).status_code == status


def test_a_code_may_be_typed_with_a_space(anna, with_app, client):
    enter(client)
    code = code_of(anna)
    assert step(client, f" {code[:3]} {code[3:]} ").status_code == 302


def test_a_recovery_code_works_once_and_its_use_is_shown_and_on_record(anna, with_app, client):
    enter(client)
    answer = step(client, with_app[0].upper(), address="198.51.100.7")
    assert answer.status_code == 302
    assert "9 codes are left" in client.get("/").content.decode()
    assert "198.51.100.7" in client.get(FACTORS).content.decode()
    entry = AuditEntry.objects.get(action="factor.use_code")
    assert (entry.user, entry.address, entry.details) == (anna, "198.51.100.7", {"left": 9})
    again = Client()
    enter(again)
    assert step(again, with_app[0]).status_code == 422


def test_a_recovery_code_of_somebody_else_is_wrong(anna, boss, with_app, client):
    AuthenticatorApp.objects.create(user=boss, secret_sealed=secrets.seal(pyotp.random_base32()))
    User.objects.filter(pk=boss.pk).update(second_factor_at=NOON)
    enter(client, name="boss")
    assert step(client, with_app[0]).status_code == 422


def test_new_recovery_codes_replace_the_old_ones(anna, with_app, client):
    enter(client)
    step(client, with_app[0])
    shown = client.post("/accounts/factors/recovery-codes/").content.decode()
    new = re.findall(r"\b(?:[a-z0-9]{4}-){3}[a-z0-9]{4}\b", shown)
    other = Client()
    enter(other)
    assert step(other, with_app[1]).status_code == 422
    assert step(other, new[0]).status_code == 302


def test_guessing_codes_is_stopped_with_429_from_however_many_addresses(anna, with_app):
    statuses = []
    for number in range(12):
        client = Client()
        address = f"198.51.100.{number}"
        enter(client, address=address)
        statuses.append(step(client, "000000", address=address).status_code)
    assert statuses == [422] * throttle.CODE.most + [429] * 2
    assert AuditEntry.objects.filter(action="session.throttled").exists()


def test_a_recovery_code_and_a_known_browser_get_in_while_somebody_guesses(anna, with_app):
    known, guesser, new = Client(), Client(), Client()
    enter(known)
    step(known, code_of(anna))
    known.post("/accounts/logout/")
    enter(guesser, address="203.0.113.1")
    for _ in range(11):
        step(guesser, "000000", address="203.0.113.1")
    enter(known)
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=60), tick=False):
        assert step(known, code_of(anna)).status_code == 302
    enter(new)
    assert step(new, with_app[0]).status_code == 302


def test_without_redis_codes_are_tried_slowly(anna, with_app, settings, clock):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    client = Client()
    enter(client)
    assert step(client, "000000").status_code == 422
    assert step(client, code_of(anna)).status_code == 429
    clock.shift(11)
    assert step(client, code_of(anna)).status_code == 302


def test_wrong_codes_are_on_record(anna, with_app, client):
    enter(client)
    step(client, "000000", address="203.0.113.9")
    entry = AuditEntry.objects.get(action="session.code_refused")
    assert (entry.target, entry.address) == (f"user:{anna.pk}", "203.0.113.9")


def test_a_session_from_before_is_asked_at_its_next_request(anna, clock, client):
    other = Client()
    enter(client)
    enter(other)
    set_up(client)
    assert client.get("/").status_code == 200
    assert other.get("/jobs?state=failed")["Location"] == f"{STEP}?next=/jobs%3Fstate%3Dfailed"
    assert other.get(FACTORS).status_code == 302
    assert other.get("/api/v1/me").status_code == 403
    assert auth.user_from_session(other.session.session_key) is None
    assert auth.user_from_session(client.session.session_key) == anna
    clock.shift(60)
    assert step(other, code_of(anna), next="/jobs")["Location"] == "/jobs"
    assert other.get("/jobs").status_code == 200
    assert auth.user_from_session(other.session.session_key) == anna


def test_a_fragment_that_lacks_the_step_sends_the_whole_page_there(anna, clock, client):
    other = Client()
    enter(other)
    enter(client)
    set_up(client)
    assert other.get("/jobs", headers={"HX-Request": "true"})["HX-Redirect"] == STEP


def test_api_tokens_are_not_asked(anna, with_app, client):
    answer = client.get("/api/v1/me", headers=bearer(make_token(anna)))
    assert answer.status_code == 200


def test_the_api_tells_which_factors_there_are(anna, with_app, client):
    told = client.get("/api/v1/me/factors", headers=bearer(make_token(anna, scope="read"))).json()
    assert told["authenticator_app"]["created_at"] == "2026-11-30T12:00:00Z"
    assert (told["is_on"], told["is_demanded"], told["recovery_codes_left"]) == (True, False, 10)
    assert secret_of(anna) not in str(told)


def test_changing_factors_asks_for_the_password_when_the_sign_in_is_long_ago(anna, clock, client):
    enter(client)
    clock.shift(16 * 60)
    asked = client.get(APP)
    assert asked["Location"] == "/accounts/confirm/?next=%2Faccounts%2Ffactors%2Fapp%2F"
    wrong = client.post(asked["Location"], {"password": "wrong"})
    assert wrong.status_code == 422
    right = client.post(asked["Location"], {"password": PASSWORD})
    assert right["Location"] == APP
    assert client.get(APP).status_code == 200


@pytest.mark.parametrize("address", ["/accounts/factors/app/remove/", "/accounts/factors/recovery-codes/", APP])
def test_an_open_session_alone_changes_no_factor(anna, with_app, client, clock, address):
    enter(client)
    step(client, code_of(anna))
    clock.shift(16 * 60)
    before = list(RecoveryCode.objects.values_list("digest", flat=True)), secret_of(anna)
    assert client.post(address, {"code": "1"})["Location"].startswith("/accounts/confirm/")
    assert (list(RecoveryCode.objects.values_list("digest", flat=True)), secret_of(anna)) == before


def test_a_code_confirms_as_well_as_the_password(anna, with_app, client, clock):
    enter(client)
    step(client, code_of(anna))
    clock.shift(16 * 60)
    assert client.post("/accounts/confirm/", {"code": "000000"}).status_code == 422
    assert client.post("/accounts/confirm/", {"code": code_of(anna)}).status_code == 302


@pytest.mark.parametrize("beside", ["code", "credential"])
def test_passwords_sent_beside_something_else_are_throttled_too(anna, clock, client, beside):
    enter(client)
    sent = {"password": "wrong", beside: "abcde-fghij"}
    answers = [client.post("/accounts/confirm/", sent).status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]


def test_confirming_is_throttled(anna, clock, client):
    enter(client)
    answers = [client.post("/accounts/confirm/", {"password": "wrong"}).status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]


def test_removing_the_app_makes_the_password_enough_again(anna, with_app, client):
    enter(client)
    step(client, code_of(anna))
    client.post("/accounts/factors/app/remove/")
    anna.refresh_from_db()
    assert (anna.second_factor_at, RecoveryCode.objects.count()) == (None, 0)
    assert enter(Client())["Location"] == "/"


def test_a_demanded_factor_is_set_up_before_anything_else(boss, anna, settings, clock, client):
    settings.LEFT4ME_SECOND_FACTOR = "admins"
    enter(client, name="boss")
    assert client.get("/").status_code == 302
    assert client.get("/", follow=True).redirect_chain[-1][0] == FACTORS
    assert client.get("/admin/").status_code == 302
    set_up(client)
    assert client.get("/").status_code == 200
    user = Client()
    enter(user)
    assert user.get("/").status_code == 200, "only admins have to"


def test_a_session_from_before_the_demand_is_asked_too(boss, settings, client):
    enter(client, name="boss")
    assert client.get("/").status_code == 200
    settings.LEFT4ME_SECOND_FACTOR = "everyone"
    assert client.get("/").status_code == 302
    assert client.get("/api/v1/me").status_code == 403
    assert auth.user_from_session(client.session.session_key) is None


def test_the_last_demanded_factor_cannot_be_removed(anna, with_app, settings, client):
    settings.LEFT4ME_SECOND_FACTOR = "everyone"
    enter(client)
    step(client, code_of(anna))
    answer = client.post("/accounts/factors/app/remove/", follow=True)
    assert "requires a second factor" in answer.content.decode()
    assert AuthenticatorApp.objects.exists()


def test_a_command_resets_the_factors_of_the_last_admin(boss, settings, clock):
    settings.LEFT4ME_SECOND_FACTOR = "admins"
    client = Client()
    enter(client, name="boss")
    set_up(client)
    said = StringIO()
    call_command("reset_factors", "BOSS", stderr=said)
    assert "boss has no second factor any more" in said.getvalue()
    assert not Session.objects.filter(user=boss).exists()
    assert AuditEntry.objects.get(action="factor.reset").actor == "system"
    again = Client()
    enter(again, name="boss")
    set_up(again)
    assert again.get("/").status_code == 200


def test_the_command_tells_that_nobody_has_this_name(db):
    with pytest.raises(CommandError, match="No user named nobody"):
        call_command("reset_factors", "nobody")


def test_an_admin_resets_the_factors_of_a_user_who_lost_the_device(anna, boss, with_app, client):
    enter(client, name="boss")
    assert "Reset second factors" in client.get("/users").content.decode()
    client.post(f"/users/{anna.pk}/factors/reset")
    anna.refresh_from_db()
    assert anna.second_factor_at is None
    assert AuditEntry.objects.get(action="factor.reset").user == boss


def test_an_unreadable_secret_leaves_the_recovery_codes(anna, with_app, client):
    AuthenticatorApp.objects.update(secret_sealed="sealed with a key that is gone")
    enter(client)
    assert step(client, "123456").status_code == 422
    assert step(client, with_app[0]).status_code == 302


def test_two_devices_that_set_up_an_app_leave_one(anna, clock):
    request_of = Client()
    enter(request_of)
    set_up(request_of)
    set_up_again = request_of.get(APP).content.decode()
    secret = re.search(r'<code tabindex="0">([A-Z2-7]{32})</code>', set_up_again)[1]
    assert request_of.post(APP, {"code": pyotp.TOTP(secret).now()})["Location"] == FACTORS
    assert secret_of(anna) == secret
    assert actions.has_factor(anna)
    assert RecoveryCode.objects.count() == recovery_codes.COUNT, "the codes stay"


def test_a_session_that_has_passed_the_second_step_goes_on(anna, with_app, client):
    enter(client)
    step(client, code_of(anna))
    assert client.get(f"{STEP}?next=/jobs")["Location"] == "/jobs"


def test_a_session_that_lacks_a_demanded_factor_is_led_to_set_one_up(boss, settings, client):
    settings.LEFT4ME_SECOND_FACTOR = "admins"
    enter(client, name="boss")
    assert client.get(STEP)["Location"] == FACTORS
    for page in (FACTORS, "/accounts/"):
        assert client.get(page).status_code == 200
    assert client.get("/accounts/tokens/").status_code == 302
    assert client.post("/accounts/logout/").status_code == 302


def test_a_session_from_before_may_only_pass_the_step_or_end(anna, clock, client):
    other = Client()
    enter(client)
    enter(other)
    set_up(client)
    for page in ("/accounts/", FACTORS, APP):
        assert other.get(page)["Location"].startswith(STEP)
    assert other.get(STEP).status_code == 200
    assert step(other, "000000").status_code == 422
    assert other.post("/accounts/time-zone/", {}, headers={"referer": "http://testserver/accounts/?a"})[
        "Location"
    ] == (f"{STEP}?next=/accounts/%3Fa")
    assert other.post("/accounts/logout/").status_code == 302


def test_a_recovery_code_tells_how_many_are_left(anna, with_app):
    for left, code in ((9, with_app[0]), (8, with_app[1])):
        client = Client()
        enter(client)
        step(client, code)
        assert f"{left} codes are left" in client.get("/").content.decode()
    RecoveryCode.objects.filter(used_at=None).exclude(pk__in=_first(2)).delete()
    client = Client()
    enter(client)
    remaining = [code for code in with_app[2:] if RecoveryCode.objects.filter(digest=digest(code.replace("-", "")))]
    step(client, remaining[0])
    assert "1 code is left" in client.get("/").content.decode()


def _first(number: int) -> list[int]:
    return list(RecoveryCode.objects.filter(used_at=None).order_by("pk").values_list("pk", flat=True)[:number])


def test_an_app_that_is_not_there_is_removed_without_a_trace(anna, clock, client):
    enter(client)
    client.post("/accounts/factors/app/remove/")
    assert not AuditEntry.objects.filter(action="factor.remove_app").exists()
    answer = client.post("/accounts/factors/recovery-codes/", follow=True)
    assert "Set up an authenticator app or a passkey first" in answer.content.decode()


def test_another_factor_keeps_the_codes_when_the_app_is_removed(anna, with_app, client):
    make_passkey(anna)
    enter(client)
    step(client, code_of(anna))
    client.post("/accounts/factors/app/remove/")
    anna.refresh_from_db()
    assert anna.second_factor_at is not None
    assert RecoveryCode.objects.count() == recovery_codes.COUNT


def test_resetting_factors_asks_the_admin_for_a_password_when_the_sign_in_is_long_ago(
    anna, boss, with_app, client, clock
):
    enter(client, name="boss")
    clock.shift(16 * 60)
    assert client.post(f"/users/{anna.pk}/factors/reset")["Location"].startswith("/accounts/confirm/")
    assert AuthenticatorApp.objects.exists()
