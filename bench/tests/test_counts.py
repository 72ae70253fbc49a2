"""bench/all --quick fails where something costs more than its limit. Wake-ups are counted by .ci/run, alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.comparison import counts
from bench.comparison.plan import Bench

_FORWARD = "from bench import figures; figures.record(None, figures.Figure('one', 'work', {}, 'calls'))"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pages-calls", "start-modules"])
def test_nothing_costs_more_than_its_limit(name: str, capsys: pytest.CaptureFixture[str]):
    assert counts.main([name]) == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.browser
def test_a_first_page_costs_no_more_than_its_limit(capsys: pytest.CaptureFixture[str]):
    assert counts.main(["start-first-page"]) == 0, capsys.readouterr().out


@pytest.fixture
def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    limits = tmp_path / "limits.toml"
    limits.write_text('limits = [{ by = "one", bench = "one", work = "work", most = 10 }]')
    monkeypatch.setattr(counts, "LIMITS", limits)
    return monkeypatch


@pytest.mark.parametrize(("code", "said"), [(_FORWARD.format(11), "BEYOND"), ("pass", "BEYOND"), ("1 / 0", "FAILED")])
def test_more_than_the_limit_nothing_and_a_failure_are_refused(
    limited: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, said: str
):
    limited.setattr(counts, "PLAN", [Bench("one", (sys.executable, "-c", code))])
    assert counts.main([]) == 1
    assert said in capsys.readouterr().out


def test_what_is_within_its_limit_passes(limited: pytest.MonkeyPatch):
    limited.setattr(counts, "PLAN", [Bench("one", (sys.executable, "-c", _FORWARD.format(10)))])
    assert counts.main([]) == 0
