"""The outbox, emptied over real sockets to a receiver that behaves and misbehaves."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail

from left4me.alerts import delivery, incidents, messages
from left4me.alerts.models import Channel, Delivery
from left4me.alerts.tests.factories import crash, make_channel
from left4me.alerts.tests.receiver import DRIP, HANG, TEAR, Receiver

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
FORMATTED = "*bold* [link](https://evil.example) "
MINUTE = timedelta(minutes=1)


@pytest.fixture
def channel(cast: Any, receiver: Receiver) -> Channel:
    return make_channel(cast.owner, receiver.url())


def storm(user: Any, servers: int, *, now: datetime = NOW) -> None:
    for number in range(1, servers + 1):
        incidents.report(crash(user, number), now=now)


def states() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("state", flat=True))


def test_what_arrived_is_noted_and_sent_once(channel: Channel, cast: Any, receiver: Receiver):
    storm(cast.owner, 1)
    assert delivery.send(now=NOW).messages == 1
    assert delivery.send(now=NOW + MINUTE).messages == 0
    channel.refresh_from_db()
    assert (channel.last_delivered_at, channel.last_error, channel.failures) == (NOW, "", 0)
    assert states() == ["sent"]
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (500, "HTTP 500"),
        (404, "HTTP 404"),
        ((302, {"Location": "http://127.0.0.1:1/"}, ""), "redirect"),
        (HANG, "took longer|no data in time"),
        (DRIP, "took longer|no data in time"),
        (TEAR, "127.0.0.1"),
    ],
)
def test_what_fails_is_shown_and_sent_again_after_a_pause(
    channel: Channel, cast: Any, receiver: Receiver, answer: Any, words: str
):
    storm(cast.owner, 1)
    receiver.plan(answer)
    assert delivery.send(now=NOW).failed == 1
    channel.refresh_from_db()
    assert re.search(words, channel.last_error)
    assert "token-of-the-webhook" not in channel.last_error
    assert channel.failures == 1
    assert delivery.send(now=NOW + timedelta(seconds=5)).failed == 0, "it is left alone at first"
    assert delivery.send(now=NOW + MINUTE).messages == 1
    channel.refresh_from_db()
    assert (channel.failures, channel.last_error, states()) == (0, "", ["sent"])
    assert Delivery.objects.get().attempts == 2


def test_the_pause_grows_with_each_failure_to_an_hour_and_then_old_news_is_dropped(
    channel: Channel, cast: Any, receiver: Receiver
):
    storm(cast.owner, 1)
    receiver.usual = 503
    now, pauses = NOW, []
    while states() == ["waiting"]:
        delivery.send(now=now)
        channel.refresh_from_db()
        assert channel.not_before is not None
        pauses.append((channel.not_before - now).total_seconds())
        now = max(channel.not_before, now + MINUTE)
    assert pauses[0] < 15
    assert 2800 < max(pauses) <= 4320
    assert states() == ["dropped"]
    assert timedelta(days=2) < now - NOW < timedelta(days=2, hours=3)
    assert len(receiver.bodies) < 60


@pytest.mark.parametrize(
    "told",
    [
        (429, {"Retry-After": "30"}, '{"message": "slow", "retry_after": 30.0, "global": false}'),
        (429, {"Retry-After": "30"}, "no json"),
        (429, {"Retry-After": "30"}, '{"retry_after": null}'),
    ],
)
def test_a_receiver_that_says_when_to_come_again_is_obeyed(channel: Channel, cast: Any, receiver: Receiver, told: Any):
    storm(cast.owner, 1)
    receiver.plan(told)
    delivery.send(now=NOW)
    channel.refresh_from_db()
    assert channel.not_before == NOW + timedelta(seconds=30)
    assert channel.failures == 0
    assert delivery.send(now=NOW + timedelta(seconds=29)).messages == 0
    assert delivery.send(now=NOW + timedelta(seconds=31)).messages == 1


@pytest.mark.parametrize("after", ["nan", "-5", "1e99", "Wed, 21 Oct 2030 07:28:00 GMT", ""])
def test_nonsense_in_retry_after_keeps_a_channel_silent_for_an_hour_at_most(
    channel: Channel, cast: Any, receiver: Receiver, after: str
):
    storm(cast.owner, 1)
    receiver.plan((429, {"Retry-After": after}, ""))
    delivery.send(now=NOW)
    channel.refresh_from_db()
    assert channel.not_before is not None
    assert NOW < channel.not_before <= NOW + timedelta(hours=1)


@pytest.mark.parametrize(("kind", "status"), [("discord", 404), ("discord", 401), ("webhook", 410)])
def test_a_webhook_that_is_gone_is_switched_off(cast: Any, receiver: Receiver, kind: str, status: int):
    channel = make_channel(cast.owner, receiver.url(), kind=kind)
    storm(cast.owner, 2)
    receiver.plan(status)
    delivery.send(now=NOW)
    channel.refresh_from_db()
    assert not channel.is_enabled
    assert "turned off" in channel.last_error
    assert states() == ["dropped", "dropped"]


def test_a_storm_of_a_hundred_servers_is_one_message_that_counts(channel: Channel, cast: Any, receiver: Receiver):
    storm(cast.owner, 100)
    assert delivery.send(now=NOW).messages == 1
    (body,) = receiver.bodies
    assert len(body["alerts"]) == messages.NAMED
    assert body["left_out"] == 100 - messages.NAMED
    assert f"and {100 - messages.NAMED} more alerts" in body["text"]
    assert states() == ["sent"] * 100


def test_discord_gets_few_short_embeds_that_ring_nobody(cast: Any, receiver: Receiver):
    make_channel(cast.owner, receiver.url(), kind="discord")
    for number in range(1, 21):
        sign = crash(
            cast.owner, number, title="@everyone " + "x" * 190, text="*bold* [link](https://evil.example) " * 30
        )
        incidents.report(sign, now=NOW)
    delivery.send(now=NOW)
    (body,) = receiver.bodies
    assert body["allowed_mentions"] == {"parse": []}
    assert body["content"] == "… and 12 more alerts"
    assert len(body["embeds"]) == messages.NAMED
    assert sum(len(each["title"]) + len(each["description"]) for each in body["embeds"]) <= 6000
    assert body["embeds"][0]["description"].startswith(r"\*bold\* \[link\](https://evil.example)")


def test_what_comes_within_the_pause_goes_together(channel: Channel, cast: Any, receiver: Receiver):
    storm(cast.owner, 1)
    delivery.send(now=NOW)
    for number in (2, 3, 4):
        incidents.report(crash(cast.owner, number), now=NOW)
        delivery.send(now=NOW + timedelta(seconds=number))
    delivery.send(now=NOW + timedelta(seconds=12))
    assert [len(body["alerts"]) for body in receiver.bodies] == [1, 3]


def test_a_channel_that_hears_all_the_time_is_told_more_seldom(channel: Channel, cast: Any, receiver: Receiver):
    for number in range(0, 3600, 5):
        now = NOW + timedelta(seconds=number)
        incidents.report(crash(cast.owner, 1 + number), now=now)
        delivery.send(now=now)
    assert len(receiver.bodies) < delivery.MESSAGES_AN_HOUR + 15
    assert sum(len(body["alerts"]) + body["left_out"] for body in receiver.bodies) > 600


def test_receivers_that_hang_hold_up_neither_the_round_nor_the_others(cast: Any, receiver: Receiver):
    for number in range(delivery.AT_ONCE):
        make_channel(cast.stranger, receiver.url("/hangs"), failures=1, not_before=NOW - MINUTE, name=f"h{number}")
    make_channel(cast.owner, receiver.url("/works"))
    receiver.plan(204, *[HANG] * delivery.AT_ONCE)
    incidents.report(crash(cast.stranger, 1), now=NOW)
    incidents.report(crash(cast.owner, 2), now=NOW)
    summary = delivery.send(now=NOW)
    assert (summary.messages, summary.failed) == (1, delivery.AT_ONCE)
    assert "/works" in receiver.paths[: delivery.AT_ONCE], "those that answer are asked before those that did not"


def test_a_channel_that_another_worker_has_is_left_to_it_until_it_must_be_dead(
    channel: Channel, cast: Any, receiver: Receiver
):
    storm(cast.owner, 1)
    Channel.objects.update(claimed_until=NOW + delivery.CLAIM)
    assert delivery.send(now=NOW).messages == 0
    assert delivery.send(now=NOW + delivery.CLAIM + MINUTE).messages == 1


def test_of_two_who_saw_it_free_one_gets_it(channel: Channel):
    (first,), (second,) = Channel.objects.all(), Channel.objects.all()
    assert delivery._claim(first, NOW)
    assert not delivery._claim(second, NOW)


def test_an_address_that_leads_into_our_own_network_is_refused(cast: Any, receiver: Receiver, settings: Any):
    channel = make_channel(cast.owner, receiver.url().replace("http://127.0.0.1", "https://localhost"))
    settings.LEFT4ME_ALERT_ORIGINS = []
    storm(cast.owner, 1)
    delivery.send(now=NOW)
    channel.refresh_from_db()
    assert "private address" in channel.last_error
    assert receiver.bodies == []


def test_an_address_sealed_with_another_key_is_said_not_raised(channel: Channel, cast: Any, settings: Any):
    storm(cast.owner, 1)
    settings.SECRET_KEY = "another key that is long enough to be one"
    delivery.send(now=NOW)
    channel.refresh_from_db()
    assert "LEFT4ME_SECRET_KEY" in channel.last_error


def test_mail_goes_through_djangos_own_backend(cast: Any, settings: Any):
    channel = make_channel(cast.owner, "anna@example.org", kind="email")
    incidents.report(crash(cast.owner, 1, title="One\nBcc: evil@example.org"), now=NOW)
    storm(cast.owner, 3)
    assert delivery.send(now=NOW).messages == 1
    (sent,) = mail.outbox
    assert sent.to == ["anna@example.org"]
    assert sent.subject == "[left4me] One Bcc: evil@example.org and 2 more"
    assert "/servers/2" in sent.body
    channel.refresh_from_db()
    assert channel.last_delivered_at == NOW


def test_a_mail_server_that_is_not_there_is_a_failure_like_others(cast: Any, settings: Any):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    channel = make_channel(cast.owner, "anna@example.org", kind="email")
    storm(cast.owner, 1)
    delivery.send(now=NOW)
    channel.refresh_from_db()
    assert "ConnectionRefusedError" in channel.last_error
    assert states() == ["waiting"]


def test_old_rows_are_forgotten_and_what_waits_is_not(channel: Channel, cast: Any):
    storm(cast.owner, 2)
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(state="sent", ended_at=NOW)
    incidents.close(["server:1", "server:2"], now=NOW)
    assert delivery.prune(now=NOW + timedelta(days=29)) == 0
    assert delivery.prune(now=NOW + timedelta(days=31)) == 3
    assert states() == ["waiting"]
