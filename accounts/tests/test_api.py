"""Tokens, sessions and faults of the JSON API."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client

from accounts.api import REQUESTS
from accounts.models import ApiToken
from accounts.tests.factories import bearer, make_token
from left4me.audit.models import AuditEntry

ME = "/api/v1/me"


def test_a_token_says_whose_it_is(client, anna):
    answer = client.get(ME, headers=bearer(make_token(anna, scope="read")))
    assert answer.status_code == 200
    assert answer.json() | {"created_at": ""} == {
        "id": anna.pk,
        "username": "anna",
        "is_admin": False,
        "created_at": "",
        "steam_id": None,
        "steam_source": "",
        "scope": "read",
    }


def test_a_session_may_do_all_its_user_may(anna_client):
    assert anna_client.get(ME).json()["scope"] == "admin"


def test_nobody_gets_401_with_a_problem(client, db):
    answer = client.get(ME)
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["status"] == 401


@pytest.mark.parametrize("key", ["", "l4m_unknown", "unknown", "l4m_" + "x" * 5000])
def test_a_wrong_token_is_refused_even_with_a_session(anna_client, key):
    assert anna_client.get(ME, headers=bearer(key)).status_code == 401


def test_an_expired_token_is_refused(client, anna):
    key = make_token(anna, lifetime=timedelta(days=1))
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1, seconds=1)):
        assert client.get(ME, headers=bearer(key)).status_code == 401


def test_the_token_of_an_inactive_user_is_refused(client, anna):
    key = make_token(anna)
    anna.is_active = False
    anna.save()
    assert client.get(ME, headers=bearer(key)).status_code == 401


def test_only_a_digest_of_a_token_is_stored(anna):
    key = make_token(anna)
    token = ApiToken.objects.get()
    assert key not in str(ApiToken.objects.values())
    assert key.startswith(token.hint)


def test_using_a_token_costs_no_write_each_time_and_one_audit_entry_an_hour(
    client, anna, django_assert_max_num_queries
):
    key = make_token(anna)
    with time_machine.travel(datetime(2026, 11, 21, 12, 1, tzinfo=UTC), tick=False) as clock:
        client.get(ME, headers=bearer(key))
        with django_assert_max_num_queries(1):
            client.get(ME, headers=bearer(key))
        for minutes in (10, 10, 10, 35):
            clock.shift(timedelta(minutes=minutes))
            client.get(ME, headers=bearer(key))
        assert ApiToken.objects.get().last_used_at == datetime(2026, 11, 21, 13, 6, tzinfo=UTC)
    assert AuditEntry.objects.filter(action="token.use").count() == 2


def test_a_write_by_session_needs_the_csrf_token(anna, settings):
    client = Client(enforce_csrf_checks=True)
    client.force_login(anna)
    answer = client.delete(ME)
    assert answer.status_code == 405
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Allow"] == "GET"


def test_an_unknown_path_is_a_problem_too(client, db):
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"


def test_too_many_requests_are_told_when_to_come_back(client, anna, redis_client, monkeypatch):
    key = make_token(anna)
    monkeypatch.setattr("accounts.api.REQUESTS", type(REQUESTS)("api-test", 2, 60))
    answers = [client.get(ME, headers=bearer(key)) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert 1 <= int(answers[2]["Retry-After"]) <= 60
    assert answers[2].json()["retry_after"] == int(answers[2]["Retry-After"])


def test_the_api_works_without_redis(client, anna, settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    assert client.get(ME, headers=bearer(make_token(anna))).status_code == 200
