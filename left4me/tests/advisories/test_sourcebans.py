"""The advisories of SourceBans, tried here. `docs/advisories.md` says what each of them was there."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from left4me.core.steam_ids import BASE
from left4me.testing.cast import Cast
from livestate.bans.tests.factories import make_ban, make_list
from livestate.tests.factories import make_profile, make_session
from servers.tests.factories import make_server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

MARKUP = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.mark.parametrize("path", ["/bans", "/banlists", "/players", "/servers", "/audit", "/users", "/jobs"])
def test_cve_2015_8349_what_is_searched_for_is_no_markup(cast: Cast, path: str) -> None:
    client = Client()
    client.force_login(cast.admin)
    page = client.get(path, {"q": MARKUP, "advSearch": MARKUP, "state": MARKUP, "sort": MARKUP, "owner": MARKUP})
    assert page.status_code in (200, 422)
    assert "<script>alert" not in page.content.decode() and "<img src=x" not in page.content.decode()


def test_cve_2015_8349_nor_is_what_players_call_themselves(cast: Cast) -> None:
    server = make_server(cast.owner)
    make_session(server, 101, timezone.now(), name_at_join=MARKUP)
    make_profile(101, timezone.now(), persona_name=MARKUP)
    ban = make_ban(make_list(cast.owner, server=server), name=MARKUP, reason=MARKUP, evidence=MARKUP)
    client = Client()
    client.force_login(cast.owner)
    address = f"/servers/{server.pk}"
    for path in (
        *("/bans", f"/bans/{ban.pk}", f"/bans/{ban.pk}/edit", "/players", f"/players/{BASE + 101}"),
        *(address, f"{address}/players", f"{address}/history"),
    ):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.content.decode() and "<img src=x" not in page.content.decode(), path
