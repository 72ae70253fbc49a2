from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from left4me.testing.simulated_steam import SimulatedSteam
from livestate import profiles, tasks
from livestate.models import SteamProfile
from livestate.tests.factories import make_profile, make_session
from servers.tests.factories import make_server
from workshop.steam import Player

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def ago(**parts: float):
    return timezone.now() - timedelta(**parts)


@pytest.fixture
def server(cast):
    return make_server(cast.owner)


@pytest.fixture
def steam(tmp_path, settings):
    with SimulatedSteam(tmp_path) as steam:
        settings.LEFT4ME_STEAM_API_URL = steam.url
        settings.STEAM_WEB_API_KEY = "a-key"
        yield steam


class Source:
    """Counts the requested accounts; knows all of them."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def players(self, ids):
        self.batches.append(len(ids))
        return [Player(steam_id, f"name {steam_id}", "") for steam_id in ids]


def test_players_get_their_names_and_pictures_from_steam(server, steam):
    for account in (1, 2, 3):
        make_session(server, account, ago(minutes=5))
    steam.players = {STEAM_ID_64_BASE + 1: "Zoey", STEAM_ID_64_BASE + 2: "Bill"}
    steam.private_players = {STEAM_ID_64_BASE + 2}
    tasks.refresh_profiles()
    rows = SteamProfile.objects.order_by("pk").values_list("kind", "persona_name")
    assert list(rows) == [("public", "Zoey"), ("private", "Bill"), ("missing", "")]
    assert SteamProfile.objects.first().avatar_url.startswith("https://avatars.steamstatic.com/")


def test_a_profile_is_asked_for_once_a_day_also_one_that_is_private_or_missing(server):
    make_session(server, 1, ago(minutes=5))
    make_profile(1, ago(hours=23), kind="missing")
    assert profiles.due(now=timezone.now(), ttl=DAY) == []
    SteamProfile.objects.update(fetched_at=ago(hours=25))
    assert profiles.due(now=timezone.now(), ttl=DAY) == [STEAM_ID_64_BASE + 1]


def test_who_has_not_played_for_long_keeps_the_last_known_name(server):
    make_session(server, 1, ago(days=9), ago(days=8))
    assert profiles.due(now=timezone.now(), ttl=DAY) == [STEAM_ID_64_BASE + 1]
    make_profile(1, ago(days=8))
    assert profiles.due(now=timezone.now(), ttl=DAY) == []


def test_who_has_no_profile_and_has_not_played_for_long_is_looked_for_once_an_hour(server, steam, monkeypatch):
    monkeypatch.setattr(profiles, "_looked_at_all", float("-inf"))
    tasks.refresh_profiles()
    make_session(server, 1, ago(days=9), ago(days=8))
    make_session(server, 2, ago(minutes=5))
    tasks.refresh_profiles()
    assert set(SteamProfile.objects.values_list("pk", flat=True)) == {STEAM_ID_64_BASE + 2}
    monkeypatch.setattr(profiles, "_looked_at_all", float("-inf"))
    tasks.refresh_profiles()
    assert SteamProfile.objects.filter(pk=STEAM_ID_64_BASE + 1).exists()


def test_steam_is_asked_in_batches_of_a_hundred(server):
    for account in range(1, 251):
        make_session(server, account, ago(minutes=account))
    source = Source()
    assert profiles.refresh(source, now=timezone.now(), ttl=DAY) == 250
    assert source.batches == [100, 100, 50]
    assert profiles.refresh(source, now=timezone.now(), ttl=DAY) == 0


def test_without_a_key_nobody_is_asked(server, steam, settings):
    settings.STEAM_WEB_API_KEY = ""
    make_session(server, 1, ago(minutes=5))
    tasks.refresh_profiles()
    assert not SteamProfile.objects.exists()


def test_a_steam_that_cannot_be_reached_is_noted_and_nothing_is_lost(server, settings, caplog, monkeypatch):
    monkeypatch.setattr("workshop.steam._BACK_OFF_SECONDS", (0.0, 0.0))
    settings.STEAM_WEB_API_KEY = "a-key"
    settings.LEFT4ME_STEAM_API_URL = "http://127.0.0.1:9"
    make_session(server, 1, ago(minutes=5))
    tasks.refresh_profiles()
    assert "keep the names they joined with" in caplog.text
    assert "a-key" not in caplog.text
    assert not tasks._asking_steam.locked()


def test_a_picture_from_elsewhere_is_not_shown(server):
    profiles.store([1], [Player(1, "Zoey", "https://evil.example/a.jpg")], now=timezone.now())
    assert SteamProfile.objects.get().avatar_url == ""


@pytest.mark.parametrize(
    ("url", "is_shown"),
    [
        ("https://avatars.steamstatic.com/a_medium.jpg", True),
        ("https://avatars.akamai.steamstatic.com/a_medium.jpg", True),
        ("https://avatars.cloudflare.steamstatic.com/a_medium.jpg", True),
        ("https://avatars.fastly.steamstatic.com/a_medium.jpg", True),
        ("https://steamcdn-a.akamaihd.net/steamcommunity/public/images/avatars/a.jpg", True),
        ("http://avatars.steamstatic.com/a_medium.jpg", False),
        ("https://evil.example/avatars.steamstatic.com/", False),
        ("https://steamstatic.com.evil.example/a.jpg", False),
    ],
)
def test_pictures_of_all_of_steam_s_hosts_are_shown_and_no_others(db, url, is_shown):
    profiles.store([STEAM_ID_64_BASE + 1], [Player(STEAM_ID_64_BASE + 1, "Zoey", url)], now=timezone.now())
    assert SteamProfile.objects.get().avatar_url == (url if is_shown else "")
