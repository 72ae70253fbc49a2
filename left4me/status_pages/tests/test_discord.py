"""Messages kept up to date at a receiver that behaves and misbehaves like Discord."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from left4me.alerts.models import Channel
from left4me.alerts.tests.factories import make_channel
from left4me.alerts.tests.receiver import HANG, Receiver
from left4me.status_pages import actions, discord
from left4me.status_pages.models import StatusMessage, StatusPage
from left4me.status_pages.tests.factories import make_page
from left4me.testing.cast import Cast
from livestate.tests.factories import make_session, make_snapshot
from servers.models import Server
from servers.tests.factories import make_host, make_server

SECOND = timedelta(seconds=1)
NOW = timezone.now()
POSTED = (200, {"Content-Type": "application/json"}, '{"id": "42"}')
UNKNOWN_MESSAGE = (404, {}, '{"message": "Unknown Message", "code": 10008}')
UNKNOWN_WEBHOOK = (404, {}, '{"message": "Unknown Webhook", "code": 10015}')


@pytest.fixture
def server(cast: Cast) -> Server:
    # Further than the test reaches into the future.
    host = make_host(last_seen_at=NOW + timedelta(hours=1), address="play.example.org")
    server = make_server(cast.owner, host=host, name="Friday", actual_state="running", started_at=NOW - 600 * SECOND)
    make_snapshot(server, NOW - 300 * SECOND, NOW + timedelta(hours=1), players=2, max_players=8)
    make_session(server, 1, NOW - 300 * SECOND, name_at_join="@everyone *Nick*")
    return server


@pytest.fixture
def page(cast: Cast, server: Server, redis_client: object) -> StatusPage:
    return make_page(cast.owner, server, slug="friday", shows_players=True)


@pytest.fixture
def channel(cast: Cast, receiver: Receiver) -> Channel:
    receiver.usual = POSTED
    return make_channel(cast.owner, receiver.url("/api/webhooks/1/token"), kind="discord")


@pytest.fixture
def message(channel: Channel, page: StatusPage, cast: Cast) -> StatusMessage:
    return actions.keep_message(channel=channel, page=page, by=cast.owner)


def change_map(server: Server, name: str) -> None:
    server.snapshots.update(map=name)


def test_a_message_is_posted_once_and_edited_when_something_changes(
    message: StatusMessage, server: Server, receiver: Receiver
):
    assert discord.send(now=NOW) == 1
    assert discord.send(now=NOW + 60 * SECOND) == 0
    change_map(server, "c1m1_hotel")
    assert discord.send(now=NOW + 90 * SECOND) == 1
    assert receiver.methods == ["POST", "PATCH"]
    assert receiver.paths == ["/api/webhooks/1/token?wait=true", "/api/webhooks/1/token/messages/42"]
    (first,), (second,) = (body["embeds"] for body in receiver.bodies)
    assert "Dark Carnival · The Coaster" in first["description"]
    assert "Dead Center · The Hotel" in second["description"]
    assert second["timestamp"] == (NOW + 90 * SECOND).isoformat()


def test_it_shows_state_map_players_and_the_way_to_join(message: StatusMessage, server: Server, receiver: Receiver):
    discord.send(now=NOW)
    body = receiver.bodies[0]
    (embed,) = body["embeds"]
    assert embed["title"] == "Friday"
    assert "**Running** · 2 / 8" in embed["description"]
    assert "`connect play.example.org:27015`" in embed["description"]
    assert f"/status/friday/join/{server.pk}" in embed["description"]
    assert embed["thumbnail"]["url"].endswith(".png")
    # Names of players are plain text that mentions nobody.
    assert "@everyone \\*Nick\\*" in embed["description"]
    assert body["allowed_mentions"] == {"parse": []}


def test_a_page_that_is_off_is_not_linked(message: StatusMessage, receiver: Receiver):
    StatusPage.objects.update(is_enabled=False)
    discord.send(now=NOW)
    assert "/status/" not in json.dumps(receiver.bodies[0])


def test_it_changes_at_most_every_fifteen_seconds(message: StatusMessage, server: Server, receiver: Receiver):
    discord.send(now=NOW)
    for second in range(5, 30, 5):
        change_map(server, f"map_{second}")
        discord.send(now=NOW + second * SECOND)
    assert receiver.methods == ["POST", "PATCH"]


def test_a_message_deleted_in_discord_is_posted_again(message: StatusMessage, server: Server, receiver: Receiver):
    discord.send(now=NOW)
    receiver.plan(UNKNOWN_MESSAGE, (200, {}, '{"id": "43"}'))
    change_map(server, "c1m1_hotel")
    discord.send(now=NOW + 60 * SECOND)
    assert receiver.methods == ["POST", "PATCH", "POST"]
    message.refresh_from_db()
    assert (message.message_id, message.last_error) == ("43", "")


def test_it_waits_as_long_as_discord_says(message: StatusMessage, server: Server, receiver: Receiver):
    discord.send(now=NOW)
    receiver.plan((429, {"Retry-After": "65"}, '{"retry_after": 64.5}'))
    change_map(server, "c1m1_hotel")
    assert discord.send(now=NOW + 20 * SECOND) == 0
    message.refresh_from_db()
    assert (message.message_id, message.failures) == ("42", 0)
    assert discord.send(now=NOW + 80 * SECOND) == 0
    assert discord.send(now=NOW + 86 * SECOND) == 1
    assert receiver.methods == ["POST", "PATCH", "PATCH"]


def test_the_last_request_of_a_window_makes_the_next_one_wait(
    message: StatusMessage, server: Server, receiver: Receiver
):
    receiver.plan((200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "40"}, '{"id": "42"}'))
    discord.send(now=NOW)
    change_map(server, "c1m1_hotel")
    assert discord.send(now=NOW + 30 * SECOND) == 0
    assert discord.send(now=NOW + 41 * SECOND) == 1


@pytest.mark.parametrize("answer", [(401, {}, ""), UNKNOWN_WEBHOOK])
def test_a_webhook_that_is_gone_turns_the_channel_off_and_says_so(
    message: StatusMessage, server: Server, receiver: Receiver, channel: Channel, answer: Any
):
    discord.send(now=NOW)
    receiver.plan(answer)
    change_map(server, "c1m1_hotel")
    discord.send(now=NOW + 60 * SECOND)
    discord.send(now=NOW + 600 * SECOND)
    channel.refresh_from_db()
    message.refresh_from_db()
    assert (channel.is_enabled, "no longer exists" in channel.last_error) == (False, True)
    assert "no longer exists" in message.last_error
    assert receiver.methods == ["POST", "PATCH"]


@pytest.mark.parametrize("answer", [500, HANG])
def test_after_a_failure_it_is_tried_again_after_a_pause(
    message: StatusMessage, server: Server, receiver: Receiver, answer: Any
):
    discord.send(now=NOW)
    receiver.plan(answer)
    change_map(server, "c1m1_hotel")
    discord.send(now=NOW + 20 * SECOND)
    message.refresh_from_db()
    assert (message.message_id, message.failures, bool(message.last_error)) == ("42", 1, True)
    assert discord.send(now=NOW + 22 * SECOND) == 0
    assert discord.send(now=NOW + 40 * SECOND) == 1
    message.refresh_from_db()
    assert (message.failures, message.last_error) == (0, "")


def test_another_webhook_gets_a_message_of_its_own(message: StatusMessage, channel: Channel, receiver: Receiver):
    discord.send(now=NOW)
    channel.address = receiver.url("/api/webhooks/2/other?thread_id=7")
    channel.save()
    receiver.plan(UNKNOWN_MESSAGE)
    discord.send(now=NOW + 60 * SECOND)
    assert receiver.paths[1:] == [
        "/api/webhooks/2/other/messages/42?thread_id=7",
        "/api/webhooks/2/other?thread_id=7&wait=true",
    ]


def test_a_message_that_is_not_wanted_any_more_is_deleted_in_discord(
    message: StatusMessage, channel: Channel, receiver: Receiver, cast: Cast
):
    discord.send(now=NOW)
    actions.end_message(channel=channel, by=cast.owner)
    receiver.plan(204)
    discord.send(now=NOW + SECOND)
    assert receiver.methods == ["POST", "DELETE"]
    assert not StatusMessage.objects.exists()


def test_what_answers_unlike_discord_is_named(message: StatusMessage, receiver: Receiver):
    receiver.usual = 204
    discord.send(now=NOW)
    message.refresh_from_db()
    assert "does not answer like Discord" in message.last_error


def test_more_servers_than_discord_takes_are_counted(cast: Cast, channel: Channel, receiver: Receiver, server: Server):
    others = [make_server(cast.owner) for _ in range(11)]
    page = make_page(cast.owner, server, *others)
    actions.keep_message(channel=channel, page=page, by=cast.owner)
    discord.send(now=NOW)
    assert len(receiver.bodies[0]["embeds"]) == 10
    assert "2 more servers" in receiver.bodies[0]["content"]
