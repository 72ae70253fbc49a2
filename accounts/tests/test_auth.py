"""Who a session's cookie or a token stands for, outside of a request."""

from datetime import UTC, datetime, timedelta

import time_machine
from django.test import Client

from accounts import auth
from accounts.models import Session
from accounts.tests.factories import make_token


def key_of(client: Client) -> str:
    return client.cookies["sessionid"].value


def test_a_session_names_its_user(anna, anna_client):
    assert auth.user_from_session(key_of(anna_client)) == anna


def test_a_session_costs_two_queries(anna_client, django_assert_num_queries):
    with django_assert_num_queries(2):
        auth.user_from_session(key_of(anna_client))


def test_an_ended_session_names_nobody(anna_client):
    key = key_of(anna_client)
    anna_client.logout()
    assert auth.user_from_session(key) is None


def test_no_key_names_nobody(db):
    assert auth.user_from_session("") is None
    assert auth.user_from_session("x" * 32) is None


def test_a_session_ends_with_its_time(anna_client):
    with time_machine.travel(datetime.now(UTC) + timedelta(days=15)):
        assert auth.user_from_session(key_of(anna_client)) is None


def test_an_inactive_user_has_no_session(anna, anna_client):
    anna.is_active = False
    anna.save()
    assert auth.user_from_session(key_of(anna_client)) is None


def test_a_password_set_elsewhere_ends_the_session(anna, anna_client):
    anna.set_password("another horse battery")
    anna.save()
    assert auth.user_from_session(key_of(anna_client)) is None


def test_the_cookie_is_not_in_the_database(anna_client):
    assert key_of(anna_client) not in str(list(Session.objects.values()))


def test_a_token_names_its_user_and_scope(anna):
    assert auth.user_from_token(make_token(anna, scope="operate")) == (anna, "operate")


def test_an_unknown_token_names_nobody(db):
    assert auth.user_from_token("l4m_unknown") is None
