"""Planning, seeing and ending matches by pages and API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from left4me.audit.models import AuditEntry
from left4me.core.web.refusals import Refused
from livestate.matches import actions
from livestate.matches.models import Match
from livestate.matches.tests.factories import MODE, make_match, offer
from livestate.tests.factories import make_session
from overlays.tests.factories import make_overlay
from servers.models import Server, ServerShare
from servers.tests.factories import make_blueprint, make_server, share

BASE = 76561197960265728


@pytest.fixture
def server(cast) -> Server:
    overlay = make_overlay(name="Pack", owner=cast.owner, built_at=timezone.now(), is_inspected=True)
    offer(overlay, MODE)
    blueprint = make_blueprint(cast.owner, overlays=[overlay])
    state = Server.State.RUNNING
    return make_server(cast.owner, blueprint=blueprint, name="Friday", actual_state=state)


@pytest.fixture
def anna(cast) -> Client:
    client = Client()
    client.force_login(cast.owner)
    return client


@pytest.fixture
def viewer(cast, server) -> Client:
    share(server, cast.stranger, ServerShare.Role.VIEWER)
    client = Client()
    client.force_login(cast.stranger)
    return client


def test_a_match_is_planned_with_mode_map_and_players(anna, cast, server):
    page = anna.get(f"/servers/{server.pk}/matches").content.decode()
    assert "Arena 1.0" in page and 'label="Arenas"' in page
    given = {"mode": "arena", "map": "c2m1_highway", "load": "ready", "players": "", "empty_minutes": "5"}
    response = anna.post(f"/servers/{server.pk}/matches", given)
    match = Match.objects.get()
    assert response["Location"] == match.get_absolute_url()
    assert (match.mode, match.config, match.map, match.wanted_players) == ("arena", "Arena v1.0", "c2m1_highway", 8)
    assert (match.state, match.loads_when_ready, match.created_by) == ("waiting", True, cast.owner)
    assert AuditEntry.objects.get(action="match.create").target == server.resource
    again = anna.post(f"/servers/{server.pk}/matches", given, follow=True).content.decode()
    assert "There is a match on this server already." in again and Match.objects.count() == 1


def test_players_are_shown_with_whether_they_are_ready(anna, server):
    now = timezone.now()
    make_session(server, 1, now, name_at_join="Zoey")
    make_session(server, 2, now, name_at_join="Louis")
    match = make_match(server, state="waiting", loads_when_ready=True, ready=[str(BASE + 1)])
    page = " ".join(anna.get(match.get_absolute_url(), headers={"HX-Request": "true"}).content.decode().split())
    assert "1 so far" in page
    assert page.index("Zoey") < page.index(">Ready<") < page.index("Louis") < page.index(">Not ready<")


def test_the_result_shows_teams_points_maps_and_duration(anna, server):
    end = timezone.now()
    begin = end - timedelta(minutes=40)
    rounds = [{"map": "c2m1_highway", "a": 5, "b": 9, "total_a": 5, "total_b": 9, "team_a": [], "team_b": []}]
    maps = [["c2m1_highway", begin.isoformat()], ["c2m2_fairgrounds", end.isoformat()]]
    match = make_match(server, state="ended", reason="empty", started_at=begin, ended_at=end, maps=maps, rounds=rounds)
    make_session(server, 1, begin - timedelta(minutes=5), begin + timedelta(minutes=30))
    match.players.create(steam_id_64=BASE + 1, name="Zoey", team="B")
    page = " ".join(anna.get(match.get_absolute_url()).content.decode().split())
    assert "Team A 5 : 9 Team B" in page and "All players left" in page and "40 min" in page
    assert "Highway" in page and "Zoey" in page and "30 min" in page
    assert "Earlier matches" in anna.get(f"/servers/{server.pk}/matches").content.decode()


def test_a_match_without_score_says_why(anna, server):
    match = make_match(server, started_at=timezone.now(), tells_score=False)
    assert "no plugin that tells the score" in anna.get(match.get_absolute_url()).content.decode()


def test_the_list_is_filtered_by_server_state_and_player(anna, server, cast):
    other = make_server(cast.owner, host=server.host, blueprint=server.blueprint, name="Sunday")
    ended = make_match(server, state="ended", mode_title="Duel")
    ended.players.create(steam_id_64=BASE + 1)
    make_match(other, state="live")

    def titles(query: str) -> list[str]:
        return [match.mode_title for match in anna.get(f"/matches?{query}").context["page"]]

    assert titles("") == ["Arena 1.0", "Duel"]
    assert titles("state=over") == titles(f"server={server.pk}") == titles(f"player={BASE + 1}") == ["Duel"]
    assert titles("q=sun") == ["Arena 1.0"]
    assert titles("q=nothing") == []


def test_a_match_is_loaded_and_ended_by_hand(anna, cast, server):
    match = make_match(server, state="waiting")
    anna.post(f"/matches/{match.pk}/load")
    match.refresh_from_db()
    assert match.state == "loading"
    Match.objects.update(state="live", sent_at=timezone.now())
    anna.post(f"/matches/{match.pk}/end")
    match.refresh_from_db()
    assert (match.state, match.reason, match.ended_by, match.sent_at) == ("ending", "hand", cast.owner, None)
    page = anna.post(f"/matches/{match.pk}/load", follow=True).content.decode()
    assert "in another state by now" in page


def test_a_match_that_waits_is_cancelled_at_once(anna, server):
    match = make_match(server, state="waiting")
    anna.post(f"/matches/{match.pk}/end")
    match.refresh_from_db()
    assert match.state == "cancelled" and match.ended_at is not None


def test_a_stopped_server_loads_no_match_and_offers_to_start(anna, server):
    Server.objects.update(actual_state=Server.State.STOPPED, desired_state=Server.Desired.STOPPED)
    match = make_match(server, state="waiting")
    assert "The server is not running." in anna.post(f"/matches/{match.pk}/load", follow=True).content.decode()


def test_viewers_see_matches_and_run_none(viewer, server):
    match = make_match(server, state="waiting")
    page = viewer.get(match.get_absolute_url()).content.decode()
    assert "Cancel match" not in page
    assert viewer.post(f"/matches/{match.pk}/end").status_code == 403
    assert viewer.post(f"/servers/{server.pk}/matches", {"mode": "arena"}).status_code == 403


def test_the_api_plans_reads_loads_and_ends(api, cast, server):
    call = api.by(cast.owner)
    modes = call.get(f"/servers/{server.pk}/match-modes")[1]
    assert modes == [{"code": "arena", "title": "Arena 1.0", "group": "Arenas", "game_mode": "versus", "team_size": 4}]
    status, match = call.post(f"/servers/{server.pk}/matches", {"mode": "arena", "load": "hand", "players": 4})
    assert (status, match["state"], match["wanted_players"], match["score"]) == (201, "waiting", 4, None)
    assert call.post(f"/servers/{server.pk}/matches", {"mode": "gone"})[0] == 409
    make_session(server, 1, timezone.now(), name_at_join="Zoey")
    (zoey,) = call.get(f"/matches/{match['id']}")[1]["online"]
    assert (zoey["name"], zoey["is_ready"]) == ("Zoey", False)
    assert call.post(f"/matches/{match['id']}/load", {})[1]["state"] == "loading"
    assert call.post(f"/matches/{match['id']}/end", {})[1]["state"] == "ending"
    assert call.get("/matches?state=open")[1]["count"] == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"mode": "gone"}, "This match mode is not on the server"),
        ({"map_name": "gone"}, "This map is not on the server"),
        ({"wanted_players": 0}, "Enter from 1 to 32 players"),
        ({"wanted_players": 33}, "Enter from 1 to 32 players"),
        ({"empty_minutes": 0}, "Enter from 1 to 120 minutes"),
        ({"empty_minutes": 121}, "Enter from 1 to 120 minutes"),
        ({"load": "later"}, "Choose when the mode is loaded"),
    ],
)
def test_a_match_that_cannot_be_is_refused_with_what_can(cast, server, given, reason):
    with pytest.raises(Refused, match=reason):
        actions.create(server=server, by=cast.owner, **{"mode": "arena", **given})
    assert not Match.objects.exists()


@pytest.mark.parametrize(
    "given", [{"wanted_players": 1, "empty_minutes": 120}, {"wanted_players": 32, "empty_minutes": 1}]
)
@pytest.mark.parametrize(("load", "state"), [("now", "loading"), ("ready", "waiting"), ("hand", "waiting")])
def test_a_match_takes_what_the_bounds_allow(cast, server, given, load, state):
    match = actions.create(server=server, by=cast.owner, mode="arena", load=load, **given)
    assert (match.wanted_players, match.empty_minutes) == tuple(given.values())
    assert (match.state, match.loads_when_ready) == (state, load == "ready")


def test_a_mode_is_loaded_by_a_game_that_runs(cast, server):
    Server.objects.update(actual_state="stopped")
    server.refresh_from_db()
    with pytest.raises(Refused, match="not running") as refused:
        actions.create(server=server, by=cast.owner, mode="arena", load="now")
    assert refused.value.cure and refused.value.cure.operation == "start"
    match = actions.create(server=server, by=cast.owner, mode="arena")
    with pytest.raises(Refused, match="not running"):
        actions.load(match=match, by=cast.owner)
    with pytest.raises(Refused, match="already") as refused:
        actions.create(server=server, by=cast.owner, mode="arena")
    assert refused.value.cure and refused.value.cure.url == match.get_absolute_url()
    Match.objects.update(state="live")
    with pytest.raises(Refused, match="another state"):
        actions.end(match=match, by=cast.owner)
