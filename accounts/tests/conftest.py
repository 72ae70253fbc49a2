import pytest


@pytest.fixture(autouse=True)
def _real_redis(redis_client):
    """Throttles count in a real Redis, empty before each test."""
