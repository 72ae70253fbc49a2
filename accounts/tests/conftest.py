"""Accounts' tests know their people by name: Anna is a user, Stan a stranger to what is hers, Ada an admin."""

import pytest
from django.test import Client

from left4me.testing.cast import Cast


@pytest.fixture(autouse=True)
def _real_redis(redis_client):
    """Throttles count in a real Redis, empty before each test."""


@pytest.fixture
def anna(cast: Cast):
    return cast.owner


@pytest.fixture
def stan(cast: Cast):
    return cast.stranger


@pytest.fixture
def ada(cast: Cast):
    return cast.admin


def _signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def anna_client(anna) -> Client:
    return _signed_in(anna)


@pytest.fixture
def ada_client(ada) -> Client:
    return _signed_in(ada)
