"""What everybody sees and changes of their own account."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client

from accounts.models import ApiToken, Session
from accounts.tests.factories import bearer, make_token
from left4me.audit.models import AuditEntry

PASSWORD = "correct horse battery"
FRESH = "another horse battery"


@pytest.fixture
def anna(cast):
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    return cast.owner


def another(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def is_signed_in(client: Client) -> bool:
    return client.get("/accounts/").status_code == 200


@pytest.mark.parametrize("page", ["", "password/", "sessions/", "tokens/"])
def test_each_page_is_there(anna_client, page):
    assert anna_client.get(f"/accounts/{page}").status_code == 200


def test_a_new_password_ends_the_other_sessions_but_not_this_one(anna, anna_client, stan):
    elsewhere, stranger = another(anna), another(stan)
    answer = anna_client.post("/accounts/password/", {"current": PASSWORD, "password": FRESH})
    assert answer["Location"] == "/accounts/"
    assert is_signed_in(anna_client)
    assert not is_signed_in(elsewhere)
    assert is_signed_in(stranger)
    assert anna.sessions.count() == 1
    anna.refresh_from_db()
    assert anna.check_password(FRESH)


@pytest.mark.parametrize(
    ("current", "password", "field"),
    [("wrong", FRESH, "current"), (PASSWORD, "short", "password"), (PASSWORD, "password123", "password")],
)
def test_a_password_is_not_changed_when(anna, anna_client, current, password, field):
    answer = anna_client.post("/accounts/password/", {"current": current, "password": password})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert f'aria-describedby="id_{field}_error' in answer.content.decode().replace(f"id_{field}_helptext ", "")
    anna.refresh_from_db()
    assert anna.check_password(PASSWORD)


def test_an_open_session_is_no_place_to_guess_the_password(anna_client):
    tries = [
        anna_client.post("/accounts/password/", {"current": "wrong", "password": FRESH}).status_code for _ in range(11)
    ]
    assert tries == [422] * 10 + [429]


def test_sessions_show_where_one_is_signed_in(anna, anna_client, stan):
    another(anna)
    another(stan)
    assert len(anna_client.get("/accounts/sessions/").context["page"]) == 2


def test_another_session_is_ended(anna, anna_client):
    elsewhere = another(anna)
    here = anna_client.get("/accounts/sessions/").context["here"]
    other = Session.objects.exclude(pk=here).get()
    anna_client.post(f"/accounts/sessions/{other.pk}/revoke/")
    assert not is_signed_in(elsewhere)
    assert is_signed_in(anna_client)


def test_ending_this_session_signs_out(anna_client):
    here = anna_client.get("/accounts/sessions/").context["here"]
    anna_client.post(f"/accounts/sessions/{here}/revoke/")
    assert not is_signed_in(anna_client)


def test_all_others_are_ended_at_once(anna, anna_client):
    others = [another(anna) for _ in range(2)]
    anna_client.post("/accounts/sessions/others/revoke/")
    assert is_signed_in(anna_client)
    assert not any(is_signed_in(client) for client in others)


def test_a_stranger_s_session_and_token_are_not_there(anna_client, stan):
    another(stan)
    make_token(stan)
    assert anna_client.post(f"/accounts/sessions/{stan.sessions.get().pk}/revoke/").status_code == 404
    assert anna_client.post(f"/accounts/tokens/{stan.api_tokens.get().pk}/revoke/").status_code == 404
    assert (stan.sessions.count(), stan.api_tokens.count()) == (1, 1)


def test_last_seen_costs_one_write_in_five_minutes(anna, django_assert_num_queries):
    with time_machine.travel(datetime(2026, 11, 21, 12, tzinfo=UTC), tick=False) as clock:
        client = another(anna)
        clock.shift(timedelta(minutes=4))
        with django_assert_num_queries(2):  # the session's row and the user's
            client.get("/health")
            client.get("/accounts/password/")
        clock.shift(timedelta(minutes=2))
        client.get("/accounts/password/", REMOTE_ADDR="192.0.2.7")
        session = Session.objects.get()
        assert (session.last_seen_at, session.address) == (datetime(2026, 11, 21, 12, 6, tzinfo=UTC), "192.0.2.7")


def test_a_token_s_key_is_shown_once_and_works(anna_client, client):
    answer = anna_client.post("/accounts/tokens/", {"name": "bot", "scope": "read", "days": "30"})
    key = answer.context["key"]
    assert key in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert key not in anna_client.get("/accounts/tokens/").content.decode()
    assert client.get("/api/v1/me", headers=bearer(key)).json()["scope"] == "read"
    assert ApiToken.objects.get().expires_at is not None


def test_a_token_may_last_for_ever(anna_client):
    anna_client.post("/accounts/tokens/", {"name": "bot", "scope": "read", "days": "0"})
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize("fields", [{"scope": "root"}, {"days": "12345"}, {"name": ""}, {"name": "x" * 65}])
def test_a_token_that_makes_no_sense_is_not_made(anna_client, fields):
    answer = anna_client.post("/accounts/tokens/", {"name": "bot", "scope": "read", "days": "30"} | fields)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == list(fields)
    assert not ApiToken.objects.exists()


def test_a_revoked_token_no_longer_works(anna, anna_client, client):
    key = make_token(anna)
    address = f"/accounts/tokens/{ApiToken.objects.get().pk}/revoke/"
    assert [anna_client.post(address).status_code for _ in range(2)] == [302, 404]
    assert client.get("/api/v1/me", headers=bearer(key)).status_code == 401


def test_every_act_is_on_record_and_no_secret_is(anna, anna_client):
    key = anna_client.post("/accounts/tokens/", {"name": "bot", "scope": "read", "days": "30"}).context["key"]
    anna_client.post(f"/accounts/tokens/{ApiToken.objects.get().pk}/revoke/")
    anna_client.post("/accounts/password/", {"current": PASSWORD, "password": FRESH})
    anna_client.post("/accounts/sessions/others/revoke/")
    anna_client.post("/accounts/logout/")
    rows = list(AuditEntry.objects.order_by("id").values())
    assert [row["action"] for row in rows] == [
        "token.create",
        "token.revoke",
        "user.password",
        "session.revoke",
        "session.end",
    ]
    assert not any(secret in str(rows) for secret in (key, PASSWORD, FRESH))


def test_times_are_in_the_zone_of_the_browser_unless_the_user_chose_one(anna, anna_client):
    anna.created_at = datetime(2026, 7, 1, 23, 0, tzinfo=UTC)
    anna.save()

    def since() -> str:
        page = anna_client.get("/accounts/").content.decode()
        return page.partition("Member since")[2].partition('title="')[2].partition('"')[0]

    assert since() == "1 Jul 2026, 23:00:00 UTC"
    anna_client.cookies["time_zone"] = "Europe/Berlin"
    assert since() == "2 Jul 2026, 01:00:00 CEST"
    answer = anna_client.post("/accounts/time-zone/", {"time_zone": "America/New_York"}, follow=True)
    assert 'value="America/New_York" selected' in answer.content.decode()
    assert since() == "1 Jul 2026, 19:00:00 EDT"
    anna_client.post("/accounts/time-zone/", {"time_zone": "../../etc/passwd"})
    assert since() == "2 Jul 2026, 01:00:00 CEST", "the choice is the browser's again"
    anna_client.cookies["time_zone"] = "Nowhere/Such"
    assert since() == "1 Jul 2026, 23:00:00 UTC"


def test_a_user_cannot_have_tokens_without_end(anna, anna_client, monkeypatch):
    monkeypatch.setattr("accounts.actions.MOST_TOKENS", 2)
    for name in ("a", "b"):
        assert anna_client.post("/accounts/tokens/", {"name": name, "scope": "read", "days": "30"}).status_code == 200
    refused = anna_client.post("/accounts/tokens/", {"name": "c", "scope": "read", "days": "30"})
    assert refused.status_code == 422
    assert "You already have 2 tokens" in refused.content.decode()
    assert anna.api_tokens.count() == 2
