from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.bans import list_views
from livestate.bans.models import AppliedBans, Ban, BanList, Subscription
from livestate.bans.tests.factories import make_ban, make_list
from livestate.tests.factories import make_profile, make_session
from servers.models import Server, ServerShare
from servers.tests.factories import make_server, share

pytestmark = pytest.mark.django_db

ZOEY = str(STEAM_ID_64_BASE + 101)


@pytest.fixture
def server(cast) -> Server:
    server = make_server(cast.owner, name="Friday", actual_state="running", started_at=timezone.now())
    share(server, cast.viewer)
    share(server, cast.operator, ServerShare.Role.OPERATOR)
    return server


def text_of(client, user, name: str, *args: object, **query: object) -> str:
    client.force_login(user)
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def test_the_list_shows_who_is_banned_where_why_and_until_when(cast, client, server):
    make_ban(make_list(cast.owner, is_default=True), evidence="https://example.org/demo")
    make_ban(make_list(cast.owner, server=server), target="203.0.113.0/24", name="", created_by=cast.operator)
    text = text_of(client, cast.owner, "bans:list")
    for part in ("player 101", ZOEY, "Cheating", "https://example.org/demo", "All servers of anna", "Permanent"):
        assert part in text
    assert "203.0.113.0/24" in text and "otto" in text and "In the game" in text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, {"player 1", "player 2"}),
        ({"q": "PLAYER 2"}, {"player 2"}),
        ({"q": "persona"}, {"player 1"}),
        ({"q": "STEAM_0:1:0"}, {"player 1"}),
        ({"q": "[U:1:2]"}, {"player 2"}),
        ({"state": "expired"}, {"player 3"}),
        ({"state": "lifted"}, {"player 4"}),
        ({"state": "all"}, {"player 1", "player 2", "player 3", "player 4"}),
        ({"q": "nobody"}, set()),
    ],
)
def test_bans_are_found_by_name_steam_id_and_state(cast, client, query, shown):
    bans = make_list(cast.owner, is_default=True)
    past = timezone.now() - timedelta(days=2)
    make_ban(bans, 1)
    make_profile(1, timezone.now())
    make_ban(bans, 2, expires_at=timezone.now() + timedelta(days=1))
    make_ban(bans, 3, created_at=past, expires_at=past + timedelta(days=1))
    make_ban(bans, 4, ended_at=timezone.now())
    text = text_of(client, cast.owner, "bans:list", **query)
    assert {f"player {n}" for n in range(1, 5) if f"<bdi>player {n}<" in text} == shown


def test_bans_are_filtered_by_the_server_that_they_apply_to(cast, client, server):
    other = make_server(cast.owner)
    make_ban(make_list(cast.owner, server=server), 1)
    make_ban(make_list(cast.owner, server=other), 2)
    make_ban(make_list(cast.owner, is_default=True), 3)
    text = text_of(client, cast.owner, "bans:list", server=server.pk)
    assert [f"<bdi>player {n}<" in text for n in (1, 2, 3)] == [True, False, True]


def test_a_stranger_and_a_viewer_see_no_bans(cast, client, server):
    make_ban(make_list(cast.owner, is_default=True))
    for user in (cast.stranger, cast.viewer):
        assert "player 101" not in text_of(client, user, "bans:list")
        assert "server-bans" not in client.get(reverse("livestate:players", args=[server.pk])).content.decode() or (
            user == cast.stranger
        )
    assert "player 101" in text_of(client, cast.operator, "bans:list")


