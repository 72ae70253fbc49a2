from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext

from left4me.alerts.events import NEWS
from left4me.alerts.models import Delivery
from left4me.alerts.tests.factories import make_channel
from left4me.core import rows
from livestate import news
from livestate.models import PlayerSession, Silence, Snapshot
from livestate.poller import Answered, Reason, Unanswered
from livestate.recorder import Recorder, WrittenByAnother
from livestate.status import parse_status
from livestate.tests.answers import Person, status, status_text
from livestate.tests.world import differences, make_world
from servers.tests.factories import make_blueprint, make_server

NOW = datetime(2026, 3, 1, 20, 0, 0, tzinfo=UTC)
GAP = timedelta(seconds=60)
ZOEY, BILL = Person(101, seconds=0), Person(202, seconds=0)

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(cast):
    return make_server(cast.owner)


@pytest.fixture
def recorder(server) -> Recorder:
    recorder = Recorder(host_id=server.host_id, gap=GAP)
    recorder.begin(now=NOW)
    return recorder


def people(*accounts: int) -> list[Person]:
    return [Person(account, seconds=0) for account in accounts]


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def seen(server, second: int, *people: Person, **details: object) -> Answered:
    since = [Person(person.account, second - person.seconds, person.ping, person.name) for person in people]
    return Answered(server.pk, status(since, **details))


def poll(recorder: Recorder, server, second: int, *people: Person, **details: object):
    """Poll at this second, with these people online; `seconds` of each is the time of joining."""
    return recorder.record([seen(server, second, *people, **details)], now=at(second))


def silent(server, reason: Reason = Reason.TIMED_OUT) -> Unanswered:
    return Unanswered(server.pk, reason, "The server did not respond in time.")


def test_an_unchanged_server_keeps_its_row_and_moves_the_time_last_seen(recorder, server):
    for second in (0, 5, 10):
        poll(recorder, server, second, ZOEY)
    snapshot = Snapshot.objects.get()
    assert (snapshot.started_at, snapshot.last_seen_at, snapshot.players) == (at(0), at(10), 1)
    assert PlayerSession.objects.get().left_at is None


def test_an_unchanged_sweep_costs_three_queries_however_many_servers(
    recorder, cast, server, django_assert_num_queries
):
    blueprint = make_blueprint(cast.owner)
    servers = [server, *(make_server(cast.owner, blueprint=blueprint) for _ in range(20))]
    recorder.record([seen(one, 0, ZOEY) for one in servers], now=at(0))
    # Besides the savepoint: lock the writer's row, and update the times.
    with django_assert_num_queries(4):
        recorder.record([seen(one, 5, ZOEY) for one in servers], now=at(5))
    assert Snapshot.objects.filter(last_seen_at=at(5)).count() == 21


JOINER = '#  9 8 "Loading" STEAM_ID_PENDING connecting'


def with_row(server, row: str, *people: Person) -> Answered:
    text = status_text(people).replace(f"{len(people)} humans", f"{len(people) + 1} humans")
    return Answered(server.pk, parse_status(text.replace("#end", f"{row}\n#end")))


def test_a_player_who_loads_is_counted_and_named_and_ends_nobodys_stay(recorder, server):
    poll(recorder, server, 0, ZOEY)
    recorder.record([with_row(server, JOINER, Person(101, seconds=5))], now=at(5))
    snapshot = Snapshot.objects.latest("pk")
    assert (snapshot.players, snapshot.connecting) == (2, [["Loading", None]])
    assert PlayerSession.objects.get().left_at is None
    recorder.record([with_row(server, JOINER, Person(101, seconds=10))], now=at(10))
    assert Snapshot.objects.count() == 2


@pytest.mark.parametrize("row", ['# 9 8 "Zoey" [U:1:101] connecting', '# 9 8 "Zoey" [U:1:101] ??? 1'])
def test_a_row_without_figures_neither_ends_nor_restarts_a_stay(recorder, server, row):
    poll(recorder, server, 0, ZOEY)
    for second in (5, 10):
        recorder.record([with_row(server, row)], now=at(second))
    assert PlayerSession.objects.get().left_at is None
    poll(recorder, server, 15)
    assert PlayerSession.objects.get().left_at == at(10)


