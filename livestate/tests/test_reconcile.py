from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from livestate import reconcile
from livestate.reconcile import Known, SnapshotState, Stay
from livestate.tests.answers import Person, status

NOW = datetime(2026, 3, 1, 20, 0, 0, tzinfo=UTC)
GAP = timedelta(seconds=60)
POLL = timedelta(seconds=5)
ZOEY, BILL = Person(101, seconds=600), Person(202, seconds=60)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def known(*people: Person, seen: float = 5, **details: object) -> Known:
    """The rows after a poll `seen` seconds ago that found these people."""
    return Known(
        snapshot_id=1,
        snapshot=reconcile.snapshot_state(status(people, **details)),
        seen_at=ago(seen),
        stays={
            person.steam_id_64: Stay(number, ago(person.seconds), None, person.ping, person.ping)
            for number, person in enumerate(people, start=1)
        },
    )


def changes(before: Known, now_on: list[Person], **details: object) -> reconcile.Changes:
    earlier = details.pop("earlier", {})
    return reconcile.changes(before, status(now_on, **details), NOW, earlier=earlier, gap=GAP)


def test_the_same_answer_again_changes_nothing():
    assert changes(known(ZOEY, BILL), [ZOEY, BILL]) == reconcile.Changes()


def test_the_first_answer_makes_a_row_and_opens_sessions_from_when_they_connected():
    result = changes(Known(), [ZOEY], bots=3)
    assert result.snapshot == SnapshotState(players=1, max_players=8, bots=3, map="c1m1_hotel", hibernating=False)
    assert [(arrival.steam_id_64, arrival.joined_at) for arrival in result.opened] == [(ZOEY.steam_id_64, ago(600))]


@pytest.mark.parametrize("change", [{"map_name": "c1m2_streets"}, {"most": 4}, {"bots": 1}, {"hibernating": True}])
def test_each_thing_that_a_row_shows_begins_a_new_row_when_it_changes(change):
    assert changes(known(ZOEY), [ZOEY], **change).snapshot is not None


def test_a_silence_begins_a_new_row_but_not_a_new_stay():
    result = changes(known(ZOEY, seen=61), [ZOEY])
    assert result.snapshot is not None
    assert (result.opened, result.closed) == ([], [])


def test_who_is_gone_left_when_last_seen():
    result = changes(known(ZOEY, BILL, seen=5), [ZOEY])
    ((account, stay),) = result.closed
    assert (account, stay.left_at) == (BILL.steam_id_64, ago(5))


def test_who_left_and_came_back_between_two_polls_has_two_stays():
    result = changes(known(ZOEY, seen=5), [Person(101, seconds=2)])
    assert [stay.left_at for _, stay in result.closed] == [ago(5)]
    assert [arrival.joined_at for arrival in result.opened] == [ago(2)]
    assert result.snapshot is None


@pytest.mark.parametrize("seconds", [598, 599, 600, 601, 602, 570])
def test_a_clock_that_is_a_little_off_or_stalled_for_a_while_makes_no_new_stay(seconds):
    result = changes(known(ZOEY), [Person(101, seconds=seconds)])
    assert (result.opened, result.closed) == ([], [])


def test_a_stay_that_was_closed_during_a_silence_goes_on_where_it_was():
    closed = Stay(7, ago(600), ago(90), 40, 40)
    before = known(seen=90)
    result = changes(before, [ZOEY], earlier={ZOEY.steam_id_64: closed})
    assert result.reopened == [(ZOEY.steam_id_64, closed)]
    assert closed.left_at is None
    assert result.opened == []


def test_a_new_visit_after_a_closed_stay_is_a_new_stay():
    closed = Stay(7, ago(6_000), ago(900), 40, 40)
    result = changes(known(), [ZOEY], earlier={ZOEY.steam_id_64: closed})
    assert result.reopened == []
    assert [arrival.joined_at for arrival in result.opened] == [ago(600)]


def test_stays_of_one_account_never_overlap():
    closed = Stay(7, ago(6_000), ago(1), 40, 40)
    result = changes(known(), [Person(101, seconds=1)], earlier={ZOEY.steam_id_64: closed})
    assert [arrival.joined_at for arrival in result.opened] == [ago(1)]


@pytest.mark.parametrize(("ping", "expected"), [(40, []), (20, [(20, 40)]), (90, [(40, 90)])])
def test_the_ping_range_is_written_only_when_it_grows(ping, expected):
    result = changes(known(ZOEY), [Person(101, seconds=605, ping=ping)])
    assert [(stay.min_ping, stay.max_ping) for stay in result.pinged] == expected


def test_the_ping_of_a_loading_player_does_not_count():
    arriving = Person(101, seconds=3, ping=0, state="spawning")
    assert [arrival.ping for arrival in changes(Known(), [arriving]).opened] == [None]
    assert changes(known(ZOEY), [Person(101, seconds=605, ping=0, state="spawning")]).pinged == []


def test_an_account_listed_twice_counts_as_its_longer_stay():
    ghost, back = Person(101, seconds=605), Person(101, seconds=1)
    result = changes(known(ZOEY, seen=5), [ghost, back])
    assert (result.opened, result.closed) == ([], [])


def test_who_has_no_account_yet_is_counted_but_has_no_session():
    result = changes(Known(), [Person(0)])
    assert result.snapshot is not None
    assert result.snapshot.players == 1
    assert result.opened == []


def test_hostile_names_fit_into_a_row():
    (arrival,) = changes(Known(), [Person(101, name="x\0" * 400)]).opened
    assert "\0" not in arrival.name
    assert len(arrival.name) == reconcile.LONGEST_NAME