def test_an_operator_bans_from_the_row_of_a_player(cast, client, server):
    make_session(server, 101, timezone.now(), name_at_join="Zoey")
    text = text_of(client, cast.operator, "livestate:players", server.pk)
    address = f"{reverse('bans:new')}?server={server.pk}&amp;target={ZOEY}"
    assert address in text
    form = text_of(client, cast.operator, "bans:new", server=server.pk, target=ZOEY)
    assert f'value="{ZOEY}"' in form and f'<option value="server:{server.pk}" selected>' in form
    given = {"server": server.pk, "target": ZOEY, "place": f"server:{server.pk}", "minutes": 30}
    response = client.post(reverse("bans:new"), given)
    assert response["Location"] == reverse("livestate:players", args=[server.pk])
    ban = Ban.objects.get()
    assert (ban.name, ban.minutes, ban.ban_list.server, ban.created_by) == ("Zoey", 30, server, cast.operator)
    assert "Being applied" in client.get(response["Location"]).content.decode()


def test_an_operator_is_not_offered_the_lists_of_the_owner(cast, client, server):
    make_list(cast.owner, name="Private")
    form = text_of(client, cast.operator, "bans:new", server=server.pk)
    assert "Private" not in form
    given = {"target": ZOEY, "place": f"list:{BanList.objects.get().pk}", "minutes": 0}
    assert client.post(reverse("bans:new"), given).status_code == 422


def test_what_cannot_be_banned_is_said_at_the_field(cast, client):
    client.force_login(cast.owner)
    response = client.post(reverse("bans:new"), {"target": "Zoey", "place": "all", "minutes": 0})
    assert response.status_code == 422
    assert "Enter a SteamID" in response.content.decode()


def test_the_page_of_a_ban_says_how_far_each_server_is(cast, client, server):
    bans = make_list(cast.owner, is_default=True)
    ban = make_ban(bans)
    stopped = make_server(cast.owner, name="Stopped")
    AppliedBans.objects.create(server=server, problems={ZOEY: "Can't ban users on a LAN"}, failures=1)
    text = text_of(client, cast.owner, "bans:detail", ban.pk)
    assert "LAN" in text and "Not confirmed" in text and "Applies at the next start" in text and stopped.name in text
    assert "LAN" in text_of(client, cast.owner, "bans:list")
    AppliedBans.objects.update(problems={}, failures=0, targets={ZOEY: None}, signature=f"{bans.pk}:{bans.version}")
    assert "In effect" in text_of(client, cast.owner, "bans:detail", ban.pk)


def test_a_ban_is_changed_and_lifted(cast, client, server):
    ban = make_ban(make_list(cast.owner, is_default=True), expires_at=timezone.now() + timedelta(minutes=45))
    form = text_of(client, cast.owner, "bans:edit", ban.pk)
    assert "45 minutes" in form
    client.post(reverse("bans:edit", args=[ban.pk]), {"minutes": 0, "reason": "Griefing"})
    ban.refresh_from_db()
    assert (ban.reason, ban.expires_at) == ("Griefing", None)
    response = client.post(reverse("bans:lift", args=[ban.pk]), {"server": server.pk}, follow=True)
    assert "is lifted" in response.content.decode()
    assert "ended already" in client.post(reverse("bans:lift", args=[ban.pk]), follow=True).content.decode()


def test_bans_that_others_share_are_listed_once_they_apply(cast, client, server):
    bans = make_list(cast.stranger, is_shared=True)
    make_ban(bans)
    assert "player 101" not in text_of(client, cast.owner, "bans:list")
    assert "player 101" in text_of(client, cast.owner, "bans:list", list=bans.pk)
    Subscription.objects.create(ban_list=bans, user=cast.owner, server=server)
    for user in (cast.owner, cast.operator):
        assert "player 101" in text_of(client, user, "bans:list")
    assert "player 101" not in text_of(client, cast.viewer, "bans:list")


