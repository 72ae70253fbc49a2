"""Counters of rate limits: how they stand, end, and are given back."""

from __future__ import annotations

import pytest
import redis

from left4me.core.redis import rate_limit
from left4me.core.redis.rate_limit import Count, Limit, RateLimited

PAGES = Limit("pages", most=2, seconds=60)
LOGINS = Limit("logins", most=1, seconds=600)


@pytest.fixture
def away(monkeypatch) -> None:
    """Redis is away."""

    class Pipeline:
        def __enter__(self) -> Pipeline:
            return self

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str):
            return lambda *args, **options: None

        def execute(self) -> None:
            raise redis.ConnectionError("away")

    class Client:
        def pipeline(self, *, transaction: bool) -> Pipeline:
            return Pipeline()

        def delete(self, *keys: str) -> None:
            raise redis.ConnectionError("away")

    monkeypatch.setattr(rate_limit, "client", lambda timeout: Client())


def test_counts_of_each_limit_and_subject_stand_for_themselves(redis_client: redis.Redis):
    rate_limit.add((PAGES, "anna"))
    first, second, third = rate_limit.add((PAGES, "anna"), (LOGINS, "anna"), (PAGES, "stan"))
    assert (first.number, second.number, third.number) == (2, 1, 1)
    assert (first.limit, second.limit) == (PAGES, LOGINS)
    assert 59 <= first.wait <= 60 and 599 <= second.wait <= 600
    assert not first.is_over


def test_a_limit_is_reached_beyond_its_number_and_says_when_its_window_ends(redis_client: redis.Redis):
    for _ in range(2):
        rate_limit.enforce(PAGES, "anna")
    with pytest.raises(RateLimited, match=r"try again in (59|60) s") as limited:
        rate_limit.enforce(PAGES, "anna")
    assert 59 <= limited.value.wait <= 60
    rate_limit.enforce(PAGES, "stan")


def test_further_counts_do_not_make_the_window_longer(redis_client: redis.Redis):
    rate_limit.add((PAGES, "anna"))
    redis_client.expire(PAGES.key("anna"), 10)
    (count,) = rate_limit.add((PAGES, "anna"))
    assert count.number == 2 and 9 <= count.wait <= 10


def test_a_window_that_is_about_to_end_is_waited_for(redis_client: redis.Redis):
    redis_client.set(PAGES.key("anna"), 5, px=400)
    (count,) = rate_limit.add((PAGES, "anna"))
    assert (count.number, count.wait, count.is_over) == (6, 1, True)
    assert RateLimited(0).wait == RateLimited(-2).wait == 1
    assert RateLimited(2).wait == 2


def test_what_is_counted_is_not_readable_in_redis(redis_client: redis.Redis):
    rate_limit.add((PAGES, "anna@example.org"))
    (key,) = redis_client.keys()
    assert b"anna" not in key and key.startswith(b"left4me:count:pages:")
    assert len(key.rpartition(b":")[2]) == 32


def test_a_count_is_given_back_and_the_window_still_ends(redis_client: redis.Redis):
    rate_limit.add((PAGES, "anna"))
    rate_limit.add((PAGES, "anna"))
    rate_limit.give_back(PAGES, "anna")
    assert redis_client.get(PAGES.key("anna")) == b"1"
    rate_limit.give_back(PAGES, "new")
    assert redis_client.get(PAGES.key("new")) == b"-1"
    assert 59 <= redis_client.ttl(PAGES.key("new")) <= 60


def test_windows_are_forgotten(redis_client: redis.Redis):
    rate_limit.add((PAGES, "anna"), (LOGINS, "anna"), (PAGES, "stan"))
    rate_limit.forget([(PAGES, "anna"), (LOGINS, "anna")])
    assert redis_client.keys() == [PAGES.key("stan").encode()]


@pytest.mark.usefixtures("away")
def test_without_redis_no_limit_is_reached(caplog):
    assert rate_limit.add((PAGES, "anna"), (LOGINS, "anna")) == [Count(PAGES, 0, 0), Count(LOGINS, 0, 0)]
    rate_limit.enforce(PAGES, "anna")
    rate_limit.give_back(PAGES, "anna")
    rate_limit.forget([(PAGES, "anna")])
    assert [record.message.partition(" while")[0].partition(":")[0] for record in caplog.records] == [
        "Rate limits are off",
        "Rate limits are off",
        "Could not take back a count of a rate limit",
        "Could not reset a rate limit",
    ]


def test_a_page_does_not_wait_long_for_its_limit(monkeypatch):
    asked: list[float] = []

    def away(*, timeout: float) -> None:
        asked.append(timeout)
        raise redis.ConnectionError("away")

    monkeypatch.setattr(rate_limit, "client", away)
    rate_limit.add((PAGES, "anna"))
    rate_limit.give_back(PAGES, "anna")
    rate_limit.forget([(PAGES, "anna")])
    assert asked == [1.0] * 3
