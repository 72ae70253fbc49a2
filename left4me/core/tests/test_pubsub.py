"""Messages that may be lost: how they arrive, and that nobody waits for a Redis that is away."""

from __future__ import annotations

import time

import pytest
import redis

from left4me.core.net import keepalive
from left4me.core.redis import client as clients
from left4me.core.redis import hosts, keys, pubsub, signals


@pytest.fixture(autouse=True)
def _no_outage(monkeypatch) -> None:
    monkeypatch.setattr(pubsub._Outage, "until", 0.0)


class Away:
    """A client of a Redis that is away, and how often it was tried."""

    def __init__(self) -> None:
        self.tries = 0

    def publish(self, channel: str, message: str) -> None:
        self.tries += 1
        raise redis.ConnectionError("away")

    def llen(self, queue: str) -> None:
        raise redis.ConnectionError("away")


def test_messages_arrive_and_silence_lets_the_listener_stop(redis_client: redis.Redis, monkeypatch):
    with pubsub.listen("news") as messages:
        while not redis_client.pubsub_numsub("news")[0][1]:
            assert next(messages) is None
        assert pubsub.publish("news", "one")
        pubsub.publish("other", "not heard")
        assert pubsub.publish("news", "two")
        heard = [message for message in (next(messages) for _ in range(3)) if message is not None]
        assert heard[:2] == [b"one", b"two"]
        began = time.monotonic()
        assert next(messages) is None
        assert time.monotonic() - began < 10
    while redis_client.pubsub_numsub("news")[0][1]:
        time.sleep(0.01)


def test_a_flood_of_messages_tries_once_a_second(monkeypatch, caplog):
    away = Away()
    monkeypatch.setattr(pubsub, "client", lambda: away)
    assert not pubsub.is_away()
    assert [pubsub.publish("news", "x") for _ in range(3)] == [False] * 3
    assert away.tries == 1
    assert pubsub.is_away()
    assert 0.5 < pubsub._Outage.until - time.monotonic() <= 1.0
    assert "Could not publish live messages to Redis: away" in caplog.text
    monkeypatch.setattr(pubsub._Outage, "until", time.monotonic())
    assert not pubsub.is_away()
    pubsub.publish("news", "x")
    assert away.tries == 2


def test_a_host_is_not_held_up_because_redis_is_away(monkeypatch):
    monkeypatch.setattr(hosts, "client", Away)
    assert hosts.has_room("two")


@pytest.mark.django_db(transaction=True)
def test_a_message_to_a_host_waits_for_the_commit(redis_client: redis.Redis):
    from django.db import transaction

    with transaction.atomic():
        hosts.send_after_commit("two", "some.task", 1, expires=60)
        assert not redis_client.exists(keys.host_queue("two"))
    assert redis_client.llen(keys.host_queue("two")) == 1


class Pipeline:
    """Fails as it is told."""

    def __init__(self, fault: Exception | None = None, answers: list[object] | None = None) -> None:
        self._fault, self._answers = fault, answers or []

    def __getattr__(self, name: str):
        return lambda *args: None

    def execute(self, *, raise_on_error: bool) -> list[object]:
        if self._fault is not None:
            raise self._fault
        return self._answers


@pytest.mark.parametrize(
    ("pipeline", "is_outage", "said"),
    [
        (Pipeline(redis.ConnectionError("away")), True, "Could not publish live messages to Redis: away"),
        (Pipeline(redis.ResponseError("no right")), False, "Could not send signals: no right"),
        (Pipeline(answers=[1, redis.ResponseError("wrong type"), 2]), False, "Could not send signals: wrong type"),
        (Pipeline(answers=[1, 2]), False, ""),
    ],
    ids=["away", "refused", "one refused", "sent"],
)
def test_signals_that_were_refused_are_told_from_an_outage(monkeypatch, caplog, pipeline, is_outage, said):
    made: list[dict[str, object]] = []

    class Client:
        def pipeline(self, **options: object) -> Pipeline:
            made.append(options)
            return pipeline

    monkeypatch.setattr(signals, "client", Client)
    signals.send(["server:1"])
    assert pubsub.is_away() is is_outage
    assert caplog.messages == ([said] if said else [])
    signals.send(["server:2"])
    assert len(made) == (1 if is_outage else 2), "nobody waits for a Redis that is away"