def test_lists_are_made_shared_subscribed_to_and_deleted(cast, client):
    client.force_login(cast.owner)
    client.post(reverse("bans:new_list"), {"name": "Cheaters", "is_shared": "on"})
    bans = BanList.objects.get(name="Cheaters")
    address = reverse("bans:subscription", args=[bans.pk])
    assert "Cheaters" in text_of(client, cast.stranger, "bans:lists")
    client.post(address, {"on": "yes"})
    assert Subscription.objects.get().user == cast.stranger
    assert "Unsubscribe" in text_of(client, cast.stranger, "bans:list_detail", bans.pk)
    client.post(address, {"on": "no"})
    assert not Subscription.objects.exists()
    server = make_server(cast.stranger, name="Realism")
    client.post(address, {"on": "yes", "server": server.pk})
    assert "1 of your servers" in text_of(client, cast.stranger, "bans:lists")
    assert "Unsubscribe" in text_of(client, cast.stranger, "bans:list_detail", bans.pk)
    client.post(address, {"on": "no", "server": server.pk})
    assert not Subscription.objects.exists()
    client.force_login(cast.owner)
    client.post(reverse("bans:list_detail", args=[bans.pk]), {"name": "Cheats"})
    bans.refresh_from_db()
    assert (bans.name, bans.is_shared) == ("Cheats", False)
    client.post(reverse("bans:delete_list", args=[bans.pk]))
    assert not BanList.objects.filter(pk=bans.pk).exists()


def test_lists_come_in_pages_those_of_ones_own_first(cast, client, monkeypatch):
    monkeypatch.setattr(list_views, "LISTS_PER_PAGE", 3)
    monkeypatch.setattr(list_views, "MOST_SERVERS", 1)
    shared = [make_list(cast.owner, name=f"List {number}", is_shared=True) for number in range(4)]
    servers = [make_server(cast.stranger, name=name) for name in ("Realism", "Versus")]
    client.force_login(cast.stranger)
    pages = [client.get(reverse("bans:lists"), {"page": number}) for number in (1, 2)]
    assert [[row.owner for row in page.context["own"]] for page in pages] == [[cast.stranger], []]
    assert [row for page in pages for row in page.context["others"]] == shared
    text = pages[0].content.decode()
    assert "Realism" in text and "Versus" not in text and "More servers" in text
    one = client.get(shared[0].get_absolute_url()).content.decode()
    assert all(server.name in one for server in servers) and "More servers" not in one


def test_an_import_is_shown_before_anything_is_added(cast, client):
    make_ban(make_list(cast.owner, is_default=True))
    client.force_login(cast.owner)
    file = SimpleUploadedFile("banned_user.cfg", f"banid 0 {ZOEY}\nbanid 0 STEAM_1:0:1\nnonsense\n".encode())
    preview = client.post(reverse("bans:import"), {"place": "all", "file": file})
    text = preview.content.decode()
    assert "1 new ban" in text and "1 is on the list already" in text and "nonsense" in text
    assert Ban.objects.count() == 1
    given = {"place": preview.context["place"], "text": preview.context["content"], "confirmed": "yes"}
    assert "1 ban added" in client.post(reverse("bans:import"), given, follow=True).content.decode()
    assert Ban.objects.count() == 2


def test_an_import_of_nothing_says_what_is_needed(cast, client):
    client.force_login(cast.owner)
    for given, said in (({}, "Choose a file"), ({"text": "hello"}, "No bans found")):
        response = client.post(reverse("bans:import"), {"place": "all", **given})
        assert response.status_code == 422 and said in response.content.decode()


def test_a_list_is_exported_in_every_form(cast, client):
    bans = make_list(cast.owner)
    make_ban(bans)
    client.force_login(cast.owner)
    address = reverse("bans:export", args=[bans.pk])
    assert "STEAM_1:1:50,player 101,Cheating" in client.get(address).content.decode()
    assert client.get(address, {"as": "users"}).content == b"banid 0 STEAM_1:1:50\n"
    assert client.get(address, {"as": "addresses"}).content == b""


def test_lists_of_ones_own_are_sorted_by_name_after_the_default_one(cast, client):
    for name in ("Zoo", "Arena"):
        make_list(cast.owner, name=name)
    client.force_login(cast.owner)
    own = client.get(reverse("bans:lists")).context["own"]
    assert [(row.is_default, row.name) for row in own] == [(True, ""), (False, "Arena"), (False, "Zoo")]