def test_a_change_begins_a_row_and_the_old_one_ends_where_it_was_last_seen(recorder, server):
    poll(recorder, server, 0)
    poll(recorder, server, 5, map_name="c1m2_streets")
    assert list(Snapshot.objects.order_by("pk").values_list("map", "started_at", "last_seen_at")) == [
        ("c1m1_hotel", at(0), at(0)),
        ("c1m2_streets", at(5), at(5)),
    ]


def test_a_visit_is_one_session_with_its_join_filled_in_and_its_pings(recorder, server):
    for second, ping in ((10, 50), (15, 30), (20, 80)):
        poll(recorder, server, second, Person(101, seconds=2, ping=ping, name=f"name at {second}"))
    poll(recorder, server, 25)
    session = PlayerSession.objects.get()
    assert (session.joined_at, session.left_at) == (at(2), at(20))
    assert (session.min_ping, session.max_ping, session.name_at_join) == (30, 80, "name at 10")


def test_a_failed_poll_writes_its_count_and_time_and_nothing_else(recorder, server):
    poll(recorder, server, 0, ZOEY)
    for second in (5, 10):
        recorder.record([silent(server)], now=at(second))
    row = Silence.objects.get()
    assert (row.since, row.last_at, row.count, row.reason) == (at(5), at(10), 2, "timed_out")
    assert Snapshot.objects.get().last_seen_at == at(0)
    assert PlayerSession.objects.get().left_at is None
    poll(recorder, server, 15, ZOEY)
    assert not Silence.objects.exists()
    assert Snapshot.objects.get().last_seen_at == at(15)


def test_a_silent_servers_stays_are_closed_after_a_minute_when_they_were_last_seen(recorder, server):
    poll(recorder, server, 0, ZOEY)
    poll(recorder, server, 5, ZOEY)
    assert recorder.close_lost_stays(ended=set(), now=at(64)) == 0
    assert recorder.close_lost_stays(ended=set(), now=at(66)) == 1
    assert recorder.close_lost_stays(ended=set(), now=at(71)) == 0
    assert PlayerSession.objects.get().left_at == at(5)


def test_who_is_still_there_after_a_long_silence_has_one_stay(recorder, server):
    poll(recorder, server, 0, ZOEY)
    recorder.close_lost_stays(ended=set(), now=at(90))
    poll(recorder, server, 95, ZOEY)
    session = PlayerSession.objects.get()
    assert (session.joined_at, session.left_at) == (at(0), None)
    assert Snapshot.objects.count() == 2


def test_who_came_back_during_a_long_silence_has_two_stays(recorder, server):
    poll(recorder, server, 0, ZOEY)
    recorder.close_lost_stays(ended=set(), now=at(90))
    poll(recorder, server, 95, Person(101, seconds=70))
    assert list(PlayerSession.objects.order_by("pk").values_list("joined_at", "left_at")) == [
        (at(0), at(0)),
        (at(70), None),
    ]


def test_stays_on_a_server_that_ended_are_closed_at_once(recorder, server):
    poll(recorder, server, 0, ZOEY, BILL)
    recorder.record([silent(server)], now=at(5))
    assert recorder.close_lost_stays(ended={server.pk}, now=at(5)) == 2
    assert {session.left_at for session in PlayerSession.objects.all()} == {at(0)}
    assert not Silence.objects.exists()


def test_another_process_goes_on_where_the_last_one_was_killed(recorder, server):
    poll(recorder, server, 0, ZOEY)
    successor = Recorder(host_id=server.host_id, gap=GAP)
    successor.begin(now=at(5))
    poll(successor, server, 5, ZOEY, BILL)
    assert PlayerSession.objects.open().count() == 2
    with pytest.raises(WrittenByAnother):
        poll(recorder, server, 6, ZOEY)
    recorder.begin(now=at(10))
    poll(recorder, server, 10, BILL)
    assert PlayerSession.objects.open().count() == 1


