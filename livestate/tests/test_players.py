from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.bans.models import Ban, BanList
from livestate.bans.tests.factories import make_ban, make_list
from livestate.models import PlayerSession, SteamProfile
from livestate.tests.factories import make_profile, make_session
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db

ZOEY = STEAM_ID_64_BASE + 101


def ago(**parts: float):
    return timezone.now() - timedelta(**parts)


def test_the_page_of_a_player_shows_names_companions_and_bans(cast, client):
    server = make_server(cast.owner)
    make_session(server, 101, ago(days=3), ago(days=2), name_at_join="Old name")
    make_session(server, 101, ago(hours=3), ago(hours=1), name_at_join="Zoey")
    make_session(server, 202, ago(hours=2), name_at_join="Bill")
    make_session(server, 303, ago(minutes=30), name_at_join="Later")
    make_ban(make_list(cast.owner, is_default=True), reason="Griefing")
    client.force_login(cast.owner)
    response = client.get(reverse("livestate:player", args=[ZOEY]))
    assert [row["name_at_join"] for row in response.context["names"]] == ["Zoey", "Old name"]
    (companion,) = response.context["companions"]
    assert companion.player.name == "Bill"
    assert round(companion.time.total_seconds() / 60) == 60
    assert "Griefing" in response.content.decode()


def forget(*arguments: str) -> str:
    out = StringIO()
    call_command("forget_player", *arguments, stdout=out)
    return out.getvalue()


def test_a_player_is_forgotten_and_it_is_said_what_was_removed(cast):
    server = make_server(cast.owner)
    make_session(server, 101, ago(hours=3), ago(hours=1))
    make_session(server, 202, ago(hours=3), ago(hours=1))
    make_profile(101, timezone.now())
    make_ban(make_list(cast.owner))
    assert "1 visits, 1 Steam profiles, 0 kicks and orders, 0 bans" in forget("STEAM_1:1:50")
    assert Ban.objects.get().name == ""
    assert PlayerSession.objects.get().steam_id_64 != ZOEY
    assert not SteamProfile.objects.exists()
    assert "1 bans" in forget(str(ZOEY), "--with-bans")
    assert BanList.objects.get().version == 2
    assert not Ban.objects.exists()


def test_only_a_player_can_be_forgotten():
    for wrong in ("Zoey", "203.0.113.7"):
        with pytest.raises(CommandError):
            forget(wrong)
