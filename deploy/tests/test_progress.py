"""What long commands print while they work."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO

import pytest

from deploy.ops import progress
from deploy.ops.progress import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Gone(StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise OSError("the terminal is gone")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def test_a_log_gets_a_line_every_fifteen_seconds_and_one_for_each_phase(clock: Callable[[float], None]):
    out = StringIO()
    progress = Progress(out)
    progress.end_phase()
    progress.say("hello")
    progress.phase("packing", 10_000, before=1_000)
    for seconds, count in ((14.5, 2_000), (0.5, 2_000), (14.5, 500), (0.5, 500)):
        clock(seconds)
        progress.add(count)
    progress.phase("syncing")
    clock(1.25)
    progress.end_phase()
    progress.phase("counting")
    clock(15)
    progress.add(999)
    progress.end_phase()
    assert out.getvalue().splitlines() == [
        "hello",
        "packing: 4 kB, 50 %",
        "packing: 5 kB, 60 %",
        "packing: 5 kB (30.0 s)",
        "syncing (1.2 s)",
        "counting: 999 bytes",
        "counting: 999 bytes (15.0 s)",
    ]


def test_more_than_was_expected_is_all_of_it(clock: Callable[[float], None]):
    out = StringIO()
    progress = Progress(out)
    progress.phase("packing", 100)
    clock(15)
    progress.add(300)
    assert out.getvalue() == "packing: 300 bytes, 100 %\n"


def test_a_terminal_has_one_line_that_is_written_again(clock: Callable[[float], None]):
    out = Terminal()
    progress = Progress(out)
    progress.phase("packing", 10_000)
    clock(0.15)
    progress.add(1_000)
    clock(0.1)
    progress.add(1_000)
    progress.end_phase()
    progress.end_phase()
    assert out.getvalue() == "\rpacking\033[K\rpacking: 2 kB, 20 %\033[K\rpacking: 2 kB (0.2 s)\033[K\n"


def test_a_quiet_one_writes_nothing(clock: Callable[[float], None]):
    out = Terminal()
    progress = Progress(out, quiet=True)
    progress.say("hello")
    progress.phase("packing", 100)
    clock(60)
    progress.add(50)
    progress.end_phase()
    assert out.getvalue() == ""


def test_a_terminal_that_is_gone_is_left_alone():
    out = Gone()
    progress = Progress(out)
    progress.say("hello")
    progress.say("hello")
    assert out.tries == 1


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1_499_999, "1.5 MB"),
        (999_000, "999 kB"),
        (2_500_000_000, "2.5 GB"),
        (1_000_000_000_000, "1.0 TB"),
    ],
)
def test_sizes_have_the_unit_that_reads_best(count: int, shown: str):
    assert progress.readable_size(count) == shown
