"""What went wrong in SourceBans and SourceBans++, tried here. `docs/advisories.md` says what it was there."""

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
        shown = page.content.decode()
        assert "&lt;script&gt;alert(1)" in shown, path
        assert "<script>alert" not in shown and "<img src=x" not in shown, path


@pytest.mark.parametrize("password", ["", " ", "!", "\0", "None"])
def test_sourcebans_pp_208_an_account_without_a_password_lets_nobody_in(cast: Cast, password: str) -> None:
    assert not cast.admin.has_usable_password()
    for given in (password, cast.admin.password):
        answer = Client().post("/accounts/login/", {"username": "ada", "password": given})
        assert answer.status_code == 422


def test_sourcebans_pp_199_what_is_recorded_of_an_attack_is_no_markup(cast: Cast) -> None:
    cast.owner.set_password("correct horse battery")
    cast.owner.save()
    agent = {"user-agent": f"Mozilla/5.0 {MARKUP}"}
    attack = Client(headers=agent)
    for query in ("email[]=x&q[]=1", "q[x][y]=1&email[]="):
        assert attack.get(f"/accounts/login/?{query}").status_code == 200
    assert attack.post("/accounts/login/", {"username": MARKUP, "password": MARKUP}).status_code == 422
    given = {"username": "anna", "password": "correct horse battery"}
    assert attack.post("/accounts/login/", given).status_code == 302
    client = Client()
    client.force_login(cast.admin)
    seen = [client.get("/audit"), client.get("/admin/audit/auditentry/"), attack.get("/accounts/sessions/")]
    for page in seen:
        assert page.status_code == 200
        assert "<script>alert" not in page.content.decode() and "<img src=x" not in page.content.decode()


@pytest.mark.parametrize("name", ["rebanid", "target", "name", "reason", "evidence", "server", "list", "player"])
def test_sourcebans_pp_253_what_a_link_brings_into_a_form_is_no_markup(cast: Cast, name: str) -> None:
    make_list(cast.owner, server=make_server(cast.owner))
    client = Client()
    client.force_login(cast.owner)
    page = client.get("/bans/new", {name: MARKUP})
    assert page.status_code in (200, 404)
    assert "<script>alert" not in page.content.decode() and "<img src=x" not in page.content.decode()


def test_sourcebans_pp_747_a_name_that_looks_like_a_program_is_shown_as_it_is(cast: Cast) -> None:
    server = make_server(cast.owner)
    name = '<?php echo ""; ?>'
    make_session(server, 101, timezone.now(), name_at_join=name)
    make_ban(make_list(cast.owner, server=server), name=name)
    client = Client()
    client.force_login(cast.owner)
    for path in ("/bans", "/players", f"/players/{BASE + 101}"):
        assert "&lt;?php echo &quot;&quot;; ?&gt;" in client.get(path).content.decode(), path
