"""Who gets through to the live streams; what they show is tested in each app."""

from datetime import timedelta

import pytest
from django.conf import settings

from accounts import actions
from left4me import streams


@pytest.fixture(autouse=True)
def _real_redis(redis_client):
    """Throttles and sessions count in Redis."""


def _cookie(client) -> str:
    return f"other=1; {settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


@pytest.fixture
def anna(cast):
    return cast.owner


def test_a_signed_in_browser_is_let_through_until_it_signs_out(client, anna):
    client.force_login(anna)
    headers = {"host": "127.0.0.1:8000", "cookie": _cookie(client)}
    assert streams.authenticate(headers) == anna
    client.logout()
    assert streams.authenticate(headers) is None


def test_one_that_came_by_a_foreign_name_is_not(client, anna):
    client.force_login(anna)
    assert streams.authenticate({"host": "evil.example", "cookie": _cookie(client)}) is None
    assert streams.authenticate({"cookie": _cookie(client)}) is None


def test_a_token_is_let_through_and_a_wrong_one_is_not_even_with_a_session(client, anna):
    _row, raw = actions.create_token(user=anna, name="script", scope="read", lifetime=timedelta(days=1), by=anna)
    assert streams.authenticate({"host": "localhost", "authorization": f"Bearer {raw}"}) == anna
    client.force_login(anna)
    for wrong in ("Bearer nonsense", "Basic abc", "Bearer"):
        assert streams.authenticate({"host": "localhost", "authorization": wrong, "cookie": _cookie(client)}) is None


def test_one_who_may_no_longer_sign_in_is_not(client, anna):
    client.force_login(anna)
    headers = {"host": "localhost", "cookie": _cookie(client)}
    anna.is_active = False
    anna.save()
    assert streams.authenticate(headers) is None


@pytest.mark.parametrize("cookie", ["", "sessionid", "=;=;", 'sessionid="\x7f', "a" * 10_000])
def test_odd_cookies_are_nobody(db, cookie):
    assert streams.authenticate({"host": "localhost", "cookie": cookie}) is None
