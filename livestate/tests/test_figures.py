"""Figures of servers and hosts: their encoding, their blocks, their bounds, and what charts read of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livestate.figures import condensation, series
from livestate.figures.collector import ROWS_AT_ONCE, Collector
from livestate.figures.columns import BYTES_PER_STEP, HIGHEST, Encoder, Garbled, decode, encode
from livestate.figures.series import Range
from livestate.models import FigureBlock, HostFigures, ServerFigures
from livestate.tests.factories import record_figures
from servers.models import Server
from servers.tests.factories import make_host, make_server

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = timedelta(seconds=FigureBlock.FINE)
MIB = 1 << 20

columns = st.lists(st.one_of(st.none(), st.integers(0, HIGHEST), st.sampled_from([0, 7, HIGHEST])), max_size=400)


# --- encoding ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(columns)
def test_a_column_is_decoded_to_what_was_encoded(values):
    assert decode(encode(values)) == values


@settings(deadline=None)
@given(columns)
def test_no_step_takes_more_bytes_than_the_bound(values):
    assert len(encode(values)) <= BYTES_PER_STEP * len(values)


@settings(deadline=None)
@given(columns, columns)
def test_an_encoder_continues_what_was_decoded(before, after):
    encoder = Encoder.of(decode(encode(before)))
    for value in after:
        encoder.add(value)
    assert encoder.data == encode(before + after)


def test_a_value_that_stays_takes_a_few_bytes_however_long():
    assert len(encode([31] * 360)) <= 5


def test_a_number_out_of_range_is_limited():
    assert decode(encode([-5, HIGHEST + 1])) == [0, HIGHEST]


@pytest.mark.parametrize("data", [b"\x00", b"\x81", b"\x00\x85"])
def test_bytes_that_are_cut_off_are_refused(data):
    with pytest.raises(Garbled):
        decode(data)


# --- collection ----------------------------------------------------------------------------------------------


@pytest.fixture
def server(cast, db) -> Server:
    return make_server(cast.owner, actual_state=Server.State.RUNNING)


def collector() -> Collector:
    return Collector(ServerFigures, gap=timedelta(seconds=10))


def block(server: Server, **fields: object) -> ServerFigures:
    return ServerFigures.objects.get(server=server, **fields)


def test_samples_of_one_step_become_its_mean_and_of_players_the_most(server):
    figures = collector()
    figures.add({server.pk: {"cpu": 10.0, "players": 1}}, now=NOON)
    figures.add({server.pk: {"cpu": 20.0, "players": 3}}, now=NOON + timedelta(seconds=5))
    assert figures.write() == 0, "the step is not over"
    figures.add({server.pk: {"cpu": 90.0, "players": 0}}, now=NOON + STEP)
    assert figures.write() == 1
    row = block(server)
    assert (decode(row.cpu), decode(row.players)) == ([30], [30])  # in quanta of 0.5 % and of 0.1 players


def test_an_hour_is_one_row_and_the_next_one_begins_another(server):
    record_figures(server, NOON, [{"cpu": 10.0}] * 361)
    first, second = ServerFigures.objects.order_by("start")
    assert (first.start, second.start) == (NOON, NOON + timedelta(hours=1))
    assert (decode(first.cpu), decode(second.cpu)) == ([20] * 360, [20])


def test_another_process_continues_the_block(server):
    record_figures(server, NOON, [{"cpu": 10.0}] * 3)
    record_figures(server, NOON + 3 * STEP, [{"cpu": 20.0}] * 2)
    assert decode(block(server).cpu) == [20, 20, 20, 40, 40]


def test_one_missed_poll_is_bridged_and_a_longer_silence_is_a_gap(server):
    figures = collector()
    for step in (0, 2, 6):
        figures.add({server.pk: {"cpu": 10.0 + step}}, now=NOON + step * STEP)
    figures.add({}, now=NOON + 7 * STEP)
    figures.write()
    assert decode(block(server).cpu) == [20, 20, 24, None, None, None, 32]


def test_a_figure_that_is_not_measured_leaves_the_others_alone(server):
    record_figures(server, NOON, [{"cpu": 10.0, "ping": None}, {"cpu": 10.0, "ping": 0.02}])
    row = block(server)
    assert (decode(row.cpu), decode(row.ping)) == ([20, 20], [None, 40])


def test_a_server_that_stops_is_written_to_its_last_step(server):
    figures = collector()
    figures.add({server.pk: {"cpu": 10.0}}, now=NOON)
    figures.add({}, now=NOON + timedelta(seconds=5))
    figures.write()
    assert decode(block(server).cpu) == [20]


def test_a_server_that_was_deleted_is_left_out(server, cast):
    other = make_server(cast.owner, name="other")
    figures = collector()
    for step in range(2):
        figures.add({server.pk: {"cpu": 1.0}, other.pk: {"cpu": 1.0}}, now=NOON + step * STEP)
    Server.objects.filter(pk=other.pk).delete()
    figures.write()
    assert ServerFigures.objects.get().server == server


def test_a_clock_that_is_set_back_changes_no_step(server):
    figures = collector()
    for step in (5, 2, 6, 7):
        figures.add({server.pk: {"cpu": 10.0 * step}}, now=NOON + step * STEP)
    figures.write()
    assert decode(block(server).cpu) == [None] * 5 + [100, 120]


def test_many_servers_take_turns_to_be_written(cast, db):
    servers = [make_server(cast.owner, name=f"server {number}") for number in range(ROWS_AT_ONCE + 1)]
    figures = collector()
    for step in range(2):
        figures.add({server.pk: {"cpu": 1.0} for server in servers}, now=NOON + step * STEP)
    assert (figures.write(), figures.write(), figures.write()) == (ROWS_AT_ONCE, 1, 0)


# --- condensation --------------------------------------------------------------------------------------------


def test_fine_blocks_become_means_and_peaks_after_a_day(server):
    record_figures(server, NOON, [{"cpu": 10.0}] * 29 + [{"cpu": 100.0}] + [{"cpu": 50.0}] * 330)
    condensation.condense(now=NOON + timedelta(hours=25), days=30)
    assert block(server).step == FigureBlock.FINE, "its last step is not a day old"
    condensation.condense(now=NOON + timedelta(hours=25, seconds=1), days=30)
    row = block(server)
    assert (row.step, row.start) == (FigureBlock.COARSE, NOON.replace(hour=0))
    means, highest = condensation.halves(decode(row.cpu))
    noon = 12 * 12
    assert means[noon : noon + 12] == [26] + [100] * 11  # 13 %, rounded to half a percent
    assert highest[noon : noon + 12] == [200] + [100] * 11
    assert set(means[:noon] + means[noon + 12 :]) == {None}


def test_hours_of_one_day_share_a_row_and_running_it_again_changes_nothing(server):
    for hour in range(3):
        record_figures(server, NOON + timedelta(hours=hour), [{"cpu": 10.0 * hour}] * 360)
    for hours in (26, 27, 28, 28):
        condensation.condense(now=NOON + timedelta(hours=hours, minutes=1), days=30)
    means, _ = condensation.halves(decode(block(server).cpu))
    assert means[144:181] == [0] * 12 + [20] * 12 + [40] * 12 + [None]


def test_coarse_blocks_are_deleted_when_they_are_too_old(server):
    record_figures(server, NOON, [{"cpu": 10.0}] * 3)
    condensation.condense(now=NOON + timedelta(days=2), days=30)
    assert ServerFigures.objects.count() == 1
    condensation.condense(now=NOON + timedelta(days=32), days=30)
    assert not ServerFigures.objects.exists()


def worst(steps: int) -> list[int | None]:
    """A column that takes as many bytes as any column of so many steps."""
    return [0 if step % 2 else HIGHEST for step in range(steps)]


def test_a_server_takes_no_more_bytes_than_the_documents_say():
    """docs/livestate.md: 129,600 bytes for the last day, 8,640 for each earlier one."""
    figures = len(ServerFigures.FIGURES)
    fine = figures * 24 * len(encode(worst(360)))
    coarse = figures * len(encode(worst(2 * condensation.COARSE_STEPS)))
    assert fine <= figures * 24 * 360 * BYTES_PER_STEP == 129_600
    assert coarse <= figures * 2 * 288 * BYTES_PER_STEP == 8_640
    assert (fine, coarse) == (pytest.approx(129_600, rel=0.01), pytest.approx(8_640, rel=0.01)), "the worst case"


# --- reading -------------------------------------------------------------------------------------------------


def test_a_chart_begins_where_the_data_begins(server):
    record_figures(server, NOON, [{"cpu": 10.0, "players": 2}] * 6)
    read = series.of_server(server, range_=Range.HOUR, now=NOON + timedelta(minutes=2))
    assert read.start == NOON
    assert read.line("cpu").mean[:7] == [10.0] * 6 + [None]
    assert read.line("players").high[:6] == [2.0] * 6
    assert (read.line("cpu").now, read.line("cpu").highest, read.line("ping").now) == (10.0, 10.0, None)


def test_without_data_a_chart_shows_the_whole_range(server):
    read = series.of_server(server, range_=Range.DAY, now=NOON)
    assert read.end - read.start == timedelta(hours=24)
    assert not any(line.highest for line in read.lines)


@pytest.mark.parametrize("range_", list(Range))
def test_no_chart_has_more_steps_than_fit_on_a_screen(server, range_):
    read = series.of_server(server, range_=range_, now=NOON)
    assert read.steps <= 720
    assert all(len(line.mean) == len(line.high) == read.steps for line in read.lines)


def test_longer_ranges_keep_the_mean_and_the_peak(server):
    record_figures(server, NOON, [{"cpu": 10.0}, {"cpu": 30.0}] * 6)
    read = series.of_server(server, range_=Range.DAY, now=NOON + timedelta(minutes=10))
    assert (read.line("cpu").mean[0], read.line("cpu").high[0]) == (20.0, 30.0)


def test_a_month_joins_condensed_days_with_the_fine_present(server):
    record_figures(server, NOON, [{"memory": 100 * MIB}] * 360)
    record_figures(server, NOON + timedelta(days=3), [{"memory": 300 * MIB}] * 360)
    now = NOON + timedelta(days=3, hours=1)
    condensation.condense(now=now, days=30)
    assert {row.step for row in ServerFigures.objects.all()} == {FigureBlock.FINE, FigureBlock.COARSE}
    read = series.of_server(server, range_=Range.MONTH, now=now)
    assert read.start == NOON
    assert (read.line("memory").mean[0], read.line("memory").now) == (100 * MIB, 300 * MIB)
    assert (read.line("memory").average, read.line("memory").highest) == (200 * MIB, 300 * MIB)


def test_hosts_have_figures_of_their_own(db):
    host = make_host(name="other")
    record_figures(host, NOON, [{"cpu": 10.0, "received": 2048.0}] * 3)
    assert HostFigures.objects.get().host == host
    read = series.of_host(host, range_=Range.HOUR, now=NOON + timedelta(minutes=1))
    assert (read.line("cpu").now, read.line("received").now, read.line("sent").now) == (10.0, 2048.0, None)


def test_players_of_many_servers_are_read_in_one_query(cast, server, django_assert_num_queries):
    other = make_server(cast.owner, name="other")
    silent = make_server(cast.owner, name="silent")
    for each, players in ((server, 2), (other, 4)):
        record_figures(each, NOON, [{"players": players}] * 3)
    with django_assert_num_queries(1):
        lines = series.players([server, other, silent], range_=Range.DAY, now=NOON + timedelta(minutes=1))
    assert {pk: line.highest for pk, line in lines.items()} == {server.pk: 2.0, other.pk: 4.0}
