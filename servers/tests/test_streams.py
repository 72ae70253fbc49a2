from __future__ import annotations

import json
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


def _tailer(server: Server, client: redis.Redis) -> publisher.Tailer:
    return publisher.Tailer(server.pk, runtime=FakeRuntime(), client=client)


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


def test_a_new_viewer_gets_the_last_lines_and_a_returning_one_those_it_missed(server, cast, client, sent):
    tailer = _tailer(server, client)
    tailer._publish(_lines("one", "two"))
    log = _open(server, cast.owner)
    page = log.replay(START)
    assert _texts(page) == ["one", "two"]
    tailer._publish(_lines("three"))
    assert _texts(log.replay(page.position)) == ["three"]
    assert log.replay(log.standing(cast.owner).newest).events == ()


def test_a_viewer_that_was_away_too_long_is_told_that_lines_are_missing(server, cast, client, sent):
    _tailer(server, client)._publish(_lines("new"))
    long_ago: Position = (1, 0)
    assert _texts(_open(server, cast.owner).replay(long_ago)) == ["note", "new"]


def test_live_messages_follow_one_another_without_a_gap(server, cast, client, sent):
    log = _open(server, cast.owner)
    with client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(log.channel)
        assert heard.get_message(timeout=5) is None
        tailer = _tailer(server, client)
        tailer._publish(_lines("one"))
        tailer._publish(_lines("two"))
        first, second = (log.decode(heard.get_message(timeout=5)["data"]) for _ in range(2))
    assert first.after == START
    assert second.after == first.last


def test_a_flood_is_cut_with_a_count_and_its_newest_lines_stay(server, cast, client, sent):
    tailer = _tailer(server, client)
    tailer._push(_lines(*(f"line {number}" for number in range(5000))))
    texts = [fields[b"text"].decode() for _, fields in client.xrange(keys.server_log(server.pk))]
    assert texts[0].startswith("… 4600 lines")
    assert texts[-1] == "line 4999"


@pytest.mark.django_db
def test_the_live_log_shows_neither_password_of_a_server(cast: Cast, client, monkeypatch):
    server = make_server(cast.owner, rcon_password="of-the-running-game")
    server.applied_sealed_rcon_password = server.sealed_rcon_password
    server.rcon_password = "of-the-next-start"
    server.save()
    tailer = _tailer(server, client)
    tailer._renew_mask()
    tailer._publish(
        _lines('"rcon_password" = "of-the-running-game"', "of-the-next-start", "x" * 4090 + "of-the-next-start")
    )
    kept = client.xrange(keys.server_log(server.pk))
    assert [fields[b"text"].decode() for _id, fields in kept] == [
        '"rcon_password" = "•••"',
        "•••",
        "x" * 4090 + "•••",
    ]
