"""From starts, stops and updates to alerts, for channels that chose them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from left4me.alerts import delivery
from left4me.alerts.events import NEWS, PROBLEMS
from left4me.alerts.models import Channel, Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.alerts.tests.receiver import Receiver
from left4me.testing.cast import Cast
from servers.models import Server
from servers.state import news, state_log
from servers.tests.factories import make_host, make_server
from servers.tests.fake_runtime import EPOCH

NOW = EPOCH + timedelta(hours=1)
SECOND = timedelta(seconds=1)

See = Callable[..., None]


@pytest.fixture
def server(cast: Cast) -> Server:
    return make_server(cast.owner, name="Friday", actual_state="stopped")


@pytest.fixture
def channel(cast: Cast) -> Channel:
    return make_channel(cast.owner, events=[*PROBLEMS, *NEWS])


@pytest.fixture
def see(server: Server) -> See:
    """`see("starting", "running")`: these states are observed one after the other."""
    moments = iter(range(1, 1000))

    def see(*states: str) -> None:
        for state in states:
            state_log.record_state(server, Server.State(state), now=NOW + next(moments) * SECOND)

    return see


def told() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("event", flat=True))


def test_starts_and_stops_are_told_of(channel: Channel, see: See):
    see("starting", "running", "stopping", "stopped")
    assert told() == ["server_started", "server_stopped"]


def test_a_channel_that_did_not_choose_them_hears_nothing(cast: Cast, see: See):
    make_channel(cast.owner)
    see("starting", "running", "stopping", "stopped")
    assert told() == []


def test_a_restart_after_a_crash_is_no_start(channel: Channel, see: See):
    see("starting", "running", "crashed", "starting", "running")
    assert told() == ["server_started", "server_crashed"]


def test_what_runs_on_while_its_host_was_away_is_no_start(channel: Channel, see: See):
    see("starting", "running", "unknown", "running", "unknown", "stopped")
    assert told() == ["server_started"]


def test_strangers_hear_nothing_of_it(cast: Cast, see: See):
    make_channel(cast.stranger, events=[*NEWS])
    see("starting", "running")
    assert told() == []


def test_an_update_is_told_to_those_with_servers_on_the_host(cast: Cast, channel: Channel, server: Server):
    make_channel(cast.stranger, events=[*NEWS])
    make_server(cast.owner)
    news.game_updated(make_host(), "steam-14", now=NOW)
    (row,) = Delivery.objects.all()
    assert (row.channel, row.event, "steam-14" in row.text) == (channel, "game_updated", True)


def test_a_server_that_fills_again_and_again_is_told_of_once_in_ten_minutes(channel: Channel, server: Server):
    for minute in (0, 3, 6, 9, 12):
        news.server_filled(server, now=NOW + timedelta(minutes=minute))
        news.server_emptied(server, now=NOW + timedelta(minutes=minute))
    assert told() == ["server_full", "server_empty"] * 2


def test_players_are_told_of_together_and_hold_up_no_crash(cast: Cast, server: Server, receiver: Receiver, see: See):
    channel = make_channel(cast.owner, receiver.url(), events=[*PROBLEMS, *NEWS])
    for second in range(0, 60, 5):
        news.players_joined(server, ["Coach", "Ellis"], now=NOW + second * SECOND)
    assert delivery.send(now=NOW + 59 * SECOND).messages == 0
    assert delivery.send(now=NOW + 61 * SECOND).messages == 1
    assert len(receiver.bodies) == 1
    channel.refresh_from_db()
    # Hours of coming and going do not make the next crash wait for five minutes.
    assert channel.messages_this_hour == 0
    news.players_left(server, ["Coach"], now=NOW + 70 * SECOND)
    see("starting", "running", "crashed")
    assert delivery.send(now=NOW + 80 * SECOND).messages == 1
    assert {alert["event"] for alert in receiver.bodies[1]["alerts"]} >= {"player_left", "server_crashed"}


@pytest.mark.parametrize(
    ("names", "title", "text"),
    [
        (["Coach"], "A player joined “Friday”", "Coach"),
        (["Coach", "Ellis", "Nick"], "3 players joined “Friday”", "Coach, Ellis and Nick"),
        ([str(number) for number in range(10)], "10 players joined “Friday”", "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"),
    ],
)
def test_players_are_named(channel: Channel, server: Server, names: list[str], title: str, text: str):
    news.players_joined(server, names, now=NOW)
    assert (Delivery.objects.get().title, Delivery.objects.get().text) == (title, text)


def test_the_form_offers_news_and_chooses_none_of_them(client: Any, cast: Cast):
    client.force_login(cast.owner)
    page = client.get("/accounts/alerts/").content.decode()
    assert page.count('name="events"') == len(PROBLEMS) + len(NEWS)
    for event in NEWS:
        box = page.split(f'value="{event.value}"')[1].split(">")[0]
        assert "checked" not in box
