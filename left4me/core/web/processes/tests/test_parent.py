"""What the parent of several processes decides: who gets a connection, who is stuck, when the next one starts."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from left4me.core.web.processes import channel, counts
from left4me.core.web.processes import parent as parents
from left4me.core.web.processes.channel import Closed, Report
from left4me.core.web.processes.counts import SharedCounts
from left4me.core.web.processes.parent import Parent, _Process


class End:
    """The parent's end of a channel: takes connections, and has these reports."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes, self.given, self.ordered = takes, [], 0
        self.arrived: list[Report | None] = []

    def give(self, connection: Any) -> bool:
        if self.takes:
            self.given.append(connection)
        return self.takes

    def order_end(self) -> bool:
        self.ordered += 1
        return self.ordered > 1

    def reports(self) -> Iterator[Report]:
        while self.arrived:
            report = self.arrived.pop(0)
            if report is None:
                raise Closed
            yield report

    def fileno(self) -> int:
        return -1

    def close(self) -> None: ...


class Connection:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def parent() -> Iterator[Parent]:
    made = Parent([], 3, forget=lambda number: None, silent_ticks=5, stuck_ticks=60)
    yield made
    made._selector.close()


def process(parent: Parent, number: int, *, open_: int = 0, **options: Any) -> _Process:
    """A process that serves, with so many open connections."""
    made = _Process(number, 1000 + number, End(**options), started_at=0.0)  # type: ignore[arg-type]
    made.given, made.report = open_, Report(open_, 0, is_leaving=False)
    parent._places[number].process = made
    return made


def test_the_process_with_the_fewest_open_connections_gets_the_next(parent):
    busy, free = process(parent, 0, open_=2), process(parent, 1, open_=1)
    chosen = [parent._give(Connection()) and parent._processes.index(parent._choose() or busy) for _ in range(3)]
    assert (len(busy.channel.given), len(free.channel.given)) == (1, 2)
    assert chosen[-1] is not None
    assert (busy.open, free.open) == (3, 3)
    busy.report = Report(3, 2, is_leaving=False)
    assert busy.open == 1
    assert parent._choose() is busy


def test_of_equals_the_one_that_has_waited_longest_gets_it(parent):
    first, second = process(parent, 0), process(parent, 1)
    for expected in (first, second):
        assert parent._choose() is expected
        assert parent._give(Connection())
    first.report = second.report = Report(1, 1, is_leaving=False)
    assert parent._choose() is first


def test_who_has_not_reported_leaves_or_is_silent_gets_none(parent):
    one = process(parent, 0)
    assert parent._choose() is one
    one.silent_ticks = 4
    assert parent._choose() is one
    one.silent_ticks = 5
    assert parent._choose() is None
    one.silent_ticks, one.report = 0, Report(0, 0, is_leaving=True)
    assert parent._choose() is None
    one.report = None
    assert parent._choose() is None
    assert not parent._give(Connection())


def test_a_connection_that_cannot_be_passed_on_is_not_counted(parent):
    full = process(parent, 0, takes=False)
    assert not parent._give(Connection())
    assert (full.given, len(full.waiting)) == (0, 0)


def test_a_report_closes_the_copies_of_what_was_taken(parent):
    one = process(parent, 0)
    connections = [Connection() for _ in range(3)]
    for connection in connections:
        parent._give(connection)
    one.silent_ticks = 3
    one.channel.arrived = [Report(1, 0, is_leaving=False), Report(2, 1, is_leaving=False)]
    parent._read_reports(one)
    assert [each.closed for each in connections] == [1, 1, 0]
    assert (one.silent_ticks, one.open, list(one.waiting)) == (0, 2, [connections[2]])


def test_what_a_process_that_leaves_has_not_taken_goes_to_others(parent):
    one = process(parent, 0)
    connection = Connection()
    parent._give(connection)
    one.channel.arrived = [Report(0, 0, is_leaving=True)]
    parent._read_reports(one)
    assert list(parent._held) == [connection] and not one.waiting
    other = process(parent, 1)
    parent._give(second := Connection())
    other.channel.arrived = [None]
    parent._read_reports(other)
    assert list(parent._held) == [connection, second]
    assert other.report is not None and other.report.is_leaving


