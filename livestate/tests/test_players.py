from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import bearer, make_token
from left4me.audit.models import AuditEntry
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.bans.models import Ban, BanList
from livestate.bans.tests.factories import make_ban, make_list
from livestate.models import Order, PlayerNote, PlayerSession, SteamProfile
from livestate.players import erasure
from livestate.rotation.models import GameEvent
from livestate.rotation.tests.factories import make_event
from livestate.tests.factories import make_note, make_profile, make_session
from servers.models import ServerShare
from servers.tests.factories import make_server, share

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


@pytest.fixture
def server(cast):
    server = make_server(cast.owner, name="Friday")
    share(server, cast.viewer)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    make_session(server, 101, ago(days=3), ago(days=2), name_at_join="Old name")
    make_session(server, 101, ago(hours=3), ago(hours=1), name_at_join="Zoey")
    make_session(server, 202, ago(hours=2), name_at_join="Bill")
    return server


def found(client, user, **query: object) -> list[str]:
    client.force_login(user)
    return [each.name for each in client.get("/players", query).context["players"]]


def test_players_are_listed_those_seen_last_first_with_what_they_played(cast, client, server):
    make_session(make_server(cast.owner, name="Versus"), 101, ago(minutes=50), ago(minutes=40), name_at_join="Zoey")
    client.force_login(cast.owner)
    bill, zoey = client.get("/players").context["players"]
    assert (bill.name, bill.totals.is_online) == ("Bill", True)
    assert (zoey.name, zoey.totals.visits, [name for _pk, name in zoey.servers]) == ("Zoey", 3, ["Friday", "Versus"])
    assert round(zoey.totals.time.total_seconds() / 60) == 24 * 60 + 120 + 10


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "zoe"}, ["Zoey"]),
        ({"q": "old NAME"}, ["Zoey"]),
        ({"q": "persona"}, ["persona 202"]),
        ({"q": str(ZOEY)}, ["Zoey"]),
        ({"q": "STEAM_0:1:50"}, ["Zoey"]),
        ({"q": "[U:1:101]"}, ["Zoey"]),
        ({"q": f"https://steamcommunity.com/profiles/{ZOEY}/"}, ["Zoey"]),
        ({"q": "nobody"}, []),
        ({"show": "online"}, ["persona 202"]),
        ({"show": "banned"}, ["Zoey"]),
        ({"show": "noted"}, ["persona 202"]),
        ({"show": "noted", "q": "mic"}, ["persona 202"]),
        ({"show": "noted", "q": "zoey"}, []),
        ({"server": "0"}, []),
    ],
)
def test_players_are_found_by_any_name_and_by_steam_id(cast, client, server, query, names):
    make_profile(202, timezone.now())
    make_note(202, cast.owner, text="Loud mic")
    make_ban(make_list(cast.owner, is_default=True))
    assert found(client, cast.owner, **query) == names


def test_only_players_of_visible_servers_are_found_and_only_by_names_used_there(cast, client, server):
    foreign = make_server(cast.admin, name="Foreign")
    make_session(foreign, 101, ago(minutes=5), name_at_join="Secret")
    make_session(foreign, 303, ago(minutes=5), name_at_join="Stranger")
    assert found(client, cast.viewer) == ["Bill", "Zoey"]
    assert found(client, cast.viewer, q="secret") == []
    assert found(client, cast.viewer, server=foreign.pk) == []
    assert found(client, cast.stranger) == []
    assert set(found(client, cast.admin)) == {"Secret", "Stranger", "Bill"}
    client.force_login(cast.viewer)
    for address in ("/players", f"/players/{ZOEY}"):
        text = client.get(address).content.decode()
        assert "Secret" not in text and "Foreign" not in text


def test_who_is_banned_elsewhere_only_is_not_marked(cast, client, server):
    make_ban(make_list(cast.stranger, is_shared=True))
    client.force_login(cast.owner)
    assert not any(each.is_banned for each in client.get("/players").context["players"])
    make_ban(make_list(cast.owner, server=server))
    assert [each.is_banned for each in client.get("/players").context["players"]] == [False, True]
    client.force_login(cast.viewer)
    assert not any(each.is_banned for each in client.get("/players").context["players"])


def test_the_list_takes_the_same_queries_for_one_player_and_for_many(cast, client, server):
    client.force_login(cast.owner)
    client.get("/players")
    with CaptureQueriesContext(connection) as few:
        client.get("/players")
    for account in range(300, 340):
        make_session(server, account, ago(minutes=account), ago(minutes=1))
        make_note(account, cast.owner)
    with CaptureQueriesContext(connection) as many:
        assert len(client.get("/players").context["players"]) == 42
    assert len(many) == len(few)


