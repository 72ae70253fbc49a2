"""What follows from the end of a campaign, from an empty server, from orders and from other changes of the map."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from left4me.core.redis import hosts
from left4me.core.web.refusals import Refused
from livestate.matches.models import Match
from livestate.matches.tests.factories import make_match
from livestate.models import Order, Snapshot
from livestate.rotation import actions, follow, tasks
from livestate.rotation.models import GameEvent, MapState, Rotation
from livestate.tests.factories import make_snapshot
from overlays.models import OverlayAddon
from overlays.tests.factories import make_overlay
from servers.models import BlueprintOverlay, GameRun, Server
from servers.tests.factories import make_run, make_server

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
CAMPAIGNS = ["campaign:c1m1_hotel", "campaign:c2m1_highway", "campaign:c5m1_waterfront"]


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch) -> None:
    monkeypatch.setattr(hosts, "send", lambda *args, **options: True)


@pytest.fixture
def server(cast) -> Server:
    return make_server(
        cast.owner, actual_state="running", desired_state="running", started_at=NOW - timedelta(hours=1)
    )


class Game:
    """The rows that a game leaves behind, and the looks at them, on a clock of the test."""

    def __init__(self, server: Server, name: str = "c1m4_atrium", players: int = 2) -> None:
        self.server = server
        self.now = NOW
        self.shows(name, players)

    def shows(self, name: str, players: int = 2) -> None:
        make_snapshot(self.server, self.now, map=name, players=players)
        self.look()

    def tells(self, name: str, *, mode: str = "coop", on: str = "") -> None:
        number = GameEvent.objects.count()
        where = on or Snapshot.objects.latest("pk").map
        GameEvent.objects.create(
            server=self.server, key=f"00000000-{number}", name=name, map=where, mode=mode, at=self.now
        )
        self.look()

    def passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        Snapshot.objects.filter(pk=Snapshot.objects.latest("pk").pk).update(last_seen_at=self.now)
        self.look()

    def look(self) -> None:
        tasks.follow_all(self.now)

    def answers(self, state: str = "done") -> None:
        """The host carries out what was ordered."""
        Order.objects.filter(kind="map", state="queued").update(state=state, finished_at=self.now)

    @property
    def row(self) -> MapState:
        return MapState.objects.get(server=self.server)

    @property
    def changes(self) -> list[str]:
        return list(Order.objects.filter(kind="map").order_by("pk").values_list("value", flat=True))

    @property
    def said(self) -> list[str]:
        return list(Order.objects.filter(kind="say").order_by("pk").values_list("value", flat=True))

    @property
    def noted(self) -> list[str]:
        return [note["code"] for note in self.row.notes]


def rotate(of, by, codes=CAMPAIGNS, **settings) -> Rotation:
    return actions.set_rotation(of=of, by=by, codes=codes, **settings)


def test_after_a_finale_the_next_campaign_comes_when_players_were_told(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    assert (game.said, game.changes) == (["Next: Dark Carnival in 20 s."], [])
    game.passes(15)
    assert game.changes == []
    game.passes(5)
    assert game.changes == ["c2m1_highway"]
    game.answers()
    game.shows("c2m1_highway")
    assert game.noted == ["changed"]
    assert (game.row.due_at, game.row.target, game.row.order) == (None, None, None)
    game.shows("c2m5_concert")
    game.passes(600)
    game.tells("finale_win")
    game.passes(20)
    assert game.changes == ["c2m1_highway", "c5m1_waterfront"]


def test_the_rotation_of_the_blueprint_holds_and_that_of_the_server_replaces_it(cast, server):
    rotate(server.blueprint, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    assert game.said == ["Next: Dark Carnival in 20 s."]
    actions.cancel(server=server, by=cast.owner)
    rotate(server, cast.owner, is_on=False)
    game.passes(600)
    game.tells("finale_win")
    assert (game.row.due_at, game.changes) == (None, [])


def test_the_queue_wins_once(cast, server):
    rotate(server, cast.owner)
    actions.set_queue(server=server, codes=["map:c8m5_rooftop"], by=cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.passes(20)
    assert (game.changes, game.row.queue) == (["c8m5_rooftop"], [])
    game.answers()
    game.shows("c8m5_rooftop")
    game.passes(600)
    game.tells("finale_win")
    game.passes(20)
    assert game.changes == ["c8m5_rooftop", "c2m1_highway"]


def test_nothing_is_announced_during_a_match_and_the_queue_stays(cast, server):
    actions.set_queue(server=server, codes=CAMPAIGNS[1:2], by=cast.owner)
    game = Game(server)
    match = make_match(server, started_at=NOW)
    game.tells("finale_win")
    game.passes(60)
    assert (game.said, game.changes, game.noted) == ([], [], ["match"])
    match.delete()
    game.passes(600)
    game.tells("finale_win")
    game.passes(20)
    assert game.changes == ["c2m1_highway"]


def test_a_change_that_a_match_overtakes_is_dropped_and_its_entry_stays_next(cast, server):
    actions.set_queue(server=server, codes=CAMPAIGNS[1:2], by=cast.owner)
    game = Game(server)
    game.tells("finale_win")
    make_match(server, started_at=NOW)
    game.passes(20)
    assert (game.changes, game.noted, len(game.row.queue)) == ([], ["match"], 1)
    # The same when the game has not carried out a first order.
    Match.objects.all().delete()
    game.passes(600)
    game.tells("finale_win")
    game.passes(20)
    game.answers("failed")
    assert game.row.queue == []
    game.passes(20)
    assert game.row.reason == MapState.Reason.AGAIN
    make_match(server, started_at=NOW)
    game.passes(20)
    assert (len(game.changes), game.noted, len(game.row.queue)) == (1, ["match", "match"], 1)


def test_a_campaign_of_the_queue_does_not_move_the_rotation_although_it_is_listed(cast, server):
    rotate(server, cast.owner)
    actions.set_queue(server=server, codes=CAMPAIGNS[2:], by=cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.passes(20)
    game.answers()
    game.shows("c5m1_waterfront")
    game.shows("c5m5_bridge")
    game.passes(600)
    game.tells("finale_win")
    game.passes(20)
    assert game.changes == ["c5m1_waterfront", "c2m1_highway"]


def test_a_queue_works_without_a_rotation(cast, server):
    actions.set_queue(server=server, codes=CAMPAIGNS[1:2], by=cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.passes(20)
    assert game.changes == ["c2m1_highway"]


@pytest.mark.parametrize(
    ("mode", "event", "ends"),
    [
        ("coop", "finale_win", True),
        ("realism", "finale_win", True),
        ("versus", "finale_win", False),
        ("versus", "versus_match_finished", True),
        ("scavenge", "scavenge_match_finished", True),
        ("coop", "round_end", False),
        ("survival", "finale_win", False),
        ("survival", "versus_match_finished", False),
    ],
)
def test_each_mode_has_an_end_of_its_own(cast, server, mode, event, ends):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells(event, mode=mode)
    assert (game.row.due_at is not None) is ends


def test_survival_ends_after_the_chosen_number_of_rounds(cast, server):
    rotate(server, cast.owner, ["map:c1m4_atrium", "map:c2m5_concert"], survival_rounds=2)
    game = Game(server)
    game.tells("round_end", mode="survival")
    assert game.row.due_at is None
    game.tells("round_end", mode="survival")
    game.passes(20)
    assert game.changes == ["c2m5_concert"]


def test_a_single_map_is_over_when_the_game_goes_on_by_itself(cast, server):
    rotate(server, cast.owner, ["map:c1m1_hotel", "map:c2m1_highway"])
    game = Game(server, "c1m1_hotel")
    game.shows("c1m2_streets")
    game.passes(20)
    assert game.changes == ["c2m1_highway"]


def test_within_a_campaign_the_game_goes_on_by_itself(cast, server):
    rotate(server, cast.owner)
    game = Game(server, "c1m1_hotel")
    game.shows("c1m2_streets")
    game.passes(60)
    assert (game.changes, game.said) == ([], [])


def test_a_finale_that_everybody_left_is_over_after_a_minute_unless_somebody_returns(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.shows("c1m4_atrium", players=0)
    game.passes(50)
    game.shows("c1m4_atrium", players=1)
    assert (game.row.due_at, game.changes) == (None, [])
    game.shows("c1m4_atrium", players=0)
    game.passes(60)
    assert (game.changes, game.said) == (["c2m1_highway"], [])


def test_an_empty_server_that_nobody_has_played_on_stays_where_it_is(cast, server):
    rotate(server, cast.owner)
    game = Game(server, players=0)
    game.passes(600)
    assert game.changes == []


def test_a_change_by_somebody_else_wins_and_the_announced_one_is_dropped(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.shows("c8m1_apartment")
    game.passes(60)
    assert (game.changes, game.noted) == ([], ["changed_meanwhile"])


def test_a_game_that_returns_to_the_first_map_after_the_finale_is_changed_all_the_same(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.shows("c1m1_hotel")
    game.passes(20)
    assert game.changes == ["c2m1_highway"]


def test_no_change_is_ordered_while_another_one_is_on_its_way(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.now += timedelta(seconds=18)
    Order.objects.create(server=server, kind="map", value="c8m1_apartment", created_at=game.now)
    game.passes(2)
    assert game.changes == ["c8m1_apartment"]


def test_a_restart_of_the_server_drops_what_was_announced(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    Server.objects.update(started_at=game.now + timedelta(seconds=5))
    game.passes(30)
    assert (game.changes, game.noted) == ([], ["restarted"])


def test_a_stopped_server_drops_what_was_announced(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    Server.objects.update(actual_state="stopped")
    game.passes(30)
    assert (game.row.due_at, game.noted) == (None, ["restarted"])


def test_a_game_that_does_not_answer_is_not_changed_until_it_does(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.now += timedelta(seconds=120)
    game.look()
    assert game.changes == []
    game.now += timedelta(seconds=600)
    game.look()
    assert game.noted == ["silent"]


def test_an_event_of_another_map_or_of_long_ago_has_no_effect(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win", on="c2m5_concert")
    GameEvent.objects.create(
        server=server, key="late", name="finale_win", map="c1m4_atrium", mode="coop", at=NOW - timedelta(minutes=5)
    )
    game.look()
    assert game.row.due_at is None
    assert not GameEvent.objects.filter(is_handled=False).exists()


def test_an_end_that_is_told_twice_is_one_end(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    for _number in range(3):
        game.tells("finale_win")
    game.passes(20)
    game.tells("finale_win")
    game.passes(60)
    assert (len(game.said), game.changes) == (1, ["c2m1_highway"])


def test_of_two_workers_that_look_at_the_same_moment_one_acts(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.now += timedelta(seconds=20)
    Snapshot.objects.update(last_seen_at=game.now)
    state = follow.live.of(server, now=game.now)
    looks = [follow.Look(game.row, state, Rotation.objects.get(), [], game.now) for _worker in range(2)]
    assert looks[0].change()
    with pytest.raises(follow.Raced):
        looks[1].change()
    assert game.changes == ["c2m1_highway"]


def test_a_change_that_the_game_did_not_make_is_ordered_again_and_then_given_up(cast, server):
    rotate(server, cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.passes(20)
    for _attempt in range(4):
        game.answers("uncertain")
        game.passes(25)
        game.passes(20)
    assert game.changes == ["c2m1_highway"] * 3
    assert (game.noted[0], game.row.target) == ("failed", None)


def test_what_the_running_game_does_not_have_is_skipped_and_said(cast, server):
    overlay = make_overlay(is_inspected=True)
    BlueprintOverlay.objects.create(blueprint=server.blueprint, overlay=overlay, position=0)
    make_run(server, server.started_at)
    maps = [{"map": f"yama_{number}", "title": f"Yama {number}", "campaign": "Yama", "modes": []} for number in "12"]
    addon = OverlayAddon.objects.create(overlay=overlay, path="yama.vpk", size=1, modified_us=1, chapters=maps)
    rotate(server, cast.owner, ["campaign:c1m1_hotel", "campaign:yama_1", "campaign:c2m1_highway"])
    game = Game(server)
    game.tells("finale_win")
    game.passes(20)
    assert (game.changes, game.noted) == (["c2m1_highway"], ["skipped_restart"])
    game.answers()
    game.shows("c2m5_concert")
    addon.delete()
    actions.set_queue(server=server, codes=["campaign:c5m1_waterfront"], by=cast.owner)
    rows = MapState.objects.filter(server=server)
    rows.update(queue=[{"kind": "campaign", "map": "yama_1", "title": "Yama"}, *rows.get().queue])
    game.passes(600)
    game.tells("finale_win")
    game.passes(20)
    assert (game.changes[-1], game.noted[0]) == ("c5m1_waterfront", "skipped_gone")


def test_what_needs_a_restart_stays_in_the_queue(cast, server):
    overlay = make_overlay(is_inspected=True)
    BlueprintOverlay.objects.create(blueprint=server.blueprint, overlay=overlay, position=0)
    make_run(server, server.started_at)
    maps = [{"map": "yama_1", "title": "", "campaign": "Yama", "modes": []}]
    OverlayAddon.objects.create(overlay=overlay, path="yama.vpk", size=1, modified_us=1, chapters=maps)
    actions.set_queue(server=server, codes=["campaign:yama_1", *CAMPAIGNS[1:]], by=cast.owner)
    game = Game(server)
    game.tells("finale_win")
    game.passes(20)
    assert game.changes == ["c2m1_highway"]
    assert [entry.map for entry in game.row.queued] == ["yama_1", "c5m1_waterfront"]


def test_after_a_restart_an_added_campaign_is_played(cast, server):
    overlay = make_overlay(is_inspected=True)
    BlueprintOverlay.objects.create(blueprint=server.blueprint, overlay=overlay, position=0)
    maps = [{"map": "yama_1", "title": "", "campaign": "Yama", "modes": []}]
    OverlayAddon.objects.create(overlay=overlay, path="yama.vpk", size=1, modified_us=1, chapters=maps)
    make_run(server, server.started_at)
    assert GameRun.objects.get().content["maps"] == ["yama_1"]
    rotate(server, cast.owner, ["campaign:yama_1"])
    game = Game(server)
    game.tells("finale_win")
    game.passes(20)
    assert game.changes == ["yama_1"]


def test_a_rotation_that_does_not_repeat_ends_and_says_so(cast, server):
    rotate(server, cast.owner, CAMPAIGNS[:1], repeats=False)
    game = Game(server)
    game.tells("finale_win")
    game.passes(60)
    assert (game.changes, game.noted) == ([], ["over"])


def test_a_shuffled_rotation_plays_each_once_in_a_round(cast, server):
    rotate(server, cast.owner, [f"campaign:c{number}m1_{name}" for number, name in STOCK], sequence="shuffled")
    game = Game(server)
    played = []
    for _campaign in range(2 * len(STOCK)):
        game.passes(600)
        game.tells("finale_win")
        game.passes(20)
        game.answers()
        played.append(game.changes[-1])
        game.shows(played[-1])
    first, second = played[: len(STOCK)], played[len(STOCK) :]
    assert len({*first}) == len({*second}) == len(STOCK)
    assert first[-1] != second[0]


STOCK = [(2, "highway"), (3, "plankcountry"), (5, "waterfront"), (6, "riverbank"), (7, "docks")]


def test_cancelling_leaves_the_game_alone_and_keeps_the_queue(cast, server):
    actions.set_queue(server=server, codes=CAMPAIGNS[1:2], by=cast.owner)
    game = Game(server)
    game.tells("finale_win")
    actions.cancel(server=server, by=cast.owner)
    game.passes(60)
    game.tells("finale_win")
    game.passes(60)
    assert (game.changes, game.noted, len(game.row.queue)) == ([], ["cancelled"], 1)
    with pytest.raises(Refused, match="No change"):
        actions.cancel(server=server, by=cast.owner)


def test_a_change_now_is_of_the_person_and_refused_while_one_is_on_its_way(cast, server):
    rotate(server, cast.owner)
    game = Game(server, "c1m2_streets")
    Server.objects.filter(pk=server.pk).update(started_at=timezone.now() - timedelta(hours=1))
    make_snapshot(server, NOW, timezone.now() + timedelta(hours=1), map="c1m2_streets", players=1)
    entry = actions.change_now(server=server, by=cast.owner)
    assert entry.map == "c2m1_highway"
    assert Order.objects.get(kind="map").user == cast.owner
    with pytest.raises(Refused, match="being changed"):
        actions.change_now(server=server, by=cast.owner)
    assert game.changes == ["c2m1_highway"]


def test_without_anything_to_change_to_a_change_now_says_what_to_do(cast, server):
    make_snapshot(server, NOW, timezone.now() + timedelta(hours=1), map="c1m2_streets", players=1)
    with pytest.raises(Refused, match="Add a campaign"):
        actions.change_now(server=server, by=cast.owner)


def test_servers_without_rotation_and_queue_are_not_looked_at(server, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert tasks.follow_all(NOW) == 0
