from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Model
from django.db.models.signals import post_init
from hypothesis import given
from hypothesis import strategies as st

from livestate import campaigns, chart, history
from livestate.history import Seen, Span, steps
from livestate.tests.factories import make_session, make_snapshot
from overlays.models import Overlay, OverlayWorkshopItem
from servers.simulated.srcds.campaigns import CAMPAIGNS
from servers.tests.factories import make_blueprint, make_server
from workshop.models import WorkshopItem

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def seen(start: float, end: float, players: int, *, span: float) -> Seen:
    """What a snapshot gives between two hours, of a span of so many hours until NOW."""
    hour = 3_600_000
    return max(int((span + start) * hour), 0), min(int((span + end) * hour), int(span * hour)), players, "c1m1_hotel"


@contextlib.contextmanager
def read_rows(names: list[str]) -> Iterator[None]:
    """Note the model of each row that is made meanwhile."""

    def note(sender: type[Model], **_kwargs: object) -> None:
        names.append(sender.__name__)

    post_init.connect(note)
    try:
        yield
    finally:
        post_init.disconnect(note)


def test_steps_hold_the_most_the_mean_and_what_was_not_seen():
    found = steps([seen(-4, -2.5, 2, span=4), seen(-2.5, -2, 6, span=4)], start=at(-4), end=at(0), count=4)
    assert [(step.most, step.mean) for step in found] == [(2, 2.0), (6, 4.0), (0, 0.0), (0, 0.0)]
    assert [bool(step.seen) for step in found] == [True, True, False, False]


def test_a_snapshot_seen_only_once_still_shows():
    (step,) = steps([seen(-1, -1, 3, span=2)], start=at(-2), end=at(0), count=1)
    assert (step.most, step.mean) == (3, 3.0)


rows = st.lists(st.tuples(st.floats(-30, 1), st.floats(0, 20), st.integers(0, 32)), max_size=30)


@given(rows, st.integers(1, 50))
def test_steps_never_fail_nor_exceed_what_was_there(found, count):
    inside = [
        seen(start, start + length, players, span=24)
        for start, length, players in found
        if start < 0 and start + length >= -24
    ]
    result = steps(inside, start=at(-24), end=NOW, count=count)
    assert len(result) == count
    highest = max((players for _since, _until, players, _map in inside), default=0)
    assert max(step.most for step in result) == highest
    assert all(-1e-6 <= step.mean <= step.most + 1e-6 for step in result)


@pytest.mark.parametrize("span", list(Span))
def test_a_chart_has_finite_numbers_for_every_span(span):
    start = NOW - span.length
    hours = span.length.total_seconds() / 3600
    rows = [seen(-20, -10, 5, span=hours), seen(-5, -1, 0, span=hours)]
    found = steps(rows, start=start, end=NOW, count=span.steps)
    drawn = chart.of(history.History(span, start, NOW, found, found, [], []))
    assert drawn.line.startswith("M")
    assert drawn.gaps
    assert 3 <= len(drawn.x_ticks) <= 8
    assert "nan" not in drawn.line + drawn.area


@pytest.mark.django_db
def test_time_counts_only_inside_the_span(cast):
    server = make_server(cast.owner)
    make_session(server, 101, at(-30), at(-23))
    make_session(server, 202, at(-3), at(-1))
    make_session(server, 101, at(-0.5))
    make_snapshot(server, at(-30), at(-23), players=1, map="c1m1_hotel")
    found = history.of(server, span=Span.DAY, now=NOW)
    assert [(regular.visits, regular.time) for regular in found.regulars] == [
        (1, timedelta(hours=2)),
        (2, timedelta(hours=1.5)),
    ]
    assert [(each.map, each.played) for each in found.maps] == [("c1m1_hotel", timedelta(hours=1))]


@pytest.mark.django_db
def test_a_row_of_the_table_sums_up_steps_of_the_chart(cast):
    server = make_server(cast.owner)
    make_snapshot(server, at(-1.75), at(-1.5), players=2)
    make_snapshot(server, at(-1.5), at(-1), players=5)
    found = history.of(server, span=Span.DAY, now=NOW)
    assert [(row.start, row.most, row.seen) for row in found.table if row.seen] == [
        (at(-2), 5, timedelta(minutes=45)),
    ]
    assert found.table[-2].mean == pytest.approx(4.0)


@pytest.mark.django_db
def test_the_history_of_a_month_reads_no_rows_of_the_server_but_those_of_its_regulars(cast, django_assert_num_queries):
    server = make_server(cast.owner)
    for hours in range(50):
        make_snapshot(server, at(-hours - 1), at(-hours), players=hours % 8)
        make_session(server, 1000 + hours, at(-hours - 1), at(-hours))
    make_session(server, 1000, at(-60), at(-40))
    read = []
    with (
        read_rows(read),
        django_assert_num_queries(4),
    ):
        found = history.of(server, span=Span.MONTH, now=NOW)
    assert [(each.player.name, each.visits) for each in found.regulars][:1] == [("player 1000", 2)]
    assert len(found.regulars) == history.MOST_PLAYERS
    assert read == ["PlayerSession"] * history.MOST_PLAYERS


def test_the_stock_campaigns_are_those_that_the_simulated_game_plays():
    ours = [(chapter.map, chapter.title, chapter.campaign) for chapter in campaigns.stock().values()]
    theirs = [(name, title, campaign.title) for campaign in CAMPAIGNS for name, title in campaign.chapters]
    assert ours == theirs


@pytest.mark.django_db
def test_the_maps_of_workshop_items_are_known_on_the_servers_that_use_them(cast):
    overlay = Overlay.objects.create(name="maps", kind="workshop", owner=cast.owner, path="1")
    item = WorkshopItem.objects.create(
        steam_id=1, title="City", chapters=[{"map": "city_1", "title": "Streets", "campaign": "City 17", "modes": []}]
    )
    broken = WorkshopItem.objects.create(steam_id=2, is_valid=False, chapters=[{"map": "broken_1"}])
    for each in (item, broken):
        OverlayWorkshopItem.objects.create(overlay=overlay, item=each)
    with_it = make_server(cast.owner, blueprint=make_blueprint(cast.owner, overlays=[overlay]))
    without = make_server(cast.owner)
    titles = campaigns.MapTitles([with_it, without])
    assert str(titles.chapter(with_it.pk, "city_1")) == "City 17: Streets"
    assert titles.chapter(without.pk, "city_1") is None
    assert titles.chapter(with_it.pk, "broken_1") is None
    assert next(iter(campaigns.playable(with_it))) == "city_1"
