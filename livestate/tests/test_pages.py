from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.tests.factories import make_profile, make_session, make_snapshot
from servers.models import Server
from servers.tests.factories import make_server, share

pytestmark = pytest.mark.django_db


def ago(**parts: float):
    return timezone.now() - timedelta(**parts)


@pytest.fixture
def server(cast):
    server = make_server(cast.owner, actual_state=Server.State.RUNNING, started_at=ago(hours=3))
    share(server, cast.viewer, "viewer")
    share(server, cast.operator, "operator")
    return server


def panel(client, user, server, **headers: str) -> str:
    client.force_login(user)
    response = client.get(reverse("livestate:panel", args=[server.pk]), headers=headers)
    assert response.status_code == 200
    return response.content.decode()


PAGES = ["panel", "history", "history_csv"]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    ("who", "status"), [("owner", 200), ("operator", 200), ("viewer", 200), ("admin", 200), ("stranger", 404)]
)
def test_who_sees_the_server_sees_its_players(client, cast, server, name, who, status):
    client.force_login(getattr(cast, who))
    assert client.get(reverse(f"livestate:{name}", args=[server.pk])).status_code == status


@pytest.mark.parametrize("name", PAGES)
def test_visitors_sign_in_first(client, server, name):
    assert client.get(reverse(f"livestate:{name}", args=[server.pk])).status_code == 302


def test_the_panel_shows_who_is_on_and_who_was(client, cast, server):
    make_snapshot(server, ago(minutes=5), ago(seconds=2), players=1, bots=3)
    make_session(server, 101, ago(minutes=4))
    make_profile(101, ago(hours=1), persona_name="Zoey", avatar_url="https://avatars.steamstatic.com/z_medium.jpg")
    for hours in (1, 2, 3):
        make_session(server, 202, ago(hours=hours), ago(hours=hours, minutes=-10), name_at_join="Bill")
    text = panel(client, cast.viewer, server)
    assert "Zoey" in text
    assert "https://avatars.steamstatic.com/z_medium.jpg" in text
    assert f"https://steamcommunity.com/profiles/{STEAM_ID_64_BASE + 101}" in text
    assert text.count("Bill") == 1
    assert "Dark Carnival: The Coaster" in text
    assert "1/8 · c2m3_coaster" in text


def test_htmx_is_given_the_panel_without_the_page(client, cast, server):
    text = panel(client, cast.owner, server, HX_Request="true")
    assert text.lstrip().startswith('<section id="live-state"')


def test_recent_players_are_those_who_left_last(client, cast, server):
    make_session(server, 1, ago(hours=5), ago(minutes=1), name_at_join="left last")
    for number in range(2, 25):
        make_session(server, number, ago(hours=2), ago(minutes=number), name_at_join=f"left {number} minutes ago")
    client.force_login(cast.owner)
    response = client.get(reverse("livestate:players", args=[server.pk]))
    names = [player.session.name_at_join for player in response.context["recent"]]
    assert names == ["left last", *(f"left {number} minutes ago" for number in range(2, 21))]


def test_names_are_text_not_markup(client, cast, server):
    make_session(server, 101, ago(minutes=4), name_at_join="<script>alert(1)</script>\u202egnp")
    text = panel(client, cast.owner, server)
    assert "<script>alert(1)" not in text
    assert "<bdi>&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("state", "seen", "players", "shown"),
    [
        (Server.State.STOPPED, 2, 3, "Not running"),
        (Server.State.RUNNING, None, 0, "No data yet"),
        (Server.State.RUNNING, 14_000, 3, "No data yet"),
        (Server.State.RUNNING, 45, 3, "Last checked"),
        (Server.State.RUNNING, 2, 0, "0/8 · Idle · c2m3_coaster"),
        (Server.State.RUNNING, 2, 3, "3/8 · c2m3_coaster"),
    ],
)
def test_the_badge_says_what_is_known(client, cast, server, state, seen, players, shown):
    Server.objects.filter(pk=server.pk).update(actual_state=state)
    if seen is not None:
        make_snapshot(server, ago(seconds=seen + 1), ago(seconds=seen), players=players)
    client.force_login(cast.owner)
    text = client.get(reverse("servers:list")).content.decode()
    assert f'id="live-{server.pk}"' in text
    assert shown in text


def test_the_age_of_an_old_answer_in_the_list_is_that_of_the_visit(client, cast, server, time_machine):
    """Rows of the list are kept by what they show; this one shows what time it is."""
    now = timezone.now()
    make_snapshot(server, now - timedelta(minutes=2), now)
    client.force_login(cast.owner)
    for minutes in (10, 20):
        time_machine.move_to(now + timedelta(minutes=minutes), tick=False)
        assert "Last checked <time datetime=" in (text := client.get(reverse("servers:list")).content.decode())
        assert f"{minutes} min. ago" in text


def test_the_history_shows_chart_table_people_and_maps(client, cast, server):
    make_snapshot(server, ago(hours=5), ago(hours=4), players=4, map="c1m1_hotel")
    make_snapshot(server, ago(hours=4), ago(hours=3), players=0, map="c1m2_streets")
    make_session(server, 101, ago(hours=5), ago(hours=4), name_at_join="Zoey")
    client.force_login(cast.owner)
    text = client.get(reverse("livestate:history", args=[server.pk]), {"span": "24h"}).content.decode()
    assert "Dead Center: The Hotel" in text
    assert "Zoey" in text
    assert 'class="chart-line"' in text
    assert "No data" in text


@pytest.mark.parametrize("span", ["24h", "7d", "30d", "nonsense"])
def test_a_history_without_anything_is_a_page(client, cast, server, span):
    client.force_login(cast.owner)
    response = client.get(reverse("livestate:history", args=[server.pk]), {"span": span})
    assert "No players in this period" in response.content.decode()


def test_the_csv_holds_every_stay_and_no_formula(client, cast, server):
    make_session(server, 101, ago(hours=5), ago(hours=4), name_at_join="=HYPERLINK(1)")
    make_session(server, 202, ago(hours=2))
    make_session(server, 303, ago(days=3), ago(days=2))
    client.force_login(cast.owner)
    response = client.get(reverse("livestate:history_csv", args=[server.pk]))
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [row["name"] for row in rows] == ["'=HYPERLINK(1)", "player 202"]
    assert [row["seconds"] for row in rows] == ["3600", "7200"]
    assert "attachment" in response["Content-Disposition"]


def test_a_players_visits_are_shown_as_far_as_the_viewer_sees_the_servers(client, cast, server):
    other = make_server(cast.owner, name="not shared")
    make_session(server, 101, ago(hours=5), ago(hours=4), name_at_join="Zoey")
    make_session(other, 101, ago(hours=2))
    address = reverse("livestate:player", args=[STEAM_ID_64_BASE + 101])
    client.force_login(cast.owner)
    assert "not shared" in client.get(address).content.decode()
    client.force_login(cast.viewer)
    assert "not shared" not in client.get(address).content.decode()
    client.force_login(cast.stranger)
    assert client.get(address).status_code == 404


def test_a_number_that_no_database_holds_is_nobody(client, cast):
    client.force_login(cast.owner)
    assert client.get(f"/players/{10**30}").status_code == 404


@pytest.mark.parametrize("tab", ["", "/players"])
def test_a_page_of_a_server_reads_its_live_state_once(cast, client, server, tab):
    client.force_login(cast.owner)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(f"/servers/{server.pk}{tab}").status_code == 200
    assert sum('FROM "livestate_silence"' in query["sql"] for query in queries) == 1
