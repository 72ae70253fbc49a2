"""What becomes of a match by what a game shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from left4me.alerts.events import Event as Alert
from livestate.matches import progress, watch
from livestate.matches.game import Facts
from livestate.matches.gamelog import Event, Kind
from livestate.matches.models import Match
from livestate.matches.progress import Observation
from livestate.matches.tests.factories import make_match
from livestate.models import PlayerSession
from livestate.tests.factories import make_session, make_snapshot
from servers.gamehost import rcon
from servers.models import Server
from servers.tests.factories import make_server

NOW = timezone.now().replace(microsecond=0)
LOADED = Facts(is_loaded=True, config="Arena v1.0", is_getting_ready=True)
UNLOADED = Facts(is_loaded=False)
A, B = 1, 2
BASE = 76561197960265728


@pytest.fixture
def server(cast) -> Server:
    server = make_server(cast.owner, actual_state=Server.State.RUNNING, actual_state_at=NOW)
    Server.objects.filter(pk=server.pk).update(started_at=NOW - timedelta(hours=1))
    server.refresh_from_db()
    return server


def play(server: Server, *accounts: int, map_name: str = "c2m1_highway", at: datetime = NOW) -> None:
    """These accounts are on the server."""
    PlayerSession.objects.filter(server=server).delete()
    for account in accounts:
        make_session(server, account, NOW - timedelta(minutes=5))
    make_snapshot(server, at, players=len(accounts), map=map_name)


def see(match: Match, facts: Facts | None = LOADED, *, now: datetime = NOW, **fields: Any) -> Match:
    """One pass."""
    match = Match.objects.select_related("server__owner", "server__host").get(pk=match.pk)
    progress.record(match, Observation(facts=facts, log_position={"file": "x", "offset": 1}, **fields), now=now)
    return Match.objects.get(pk=match.pk)


def ready(*accounts: int) -> list[Event]:
    return [Event(kind=Kind.READY, steam_id_64=BASE + account) for account in accounts]


def test_a_match_waits_until_enough_players_are_there_and_all_are_ready(server):
    match = make_match(server, state="waiting", loads_when_ready=True, wanted_players=2)
    play(server, A)
    assert see(match, events=ready(A)).state == "waiting", "one is missing"
    play(server, A, B, at=NOW + timedelta(seconds=1))
    assert see(match).state == "waiting", "one is not ready"
    match = see(match, events=ready(B))
    assert (match.state, match.sent_at) == ("loading", None)


def test_who_takes_it_back_or_leaves_is_not_ready(server):
    match = make_match(server, state="waiting", loads_when_ready=True, wanted_players=2)
    play(server, A, B)
    taken_back = [*ready(A, B), Event(kind=Kind.NOT_READY, steam_id_64=BASE + B)]
    assert see(match, events=taken_back).state == "waiting"
    assert see(match, events=[*ready(B), Event(kind=Kind.LEFT, steam_id_64=BASE + A)]).ready == [str(BASE + B)]


def test_a_match_that_is_loaded_by_hand_is_not_loaded_by_itself(server):
    match = make_match(server, state="waiting", wanted_players=1)
    play(server, A)
    assert see(match, events=ready(A)).state == "waiting"


def test_a_load_is_confirmed_by_the_name_that_the_game_gives_the_mode(server):
    play(server, A, B)
    sent = NOW - timedelta(seconds=10)
    match = make_match(server, state="loading", sent_at=sent)
    assert see(match, Facts(is_loaded=True, config="Another")).state == "loading"
    match = see(match, LOADED)
    assert (match.state, match.started_at, match.maps[0][0]) == ("live", NOW, "c2m1_highway")


def test_a_load_that_the_pack_refuses_or_that_never_comes_has_failed(server):
    play(server, A)
    match = see(make_match(server, state="loading", sent_at=NOW), UNLOADED, problem="[Confogl] Map x not found!")
    assert (match.state, match.note) == ("failed", "[Confogl] Map x not found!")
    late = make_match(server, state="loading", sent_at=NOW - progress.LOADS_WITHIN - timedelta(seconds=1))
    assert see(late, UNLOADED).state == "failed"


def test_teams_are_those_of_the_first_round_until_the_pack_tells(server):
    play(server, A, B)
    match = make_match(server, started_at=NOW - timedelta(minutes=3))
    sides = [
        Event(kind=Kind.SIDE, steam_id_64=BASE + A, side="Survivor"),
        Event(kind=Kind.SIDE, steam_id_64=BASE + B, side="Infected"),
    ]
    see(match, events=sides)
    playing = Facts(is_loaded=True, config="Arena v1.0", is_getting_ready=False)
    assert see(match, playing).phase == "round"
    teams = dict(match.players.values_list("steam_id_64", "team"))
    assert teams == {BASE + A: "A", BASE + B: "B"}
    played = {
        "file": "f",
        "map": "c2m1_highway",
        "config": "Arena v1.0",
        "a": 5,
        "b": 9,
        "total_a": 5,
        "total_b": 9,
        "team_a": [str(BASE + B)],
        "team_b": [str(BASE + A)],
    }
    assert see(match, playing, rounds=[played], tells_score=True).score == (5, 9)
    assert dict(match.players.values_list("steam_id_64", "team")) == {BASE + A: "B", BASE + B: "A"}


def test_a_match_ends_when_all_have_left_for_its_minutes_by_unloading_the_mode(server):
    make_snapshot(server, NOW, players=0)
    match = see(make_match(server, started_at=NOW - timedelta(hours=1), empty_minutes=5))
    assert match.empty_since == NOW
    later = NOW + timedelta(minutes=5)
    make_snapshot(server, later, players=0)
    match = see(match, now=later)
    assert (match.state, match.reason, match.sent_at) == ("ending", "empty", None)
    match = see(match, UNLOADED, now=later)
    assert (match.state, match.reason, match.ended_at) == ("ended", "empty", later)


@pytest.mark.parametrize(
    ("facts", "reason"), [(UNLOADED, "pack"), (Facts(is_loaded=True, config="Another"), "changed")]
)
def test_a_match_ends_when_the_game_unloads_or_changes_its_mode(server, facts, reason):
    play(server, A)
    match = make_match(server, started_at=NOW - timedelta(hours=1))
    for _pass in range(2):
        match = see(match, facts)
        assert match.state == "live", "a map change may look like that for a moment"
    assert see(match, None).misses == 2, "a game that is silent says nothing"
    assert (see(match, facts).state, see(match, facts).reason) == ("ended", reason)


def test_a_match_ends_with_its_server(server):
    play(server, A)
    match = make_match(server, started_at=NOW - timedelta(hours=2))
    assert (see(match).state, see(match).reason) == ("ended", "server"), "the game was started anew since then"
    other = make_match(server, started_at=NOW)
    Server.objects.filter(pk=server.pk).update(actual_state=Server.State.CRASHED)
    watch.attend(server.host.name, now=NOW)
    other.refresh_from_db()
    assert (other.state, other.reason) == ("ended", "server")


def test_what_a_person_does_meanwhile_counts(server):
    play(server, A)
    match = make_match(server, started_at=NOW - timedelta(minutes=3), ready=[str(BASE + A)])
    stale = Match.objects.select_related("server__owner", "server__host").get(pk=match.pk)
    Match.objects.filter(pk=match.pk).update(state="ending")
    progress.record(stale, Observation(facts=LOADED), now=NOW)
    match.refresh_from_db()
    assert (match.state, match.phase) == ("ending", "")


def test_the_owner_is_told_of_the_result(server, monkeypatch):
    told = []
    monkeypatch.setattr("livestate.matches.news.incidents.notify", lambda notice, now: told.append(notice))
    play(server, A, B)
    rounds = [{"map": "c2m1_highway", "a": 5, "b": 9, "total_a": 5, "total_b": 9, "team_a": [], "team_b": []}]
    match = make_match(server, started_at=NOW - timedelta(minutes=3), state="ending", reason="hand", rounds=rounds)
    match.players.create(steam_id_64=BASE + A, name="Anna", team="A")
    match = see(match, UNLOADED)
    assert match.state == "ended" and match.duration == timedelta(minutes=3)
    (notice,) = told
    assert notice.event == Alert.MATCH_ENDED and notice.path == match.get_absolute_url()
    assert notice.text == "Team A: 5 (Anna)\nTeam B: 9 (–)"


def test_the_map_before_the_match_is_none_of_its_maps(server):
    play(server, A, map_name="c1m1_hotel")
    match = see(make_match(server, map="c2m1_highway", started_at=NOW))
    assert match.maps == []
    play(server, A, map_name="c2m1_highway", at=NOW + timedelta(seconds=9))
    assert [name for name, _at in see(match).maps] == ["c2m1_highway"]


def test_the_log_is_turned_on_once_for_each_start_of_the_game(server, monkeypatch, tmp_path, settings):
    settings.LEFT4ME_ROOT = tmp_path
    asked = []

    def execute(_host, _port, _password, command, **_options):
        asked.append(command)
        return rcon.Answer("not currently logging" if command == "log" else "")

    monkeypatch.setattr(watch.rcon, "execute", execute)
    match = make_match(server, state="waiting")
    seen = watch.observe(match, sends=False)
    match.log_position = seen.log_position
    watch.observe(match, sends=False)
    assert asked.count("log on") == 1
    match.server.started_at = NOW
    watch.observe(match, sends=False)
    assert asked.count("log on") == 2


def test_a_command_is_sent_once(server, monkeypatch):
    sent = []
    monkeypatch.setattr(watch, "observe", lambda match, sends: sent.append(sends) or Observation(facts=UNLOADED))
    make_match(server, state="loading")
    for _pass in range(3):
        watch.attend(server.host.name, now=NOW)
    assert sent == [True, False, False]
