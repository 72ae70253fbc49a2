"""Signing in through Steam: with simulated Steam's own sign-in page, over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts.models import Identity, SteamSource, User
from accounts.tests.test_doors import link_address, shown
from left4me.testing.openid_provider import query
from servers.simulated import steam_sign_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def anna(cast) -> User:
    cast.owner.set_password("correct horse battery")
    cast.owner.save()
    return cast.owner


@pytest.fixture
def session(anna, redis_client) -> Client:
    client = Client()
    client.post("/accounts/login/", {"username": "anna", "password": "correct horse battery"})
    return client


@pytest.fixture
def steam(live_server, settings, redis_client) -> str:
    settings.LEFT4ME_STEAM_OPENID_URL = f"{live_server.url}/simulated-steam"
    return settings.LEFT4ME_STEAM_OPENID_URL


def answer_of_steam(provider: str, away: str, steam_id: int) -> str:
    return_to = query(away)["openid.return_to"]
    return steam_sign_in.answer(provider=provider, return_to=return_to, steam_id=steam_id, now=datetime.now(UTC))


GABEN = 76561197960287930


def test_steam_is_linked_with_the_steam_id_and_signs_in(anna, session, steam):
    away = session.get(link_address(session, "steam"))["Location"]
    assert "Linked." in shown(session.get(answer_of_steam(steam, away, GABEN), follow=True))
    anna.refresh_from_db()
    assert (anna.steam_id, anna.steam_source) == (GABEN, SteamSource.STEAM)
    client = Client()
    away = client.get("/accounts/doors/steam/begin")["Location"]
    back = answer_of_steam(steam, away, GABEN)
    assert client.get(back)["Location"] == "/"
    assert client.get("/").status_code == 200
    again = Client()
    again.cookies["left4me_door"] = client.cookies["left4me_door"].value
    again.get(back)
    assert again.get("/").status_code == 302


def test_a_steam_id_alone_does_not_sign_in(anna, steam):
    User.objects.filter(pk=anna.pk).update(steam_id=GABEN, steam_source=SteamSource.STEAM)
    client = Client()
    away = client.get("/accounts/doors/steam/begin")["Location"]
    assert "linked to no user here" in shown(client.get(answer_of_steam(steam, away, GABEN), follow=True))


def test_an_answer_that_steam_did_not_sign_signs_nobody_in(anna, steam):
    Identity.objects.create(user=anna, door="steam", issuer=steam, subject=str(GABEN))
    client = Client()
    away = client.get("/accounts/doors/steam/begin")["Location"]
    forged = answer_of_steam(steam, away, GABEN + 1).replace(str(GABEN + 1), str(GABEN))
    assert "did not confirm" in shown(client.get(forged, follow=True))
    assert client.get("/").status_code == 302
