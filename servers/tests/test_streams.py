from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime

import pytest
import redis

from left4me.core.redis import hosts, keys
from left4me.core.web.sse import Position
from left4me.core.web.sse.events import START
from left4me.testing.cast import Cast
from servers.gamehost.port import LogLine
from servers.logs import publisher, streams
from servers.models import Server
from servers.tests.factories import make_server, share
from servers.tests.fake_runtime import FakeRuntime

AT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    return redis_client


@pytest.fixture
def sent(monkeypatch) -> list[tuple[str, list[int], str]]:
    """Messages to hosts, instead of a worker that takes them."""
    messages: list[tuple[str, list[int], str]] = []
    monkeypatch.setattr(
        hosts.current_app,
        "send_task",
        lambda name, args, queue, **options: messages.append((name, args, queue)),
        raising=False,
    )
    return messages


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def _tailer(server: Server, runtime: FakeRuntime) -> publisher.Tailer:
    tailer = publisher.start(server.pk, runtime=runtime, on_news=lambda: None)
    assert tailer is not None
    return tailer


def _publish(server: Server, *texts: str) -> None:
    publisher.publish([(server.pk, _lines(*texts))])


def _lines(*texts: str) -> list[LogLine]:
    return [LogLine(text=text, at=AT, cursor=f"c-{text}") for text in texts]


def _texts(page) -> list[str]:
    return [json.loads(event.data)["line"] if event.kind == "line" else event.kind for event in page.events]


def _open(server: Server, user) -> streams.ServerLog:
    found = streams.open_log(user, str(server.pk))
    assert found is not None
    return found


def test_a_stranger_sees_no_log(server: Server, cast: Cast, client):
    assert streams.open_log(cast.stranger, str(server.pk)) is None
    assert streams.open_log(cast.owner, "999999") is None


def test_watching_asks_the_host_once_for_a_tailer(server: Server, cast: Cast, client, sent):
    log = _open(server, cast.owner)
    # With the opening itself: whoever opens a page must not wait for the first look at it.
    assert sent == [("servers.tail", [server.pk], "host.local")]
    assert client.ttl(keys.server_log_watched(server.pk)) > 0
    client.set(keys.server_log_tailer(server.pk), "1")
    client.delete(keys.server_log_watched(server.pk))
    assert log.standing(cast.owner).allowed
    assert client.ttl(keys.server_log_watched(server.pk)) > 0
    assert len(sent) == 1


def test_rights_that_end_close_the_stream(server: Server, cast: Cast, client, sent):
    lent = share(server, cast.viewer)
    log = _open(server, cast.viewer)
    assert log.standing(cast.viewer).allowed
    lent.delete()
    assert not log.standing(cast.viewer).allowed


def test_a_new_viewer_gets_the_last_lines_and_a_returning_one_those_it_missed(server, cast, client, sent, runtime):
    _tailer(server, runtime)
    _publish(server, "one", "two")
    log = _open(server, cast.owner)
    page = log.replay(START)
    assert _texts(page) == ["one", "two"]
    _publish(server, "three")
    assert _texts(log.replay(page.position)) == ["three"]
    assert log.replay(log.standing(cast.owner).newest).events == ()


def test_a_viewer_that_was_away_too_long_is_told_that_lines_are_missing(server, cast, client, sent, runtime):
    _tailer(server, runtime)
    _publish(server, "new")
    long_ago: Position = (1, 0)
    assert _texts(_open(server, cast.owner).replay(long_ago)) == ["note", "new"]


def test_live_messages_follow_one_another_without_a_gap(server, cast, client, sent, runtime):
    log = _open(server, cast.owner)
    with client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(log.channel)
        assert heard.get_message(timeout=5) is None
        _tailer(server, runtime)
        _publish(server, "one")
        _publish(server, "two")
        first, second = (log.decode(heard.get_message(timeout=5)["data"]) for _ in range(2))
    assert first.after == START
    assert second.after == first.last


def test_a_flood_is_cut_with_a_count_and_its_newest_lines_stay(server, client, runtime):
    shown = _tailer(server, runtime).shown(_lines(*(f"line {number}" for number in range(5000))))
    assert shown[0].text.startswith("… 4600 lines")
    assert shown[-1].text == "line 4999"


def test_a_tailer_goes_on_after_the_last_published_line(server, client, runtime):
    runtime.lines = ["old"]
    _tailer(server, runtime)
    assert publisher.start(server.pk, runtime=runtime, on_news=lambda: None) is None, "it has one"
    _publish(server, "new")
    client.delete(keys.server_log_tailer(server.pk))
    assert _tailer(server, FakeRuntime()).follower.cursor == "c-new"
    assert [fields[b"text"] for _, fields in client.xrange(keys.server_log(server.pk))] == [b"old", b"new"]


def test_the_passwords_of_all_viewed_servers_are_read_by_one_query(
    cast: Cast, client, runtime, django_assert_num_queries
):
    tailers = [_tailer(make_server(cast.owner), runtime) for _ in range(3)]
    with django_assert_num_queries(1):
        publisher.renew_masks(tailers)


def test_the_new_lines_of_all_servers_are_one_message_to_redis(cast: Cast, client, runtime, monkeypatch):
    tailers = [_tailer(make_server(cast.owner), runtime) for _ in range(3)]
    messages = []
    execute = redis.client.Pipeline.execute
    monkeypatch.setattr(
        redis.client.Pipeline, "execute", lambda pipe, *args: messages.append(len(pipe)) or execute(pipe, *args)
    )
    publisher.publish([(tailer.server_id, _lines("one", "two")) for tailer in tailers])
    assert messages == [3]
    publisher.publish([(tailer.server_id, []) for tailer in tailers])
    assert messages == [3]


@pytest.mark.django_db(transaction=True)
def test_one_thread_reads_all_viewed_logs_until_nobody_views_them(cast: Cast, client, runtime, monkeypatch):
    monkeypatch.setattr(publisher, "_RENEW_KEYS_EVERY", 0.05)
    servers = [make_server(cast.owner) for _ in range(3)]
    tailers = publisher.Tailers(runtime)
    for server in servers:
        client.set(keys.server_log_watched(server.pk), "1")
        tailers.ensure(server.pk)
    _until(lambda: len(runtime.followers) == 3)
    unreadable, *others = (runtime.followers[server.pk] for server in servers)
    unreadable.fault = OSError("no such disk")
    for follower in others:
        follower.lines = _lines("new")
    _until(lambda: all(client.xlen(keys.server_log(server.pk)) == 1 for server in servers[1:]))
    assert unreadable.is_closed
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("tail")] == ["tailers"]
    for server in servers[1:]:
        client.delete(keys.server_log_watched(server.pk))
    _until(lambda: not any(thread.name.startswith("tail") for thread in threading.enumerate()))
    assert all(follower.is_closed for follower in others)
    assert not client.exists(*(keys.server_log_tailer(server.pk) for server in servers))


def _until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.django_db
def test_the_live_log_shows_neither_password_of_a_server(cast: Cast, client, runtime):
    server = make_server(cast.owner, rcon_password="of-the-running-game")
    server.applied_sealed_rcon_password = server.sealed_rcon_password
    server.rcon_password = "of-the-next-start"
    server.save()
    shown = _tailer(server, runtime).shown(
        _lines('"rcon_password" = "of-the-running-game"', "of-the-next-start", "x" * 4090 + "of-the-next-start")
    )
    assert [line.text for line in shown] == [
        '"rcon_password" = "•••"',
        "•••",
        "x" * 4090 + "•••",
    ]
