"""Signing in and out, and who is let in while somebody guesses passwords."""

import pytest
import time_machine
from django.test import Client

from accounts import throttle
from accounts.models import Session, User
from left4me.audit.models import AuditEntry

LOGIN = "/accounts/login/"
PASSWORD = "correct horse battery"


@pytest.fixture
def anna(db):
    return User.objects.create_user("Anna", PASSWORD)


def sign_in(client: Client, *, name="anna", password=PASSWORD, address="192.0.2.1", **fields):
    return client.post(LOGIN, {"username": name, "password": password, **fields}, REMOTE_ADDR=address)


def guess(times: int, *, address="192.0.2.66", name="anna"):
    return [sign_in(Client(), name=name, password="wrong", address=address).status_code for _ in range(times)]


def test_the_name_is_found_in_any_case(anna, client):
    answer = sign_in(client, name="aNNa")
    assert answer.status_code == 302
    assert answer["Location"] == "/"
    assert client.get("/").status_code == 200


def test_letters_beyond_ascii_are_found_in_any_case_too(client, db):
    User.objects.create_user("Jörg", PASSWORD)
    assert sign_in(client, name="JÖRG").status_code == 302


def test_a_wrong_password_keeps_the_name_and_says_so(anna, client):
    answer = sign_in(client, password="wrong")
    assert answer.status_code == 422
    assert 'value="anna"' in answer.content.decode()
    assert "Wrong username or password" in answer.content.decode()


def test_an_unknown_name_and_a_wrong_password_look_the_same(anna, client):
    known, unknown = sign_in(client, password="wrong"), sign_in(client, name="nobody", password="wrong")
    assert known.context["form"].errors == unknown.context["form"].errors


def test_an_inactive_user_does_not_get_in(anna, client):
    User.objects.update(is_active=False)
    assert sign_in(client).status_code == 422


def test_after_signing_in_one_is_where_one_wanted_to_be(anna, client):
    asked = client.get("/accounts/tokens/")
    assert asked["Location"] == f"{LOGIN}?next=/accounts/tokens/"
    assert sign_in(client, next="/accounts/tokens/")["Location"] == "/accounts/tokens/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(anna, client, target):
    assert sign_in(client, next=target)["Location"] == "/"


def test_the_login_page_tells_how_the_first_admin_is_made(client, db):
    assert "create_user NAME --admin" in client.get(LOGIN).content.decode()


def test_the_login_page_keeps_that_to_itself_later(anna, client):
    assert "create_user" not in client.get(LOGIN).content.decode()


def test_signing_in_gives_the_session_a_new_key(anna, client):
    client.cookies["sessionid"] = "planted-by-somebody-else-0123456"
    sign_in(client)
    assert client.cookies["sessionid"].value != "planted-by-somebody-else-0123456"


def test_a_session_knows_its_address_and_device(anna, client):
    client.post(
        LOGIN,
        {"username": "anna", "password": PASSWORD},
        REMOTE_ADDR="2001:db8::1",
        headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
    )
    session = Session.objects.get()
    assert (session.address, session.device, session.user) == ("2001:db8::1", "Firefox on Linux", anna)


def test_signing_out_ends_the_session(anna, client):
    sign_in(client)
    assert client.post("/accounts/logout/")["Location"] == LOGIN
    assert not Session.objects.exists()
    assert client.get("/").status_code == 302


def test_signing_out_by_a_link_is_not_possible(anna, client):
    sign_in(client)
    assert client.get("/accounts/logout/").status_code == 405
    assert client.get("/").status_code == 200


def test_a_login_form_without_its_csrf_token_is_refused(anna):
    assert sign_in(Client(enforce_csrf_checks=True)).status_code == 403


def test_guessing_is_stopped_with_429_and_told_when_to_come_back(anna):
    assert guess(6) == [422] * 5 + [429]
    answer = sign_in(Client(), address="192.0.2.66")
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    assert "Try again" in answer.content.decode()


def test_the_owner_gets_in_from_another_address_while_somebody_guesses(anna):
    guess(8)
    assert sign_in(Client(), address="192.0.2.1").status_code == 302


def test_a_known_device_gets_in_even_from_the_guesser_s_address(anna, client):
    sign_in(client, address="192.0.2.66")
    client.post("/accounts/logout/")
    guess(8)
    assert sign_in(client, address="192.0.2.66").status_code == 302


def test_a_device_is_known_for_its_own_account_only(anna, client):
    User.objects.create_user("mallory", PASSWORD)
    sign_in(client, name="mallory", address="192.0.2.66")
    client.post("/accounts/logout/")
    guess(6)
    assert sign_in(client, name="anna", address="192.0.2.66").status_code == 429