def test_what_is_remembered_of_a_transaction_that_failed_is_forgotten(recorder, server, monkeypatch):
    poll(recorder, server, 0, ZOEY)

    def broken(*args: object, **kwargs: object) -> None:
        raise DatabaseError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("livestate.silences.Silences.end", broken)
        with pytest.raises(DatabaseError):
            poll(recorder, server, 5, BILL)
    assert Snapshot.objects.get().last_seen_at == at(0)
    poll(recorder, server, 10, BILL)
    assert list(PlayerSession.objects.order_by("pk").values_list("steam_id_64", "left_at")) == [
        (ZOEY.steam_id_64, at(0)),
        (BILL.steam_id_64, None),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_server_deleted_meanwhile_takes_nothing_from_the_others(cast):
    gone, stays = make_server(cast.owner), make_server(cast.owner)
    recorder = Recorder(host_id=stays.host_id, gap=GAP)
    recorder.begin(now=NOW)
    recorder.record([seen(gone, 0, ZOEY), seen(stays, 0, BILL)], now=at(0))
    key = gone.pk
    gone.delete()
    gone.pk = key
    recorder.record([seen(gone, 5, ZOEY), seen(stays, 5, BILL, ZOEY)], now=at(5))
    assert PlayerSession.objects.open().count() == 2


def test_rows_that_vanished_are_made_anew(recorder, server):
    poll(recorder, server, 0, ZOEY)
    Snapshot.objects.all().delete()
    poll(recorder, server, 5, ZOEY)
    assert Snapshot.objects.get().started_at == at(5)
    assert PlayerSession.objects.open().count() == 1


def simulate(server_ids: list[int], recorder: Callable[[], Recorder], *, polls: int, kill_every: int):
    world = make_world(server_ids, seed=7)
    current = recorder()
    for number in range(1, polls + 1):
        before, now = at(5 * (number - 1)), at(5 * number)
        for simulated in world:
            simulated.live(before, now)
        if number % kill_every == 0:
            current = recorder()
        current.begin(now=now)
        current.record(
            [
                Unanswered(simulated.server_id, Reason.TIMED_OUT, "silent")
                if simulated.silent_until
                else Answered(simulated.server_id, simulated.status(now))
                for simulated in world
            ],
            now=now,
        )
        current.close_lost_stays(ended=set(), now=now)
    return world


def test_the_history_equals_the_worlds_own_record_over_silences_and_kills(cast):
    blueprint = make_blueprint(cast.owner)
    servers = [make_server(cast.owner, blueprint=blueprint) for _ in range(4)]

    def recorder() -> Recorder:
        return Recorder(host_id=servers[0].host_id, gap=GAP)

    world = simulate([server.pk for server in servers], recorder, polls=1_500, kill_every=97)
    assert sum(len(simulated.visits) for simulated in world) > 40
    for simulated in world:
        rows = PlayerSession.objects.filter(server_id=simulated.server_id).order_by("joined_at")
        assert differences(simulated, list(rows)) == []


def test_a_poll_that_fails_is_written_to_the_log_once_per_reason_and_once_an_hour(recorder, server, caplog):
    reasons = [
        (0, "The server did not respond in time."),
        (10, "The server did not respond in time."),
        (20, "The server rejected the RCON password."),
        (3600, "The server rejected the RCON password."),
        (3621, "The server rejected the RCON password."),
    ]
    for second, reason in reasons:
        recorder.record([Unanswered(server.pk, Reason.TIMED_OUT, reason)], now=at(second))
    poll(recorder, server, 3630)
    recorder.record([silent(server)], now=at(3640))
    written = [record.message for record in caplog.records if "rcon query failed" in record.message]
    prefix = f"rcon query failed for server {server.pk}: The server"
    assert written == [
        f"{prefix} did not respond in time.",
        f"{prefix} rejected the RCON password.",
        f"{prefix} rejected the RCON password.",
        f"{prefix} did not respond in time.",
    ]


def test_what_was_recorded_while_the_clock_was_ahead_moves_to_the_present(recorder, server, monkeypatch):
    poll(recorder, server, 3600, ZOEY, BILL)
    poll(recorder, server, 3605, ZOEY)
    # A process that starts after the clock was set back, and one that has run all the time.
    for sweeper, step in ((Recorder(host_id=server.host_id, gap=GAP), 0.0), (recorder, -3600.0)):
        monkeypatch.setattr(sweeper._clock, "step", lambda step=step: step)
        sweeper.begin(now=at(10))
        poll(sweeper, server, 10, ZOEY, map_name="c2m1_highway")
        newest = Snapshot.objects.latest_of([server.pk]).get()
        assert (newest.last_seen_at, newest.map) == (at(10), "c2m1_highway")
        assert not PlayerSession.objects.filter(joined_at__gt=at(10)).exists()
        poll(sweeper, server, 3600, ZOEY)


def test_silence_does_not_grow_by_the_time_by_which_the_clock_was_set_forward(recorder, server, monkeypatch):
    recorder.record([silent(server)], now=at(0))
    monkeypatch.setattr(recorder._clock, "step", lambda: 3600.0)
    recorder.begin(now=at(3605))
    recorder.record([silent(server)], now=at(3605))
    assert Silence.objects.get().since == at(3605)


def test_channels_hear_who_came_and_left_and_that_the_server_is_full_or_empty(recorder, server):
    make_channel(server.owner, events=[*NEWS])
    poll(recorder, server, 0)
    poll(recorder, server, 5, *people(1, 2, 3), most=4)
    poll(recorder, server, 10, *people(1, 2, 3, 4), most=4)
    poll(recorder, server, 15, *people(1, 2, 3, 4), most=4)
    poll(recorder, server, 20, *people(1, 2), most=4)
    poll(recorder, server, 25, most=4)
    told = [(row.event, row.title) for row in Delivery.objects.order_by("pk")]
    assert [event for event, _title in told] == [
        "player_joined",
        "player_joined",
        "server_full",
        "player_left",
        "player_left",
        "server_empty",
    ]
    assert told[0][1].startswith("3 players joined")


def test_an_evening_that_nobody_wants_to_hear_of_costs_one_query_now_and_then(recorder, server, monkeypatch):
    make_channel(server.owner)

    def asked(*polls: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            for seconds in polls:
                poll(recorder, server, seconds, *people(1 + seconds % 2))
        return sum("alerts_" in query["sql"] for query in captured.captured_queries)

    assert asked(0, 5, 10, 15) == 1
    monkeypatch.setattr(news, "_ASKED_EVERY_SECONDS", 0.0)
    assert asked(20) == 1


def test_new_rows_are_inserted_without_an_instance_of_each(recorder, server):
    made: list[object] = []

    def note(sender: type, **_: object) -> None:
        made.append(sender)

    for model in (Snapshot, PlayerSession):
        post_init.connect(note, sender=model)
    try:
        poll(recorder, server, 0, *people(101, 202))
    finally:
        for model in (Snapshot, PlayerSession):
            post_init.disconnect(note, sender=model)

    assert made == []
    assert Snapshot.objects.count() == 1
    assert PlayerSession.objects.count() == 2


def test_rows_of_several_statements_keep_their_keys(recorder, server, monkeypatch):
    monkeypatch.setattr(rows, "_INSERTED_AT_ONCE", 2)
    poll(recorder, server, 0, *people(101, 202, 303, 404, 505))
    poll(recorder, server, 5, *people(101, 202, 303, 505))

    left = PlayerSession.objects.exclude(left_at=None)
    assert [session.steam_id_64 for session in left] == [Person(404, seconds=0).steam_id_64]