def test_a_silent_process_is_asked_where_it_is_stuck_and_killed_a_second_later(parent, monkeypatch, caplog):
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(parents.os, "kill", lambda pid, number: sent.append((pid, number)))
    one = process(parent, 1)
    for _ in range(59):
        parent._look_for_stuck()
    assert sent == []
    parent._look_for_stuck()
    assert sent == [(1001, signal.SIGUSR2)]
    assert "Process 2 of the web (pid 1001) has not reported for 60 s" in caplog.text
    parent._look_for_stuck()
    assert sent[1:] == [(1001, signal.SIGKILL)]
    assert one.silent_ticks == 61


def test_processes_that_end_soon_are_started_after_growing_pauses(parent, monkeypatch, caplog):
    now = [1_000.0]
    monkeypatch.setattr(parents, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(parents, "figures", counts._Figures())
    place = parent._places[0]
    pauses = []
    for lived in (59.9, 1, 1, 1, 1, 1, 1, 60.0, 1, 1):
        ended = _Process(0, 7, End(), started_at=now[0] - lived)  # type: ignore[arg-type]
        parent._plan_next(place, ended, 9)
        pauses.append(place.due_at - now[0])
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 0, 0, 1]
    assert parents.figures.replacements == len(pauses)
    parent._plan_next(place, _Process(0, 7, End(), started_at=now[0]), 3 << 8)  # type: ignore[arg-type]
    assert "Process 1 of the web (pid 7) ended with signal 9. Another one starts in 0 s." in caplog.text
    assert "ended with status 3. Another one starts in 2 s." in caplog.text