def test_a_known_device_has_its_limit_too(anna, client):
    sign_in(client)
    client.post("/accounts/logout/")
    tries = [sign_in(client, password="wrong").status_code for _ in range(11)]
    assert tries == [422] * 10 + [429]


def test_an_account_under_attack_from_everywhere_leaves_each_new_address_one_try(anna, monkeypatch):
    monkeypatch.setattr(throttle, "NAME", throttle.Limit("login-name", 3, 900))
    for last in range(4):
        guess(1, address=f"198.51.100.{last}")
    assert guess(2, address="198.51.100.99") == [422, 429]
    assert sign_in(Client(), address="192.0.2.1").status_code == 302


def test_one_address_may_not_try_many_names(anna):
    tries = [guess(1, name=f"name{n}", address=f"2001:db8::{n:x}")[0] for n in range(32)]
    assert tries == [422] * 30 + [429] * 2


def test_a_success_forgets_the_typos_before(anna):
    for _ in range(3):
        guess(4)
        assert sign_in(Client(), address="192.0.2.66").status_code == 302


def test_no_lock_outlasts_its_window_however_long_somebody_goes_on(anna, redis_client):
    guess(20)
    for key in redis_client.scan_iter("left4me:count:*"):
        assert 0 < redis_client.ttl(key) <= 900
        # What time would do: Redis has a clock of its own.
        redis_client.delete(key)
    assert sign_in(Client(), address="192.0.2.66").status_code == 302


@pytest.mark.parametrize("name", ["", "\0", "an\0na", "x" * 10_000, "\ud800".encode("utf-8", "surrogatepass")])
def test_a_name_that_no_database_can_hold_is_a_wrong_name(anna, client, name):
    assert sign_in(client, name=name).status_code == 422


def test_signing_in_works_without_redis(anna, client, settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert sign_in(client).status_code == 302


def test_sign_ins_are_on_record(anna, client):
    with time_machine.travel("2026-11-21T12:00:00Z", tick=False):
        guess(6)
        sign_in(client)
    rows = AuditEntry.objects.filter(action__startswith="session.").order_by("id")
    assert [(row.action, row.target, row.address) for row in rows] == [
        *[("session.refused", f"user:{anna.pk}", "192.0.2.66")] * 5,
        ("session.throttled", f"user:{anna.pk}", "192.0.2.66"),
        ("session.start", f"user:{anna.pk}", "192.0.2.1"),
    ]


def test_a_password_typed_as_a_name_is_not_on_record(anna, client):
    sign_in(client, name=PASSWORD)
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


def test_behind_a_proxy_the_last_forwarded_address_counts(anna, settings):
    settings.LEFT4ME_BEHIND_TLS = True
    headers = {"x-forwarded-for": "203.0.113.9, 198.51.100.7", "x-forwarded-proto": "https"}
    Client().post(LOGIN, {"username": "anna", "password": PASSWORD}, headers=headers)
    assert Session.objects.get().address == "198.51.100.7"


def test_who_reaches_the_web_past_the_proxy_cannot_choose_an_address(anna, settings):
    """A game on this machine would have as many attempts at a password as it invents addresses."""
    settings.LEFT4ME_BEHIND_TLS, settings.LEFT4ME_PROXY_SECRET = True, "only the proxy knows"

    def attempt(number: int, **headers: str) -> int:
        given = {"x-forwarded-for": f"203.0.113.{number}", "x-forwarded-proto": "https", **headers}
        return Client().post(LOGIN, {"username": f"user{number}", "password": "wrong"}, headers=given).status_code

    answers = [attempt(number, **{"x-left4me-proxy-secret": "guessed"}) for number in range(throttle.ADDRESS.most + 1)]
    assert answers[-1] == 429
    assert attempt(99, **{"x-left4me-proxy-secret": "only the proxy knows"}) != 429
    passed = {"x-forwarded-for": "203.0.113.9", "x-left4me-proxy-secret": "only the proxy knows"}
    Client().post(LOGIN, {"username": "anna", "password": PASSWORD}, headers=passed)
    assert Session.objects.get().address == "203.0.113.9"


def test_without_a_proxy_anyone_could_write_the_header_so_it_does_not_count(anna, client):
    client.post(LOGIN, {"username": "anna", "password": PASSWORD}, headers={"x-forwarded-for": "203.0.113.9"})
    assert Session.objects.get().address == "127.0.0.1"