def test_nothing_is_sent_for_no_name(monkeypatch):
    monkeypatch.setattr(signals, "client", pytest.fail)
    signals.send([])


def test_signals_say_the_names_once_in_order_and_who_also_hears_them(redis_client: redis.Redis):
    signals.send(["server:2", "server:1", "server:2"], also=[5, 3])
    signals.send(["host:1"])
    stored = [fields[b"signal"] for _, fields in redis_client.xrange(keys.SIGNALS)]
    assert stored == [b'{"names":["server:1","server:2"],"also":[3,5]}', b'{"names":["host:1"]}']


def test_the_stream_of_signals_keeps_only_the_newest(redis_client: redis.Redis, monkeypatch):
    monkeypatch.setattr(signals, "KEPT", 3)
    for number in range(5):
        signals.send([f"server:{number}"])
    stored = [fields[b"signal"] for _, fields in redis_client.xrange(keys.SIGNALS)]
    assert stored == [f'{{"names":["server:{number}"]}}'.encode() for number in (2, 3, 4)]


def test_each_signal_names_the_one_before_it(redis_client: redis.Redis):
    with redis_client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(keys.SIGNALS_CHANNEL)
        while heard.get_message(timeout=5) is not None:
            pass
        for number in (1, 2):
            signals.send([f"server:{number}"])
        told = []
        while len(told) < 2:
            if (message := heard.get_message(timeout=5)) is not None:
                told.append(message["data"].decode().split(" "))
    (first, one, _), (before, _two, _) = told
    assert (first, before) == ("0", one)


@pytest.mark.django_db(transaction=True)
def test_signals_wait_for_the_commit(redis_client: redis.Redis):
    from django.db import transaction

    with transaction.atomic():
        signals.send_after_commit("server:1", also=[4], first=signals.First(count=[("hash", "field")]))
        assert not redis_client.exists(keys.SIGNALS)
    assert redis_client.xlen(keys.SIGNALS) == 1
    assert redis_client.hget("hash", "field") == b"1"


# --- clients and their connections ---


def test_a_connection_through_a_network_is_watched_and_one_on_this_machine_is_not():
    assert keepalive.for_redis("unix:///run/redis.sock") == {}
    for url in ("redis://10.0.0.1/0", "rediss://10.0.0.1/0"):
        options = keepalive.for_redis(url)
        assert options["socket_keepalive"] is True
        assert sorted(options["socket_keepalive_options"].values()) == [3, 5, 5, 10_000]
    assert keepalive.for_postgresql("") == keepalive.for_postgresql("/run/postgresql") == {}
    assert keepalive.for_postgresql("db.example") == {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


def test_each_kind_of_client_has_its_limits_of_time(settings):
    settings.REDIS_URL = "redis://10.0.0.1:1/0"
    clients._client.cache_clear()
    try:
        usual, quick = clients.client(), clients.client(timeout=0.5)
        with clients.subscriber() as patient:
            given = [each.connection_pool.connection_kwargs for each in (usual, quick, patient)]
        limits = [(each.get("socket_timeout"), each["socket_connect_timeout"]) for each in given]
        assert limits == [(2.0, 2.0), (0.5, 0.5), (None, 2.0)]
        assert all(each["socket_keepalive"] for each in given)
        asynchronous = clients.async_subscriber().connection_pool.connection_kwargs
        assert (asynchronous["socket_connect_timeout"], asynchronous["health_check_interval"]) == (2.0, 15)
        assert asynchronous["socket_keepalive"]
    finally:
        clients._client.cache_clear()


def test_names_of_keys_differ_by_what_they_are_for():
    made = [
        *(make("x") for make in (keys.host_queue, keys.job_channel, keys.cancel_channel, keys.ended_jobs)),
        *(make("x") for make in (keys.host_answer, keys.server_usage, keys.server_log, keys.server_log_channel)),
        *(make("x") for make in (keys.server_log_watched, keys.server_log_tailer)),
        *(keys.rate_limit("a", "x"), keys.rate_limit("b", "x"), *keys.unacknowledged("x").values()),
    ]
    assert len(set(made)) == len(made)
    assert all("x" in name for name in made)
