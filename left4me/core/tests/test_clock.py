"""Steps of the clock are told from time that passes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine

from left4me.core import clock

NOW = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)


def test_the_time_since_boot_is_that_of_the_machine():
    before = float(Path("/proc/uptime").read_text().split()[0])
    assert before - 1 <= clock.since_boot() <= before + 60


@pytest.mark.parametrize(
    ("shift", "step"), [(-600, -600), (3600, 3600), (-2, -2), (2, 2), (1.5, 0), (-1.5, 0), (0, 0)]
)
def test_a_watch_tells_a_step_from_time_that_passes_and_tells_it_once(monkeypatch, shift, step):
    since_boot = [1000.0]
    monkeypatch.setattr(clock, "since_boot", lambda: since_boot[0])
    with time_machine.travel(NOW, tick=False) as travel:
        watch = clock.Watch()
        assert watch.step() == 0
        travel.shift(500)
        since_boot[0] += 500
        assert watch.step() == 0
        travel.shift(shift)
        assert (watch.step(), watch.step()) == (step, 0)


def test_a_clock_that_nobody_sets_makes_no_step():
    watch = clock.Watch()
    time.sleep(0.01)
    assert watch.step() == 0


@pytest.mark.parametrize(
    ("step", "words"), [(-600.4, "set back by 600 s"), (0.6, "set forward by 1 s"), (3600, "set forward by 3600 s")]
)
def test_a_step_is_said_in_words(step: float, words: str):
    assert clock.in_words(step) == words