def test_the_end_is_ordered_behind_what_is_held_and_enforced_after_its_time(parent, monkeypatch, caplog):
    now, sent = [1_000.0], []
    monkeypatch.setattr(parents, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(parents.os, "kill", lambda pid, number: sent.append(number))
    one = process(parent, 0)
    parent._begin_end(signal.SIGTERM, None)
    now[0] += 1
    parent._begin_end(signal.SIGTERM, None)
    assert parent._ends_at == 1_013.0, "the first signal counts"
    parent._held.append(Connection())  # type: ignore[arg-type]
    parent._order_end()
    assert one.channel.ordered == 0
    parent._held.clear()
    for _ in range(3):
        parent._order_end()
    assert (one.channel.ordered, one.was_told_to_end, sent) == (2, True, [])
    now[0] = 1_013.0
    parent._order_end()
    assert sent == [signal.SIGKILL]
    assert "did not end in time" in caplog.text


def test_a_turn_waits_for_what_comes_next(parent, monkeypatch):
    monkeypatch.setattr(parents, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    for number in range(3):
        process(parent, number)
    parent._tick_at = 1_000.7
    assert parent._pause() == pytest.approx(0.7)
    parent._places[1].process, parent._places[1].due_at = None, 1_000.2
    assert parent._pause() == pytest.approx(0.2)
    parent._places[1].due_at = 999.0
    assert parent._pause() == 0
    parent._held.append(Connection())  # type: ignore[arg-type]
    assert parent._pause() == 0.05
    parent._held.clear()
    parent._ends_at = 2_000.0
    assert parent._pause() == 0.05


class Listening:
    """Answers `accept` as it is told."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def accept(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, None


def test_connections_are_accepted_until_there_is_none_or_nobody_can_take_one(parent, monkeypatch, caplog):
    monkeypatch.setattr(parents, "time", SimpleNamespace(sleep=lambda seconds: None))
    one = process(parent, 0)
    parent._accept(Listening(Connection(), Connection(), BlockingIOError()))  # type: ignore[arg-type]
    assert len(one.channel.given) == 2
    parent._accept(Listening(ConnectionAbortedError(), Connection()))  # type: ignore[arg-type]
    parent._accept(Listening(OSError(24, "Too many open files"), Connection()))  # type: ignore[arg-type]
    assert len(one.channel.given) == 2
    assert "Could not accept a connection" in caplog.text
    one.channel.takes = False
    parent._accept(listening := Listening(Connection(), Connection()))  # type: ignore[arg-type]
    assert (len(parent._held), len(listening.answers)) == (1, 1), "the rest stays with the kernel"
    parent._accept(listening)  # type: ignore[arg-type]
    assert len(listening.answers) == 1
    parent._held.clear()
    parent._ends_at = 1.0
    parent._accept(listening)  # type: ignore[arg-type]
    assert len(listening.answers) == 1


def test_some_connections_are_accepted_at_once_and_then_others_have_their_turn(parent):
    process(parent, 0)
    listening = Listening(*(Connection() for _ in range(70)))
    parent._accept(listening)  # type: ignore[arg-type]
    assert len(listening.answers) == 70 - 64


def test_nothing_is_accepted_while_nobody_could_take_it():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        parent = Parent([listening], 1, forget=lambda number: None)
        watched = parent._selector.get_map()
        parent._accept_while_somebody_serves()
        assert not watched
        one = process(parent, 0)
        for _ in range(2):
            parent._accept_while_somebody_serves()
            assert len(watched) == 1
        parent._held.append(Connection())  # type: ignore[arg-type]
        parent._accept_while_somebody_serves()
        assert not watched
        parent._held.clear()
        parent._accept_while_somebody_serves()
        parent._ends_at = 1.0
        parent._accept_while_somebody_serves()
        assert not watched
        assert one.channel.given == []
        parent._selector.close()


# --- the channel ---


@pytest.fixture
def ends() -> Iterator[tuple[channel.ParentEnd, channel.ChildEnd]]:
    ours, theirs = channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_reports_arrive_in_order_and_the_end_of_a_process_is_noticed(ends):
    ours, theirs = ends
    sent = [Report(1, 0, is_leaving=False), Report(2**40, 2**40 - 1, is_leaving=True)]
    for report in sent:
        theirs.report(report)
    assert list(ours.reports()) == sent
    assert list(ours.reports()) == []
    theirs.close()
    with pytest.raises(Closed):
        list(ours.reports())
    assert not ours.order_end()


def test_connections_are_passed_on_until_the_order_to_end(ends):
    ours, theirs = ends
    one, other = socket.socketpair()
    with one, other:
        assert ours.give(one)
        (given,) = theirs.connections()
        assert given is not None
        with given:
            given.sendall(b"x")
            assert other.recv(1) == b"x"
        assert list(theirs.connections()) == []
        assert ours.order_end()
        with pytest.raises(Closed):
            list(theirs.connections())


def test_a_process_without_a_descriptor_for_a_connection_learns_that_there_was_one(ends, monkeypatch):
    ours, theirs = ends
    one, other = socket.socketpair()
    with one, other:
        ours.give(one)
        receive = socket.recv_fds

        def receive_nothing(*args: Any) -> Any:
            message, descriptors, flags, address = receive(*args)
            for descriptor in descriptors:
                socket.close(descriptor)
            return message, [], flags, address

        monkeypatch.setattr(channel.socket, "recv_fds", receive_nothing)
        assert list(theirs.connections()) == [None]


def test_a_parent_that_is_gone_ends_the_process(ends):
    ours, theirs = ends
    ours.close()
    with pytest.raises(Closed):
        list(theirs.connections())
    theirs.report(Report(0, 0, is_leaving=False))


def test_a_full_channel_takes_no_more_now(ends):
    ours, _theirs = ends
    one, other = socket.socketpair()
    with one, other:
        given = 0
        while ours.give(one):
            given += 1
            assert given < 100_000
        assert given > 0
        assert not ours.order_end()


# --- numbers in shared memory ---


def test_each_process_counts_in_its_row_and_all_read_the_sums():
    shared = SharedCounts(3, 2)
    shared.add(0, 0, 5)
    shared.add(1, 0, 7)
    shared.add(1, 1, 2)
    shared.add(2, 1, 4)
    shared.add(1, 0, -1)
    assert (shared.total(0), shared.total(1)) == (11, 6)
    shared.clear(1)
    assert (shared.total(0), shared.total(1)) == (5, 4)


def test_the_figures_of_the_web_are_those_of_its_processes():
    figures = counts._Figures()
    assert (figures.running, figures.replacements) == (1, 0)
    for _ in range(3):
        figures.started()
    figures.ended()
    figures.replaced()
    assert (figures.running, figures.replacements) == (2, 1)


@pytest.fixture(autouse=True)
def _logs(caplog) -> None:
    caplog.set_level(logging.INFO)


def test_the_first_report_of_a_process_says_what_it_has_taken_so_far(parent):
    for taken in (0, 1):
        one = process(parent, taken)
        one.report = None
        one.waiting.extend(connections := [Connection(), Connection()])
        one.channel.arrived = [Report(taken, 0, is_leaving=False)]
        parent._read_reports(one)
        assert [each.closed for each in connections] == [1] * taken + [0] * (2 - taken)
