"""What benches measure is kept as figures, beside what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import figures
from bench.figures import Figure

PAGE = Figure("pages", "server list, p50", 27.5, "ms", aim="<= 30")
COUNT = Figure("pages", "server list, errors", 0, "")
FLOOR = Figure("pages", "server list, p50", 9.1, "ms", who="minimal template")
MISSING = Figure("workshop", "20 files of 50 MB", None, "MB/s", who="aria2c", failure="aria2c is not installed")


def test_figures_are_appended_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    kept = tmp_path / "figures.jsonl"
    monkeypatch.setenv(figures.VARIABLE, str(kept))
    figures.record("server list    27.5", PAGE, COUNT, FLOOR)
    figures.record(None, MISSING)
    assert figures.read(kept) == [PAGE, COUNT, FLOOR, MISSING]
    assert capsys.readouterr().out == "server list    27.5\n"


def test_a_line_is_printed_where_nobody_keeps_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(figures.VARIABLE, raising=False)
    figures.record("server list    27.5", PAGE)
    assert capsys.readouterr().out == "server list    27.5\n"


def test_an_aim_is_compared_with_the_value():
    assert PAGE.is_reached
    assert FLOOR.is_reached is None
    assert not figures.is_within(250, "< 250")
    assert figures.is_within(70, ">= 70")


def test_what_could_not_be_measured_reaches_no_aim():
    assert not figures.is_within(None, ">= 0")


@pytest.mark.parametrize("aim", ["6", "about 6", "<= six"])
def test_an_aim_that_cannot_be_compared_is_refused(aim: str):
    with pytest.raises(ValueError, match=r"aim|convert"):
        Figure("pages", "server list, p50", 27.5, "ms", aim=aim)


def test_a_figure_has_either_a_value_or_a_failure():
    with pytest.raises(ValueError, match="either"):
        Figure("pages", "server list, p50", None, "ms")