def test_a_link_without_a_steam_id_is_explained(cast, client, server):
    client.force_login(cast.owner)
    text = client.get("/players", {"q": "https://steamcommunity.com/id/zoey"}).content.decode()
    assert "contains no Steam ID" in text


def test_players_by_the_api(cast, client, server):
    make_ban(make_list(cast.owner, is_default=True))
    headers = bearer(make_token(cast.owner, scope="read"))
    page = client.get("/api/v1/players?q=STEAM_1:1:50", headers=headers).json()
    assert page["count"] == 1
    (row,) = page["items"]
    assert (row["steam_id_64"], row["name"], row["is_banned"], row["visits"]) == (str(ZOEY), "Zoey", True, 2)
    assert row["servers"] == [server.pk]
    one = client.get(f"/api/v1/players/{ZOEY}", headers=headers).json()
    assert [each["name"] for each in one["names"]] == ["Zoey", "Old name"]
    assert one["bans"] == [Ban.objects.get().pk]
    stranger = bearer(make_token(cast.stranger, scope="read"))
    assert client.get(f"/api/v1/players/{ZOEY}", headers=stranger).status_code == 404


def test_an_admin_sees_what_is_forgotten_and_what_stays_and_has_it_done(cast, client, server):
    make_profile(101, timezone.now(), persona_name="Zoey")
    make_ban(make_list(cast.owner), name="Zoey")
    make_note(101, cast.owner)
    client.force_login(cast.admin)
    address = f"/players/{ZOEY}/forget"
    assert address in client.get(f"/players/{ZOEY}").content.decode()
    text = client.get(address).content.decode()
    assert "2 visits" in text and "1 note" in text and "1 ban" in text
    assert "2 visits removed" in client.post(address, follow=True).content.decode()
    assert not PlayerSession.objects.filter(steam_id_64=ZOEY).exists() and not PlayerNote.objects.exists()
    assert Ban.objects.get().name == ""
    entry = AuditEntry.objects.get(action="player.forget")
    assert entry.user == cast.admin and "Zoey" not in str(entry.details) and str(ZOEY) not in str(entry.details)
    assert found(client, cast.admin) == ["Bill"]
    client.post(address, {"bans_too": "on"})
    assert not Ban.objects.exists() and client.get(f"/players/{ZOEY}").status_code == 404


def test_others_are_not_offered_to_have_a_player_forgotten(cast, client, server):
    for user, status in ((cast.owner, 403), (cast.operator, 403), (cast.viewer, 403), (cast.stranger, 404)):
        client.force_login(user)
        assert "/forget" not in client.get(f"/players/{ZOEY}").content.decode()
        assert client.post(f"/players/{ZOEY}/forget").status_code == status
    headers = bearer(make_token(cast.admin, scope="operate"))
    assert client.delete(f"/api/v1/players/{ZOEY}", headers=headers).status_code == 403
    headers = bearer(make_token(cast.admin, scope="admin"))
    assert client.delete(f"/api/v1/players/{ZOEY}", headers=headers).json()["visits"] == 2


def test_commands_that_name_a_forgotten_player_in_any_form_are_forgotten_too(cast, server):
    def command(value: str, output: str = "") -> None:
        Order.objects.create(server=server, kind="command", value=value, output=output, created_at=timezone.now())

    gone = [("sm_kick #STEAM_1:1:50", ""), ("status", '# 2 1 "Zoey" STEAM_1:1:50 00:12'), ("x", "[U:1:101]")]
    kept = [("status", '# 2 1 "Bill" STEAM_1:1:501 00:12'), ("status", "STEAM_1:0:50"), ("x", f"{ZOEY}0")]
    for each in (*gone, *kept):
        command(*each)
    command(str(ZOEY))
    assert erasure.forget(ZOEY, by=None).orders == len(gone) + 1
    assert set(Order.objects.values_list("value", "output")) == set(kept)


def test_votes_that_a_forgotten_player_called_or_that_name_the_player_are_forgotten_too(cast, server):
    for details in (
        ["#kick", "Bill", "255", "Zo", "STEAM_1:1:50"],
        ["#kick", "Zoey", "255", "Bill", ""],
        ["", "", "255"],
    ):
        make_event(server, "vote_started", timezone.now(), *details)
    make_event(server, "vote_started", timezone.now(), "#kick", "Zoeys friend", "255", "Bill", "STEAM_1:0:50")
    assert erasure.forget(ZOEY, by=None).votes == 2
    assert GameEvent.objects.count() == 2


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
    assert "1 visits, 1 Steam profiles, 0 notes, 0 kicks and commands, 0 bans" in forget("STEAM_1:1:50")
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
