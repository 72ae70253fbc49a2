"""bench/all: the table of aims, the page and its plots are made of figures, and a bench that fails hides nothing."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import all as bench_all
from bench.comparison import aims, execution, page, plan, results
from bench.comparison.aims import Aim
from bench.comparison.plan import Bench
from bench.comparison.results import Run
from bench.figures import Figure

SAMPLE = Path(__file__).with_name("sample.jsonl")
SOURCE = """
introduction = "What bench/all measured."
of_aims = "Ratios compare with a peer."
[[aims]]
bench = "pages"
work = "server list (50 of 500): CPU"
peer = "minimal template"
ratio = "<= 1.1"
[[aims]]
bench = "pages"
work = "dashboard: CPU"
aim = "<= 6"
reason = "Its queries were tried in parallel."
[[aims]]
bench = "fleet"
work = "memory beside each game (PSS)"
aim = "<= 4"
[benches.pages]
title = "Pages"
text = "The processor time of a page."
plots = [{ title = "Processor time of a page", works = ["*: CPU"] }]
[benches.workshop]
title = "Workshop downloads"
text = "Files from the same machine."
plots = [{ title = "Throughput", works = ["* files of * MB"] }]
[benches.growth]
title = "Growth"
text = "Exponents."
[benches.idle]
title = "The idle stack"
text = "It was not measured."
"""


@pytest.fixture
def run() -> Run:
    return results.read(SAMPLE)


@pytest.fixture
def made(run: Run) -> tuple[str, dict[str, str]]:
    return page.make(run, tomllib.loads(SOURCE))


def test_the_page_has_a_section_for_each_bench_that_has_figures(made: tuple[str, dict[str, str]]):
    assert re.findall(r"^#+ .*$", made[0], re.MULTILINE) == [
        "# Performance",
        "## Aims",
        "## Pages",
        "## Workshop downloads",
        "## Growth",
    ]


def test_an_aim_is_held_against_the_figure_or_its_ratio_to_a_peer(made: tuple[str, dict[str, str]]):
    text, _ = made
    assert (
        "| pages: server list (50 of 500): CPU | 10 ms | minimal template: 9.2 ms | 1.09 | ≤ 1.1 × minimal template"
        " | yes |"
    ) in text
    assert "| pages: dashboard: CPU | 11.5 ms |  |  | ≤ 6 ms | no |" in text
    assert "| growth: page jobs, SQLite | 0.3 exponent |  |  | ≤ 0.1 exponent | no |" in text
    assert "| growth: all others | 1 figures |  |  | their own, in the section of the bench | yes |" in text


def test_the_reason_of_a_missed_aim_is_on_the_page(made: tuple[str, dict[str, str]]):
    assert "- **pages: dashboard: CPU**: Its queries were tried in parallel." in made[0]


def test_failures_of_benches_and_of_peers_are_on_the_page(made: tuple[str, dict[str, str]]):
    text, _ = made
    assert "not measured: ended with status 1: ImportError" in text.split("memory beside each game")[1].split("\n")[0]
    assert "- `bench/fleet`: ended with status 1: ImportError: cannot import name 'procfs'" in text
    assert "| 8 files of 50 MB | aria2c | not installed: apt-get install aria2 |" in text


def test_medians_stand_beside_the_rounds_they_come_from(made: tuple[str, dict[str, str]]):
    assert "| dashboard: CPU | left4me | 11.5 ms | 3: 11 to 12 |" in made[0]


def test_plots_are_valid_show_every_bar_and_suit_light_and_dark(made: tuple[str, dict[str, str]]):
    text, images = made
    assert set(images) == set(re.findall(r"\(images/performance/([^)]+)\)", text))
    plot = ElementTree.fromstring(images["pages-processor-time-of-a-page.svg"])  # noqa: S314 -- the bench made it
    assert len(plot.findall("{http://www.w3.org/2000/svg}rect")) == 3
    assert all("prefers-color-scheme: dark" in image for image in images.values())


def test_the_same_figures_make_the_same_page(tmp_path: Path, run: Run, made: tuple[str, dict[str, str]]):
    run.write(tmp_path / "kept.jsonl")
    assert page.make(results.read(tmp_path / "kept.jsonl"), tomllib.loads(SOURCE)) == made


def test_the_page_is_what_its_figures_and_texts_make_of_it(tmp_path: Path):
    if not bench_all.KEPT.exists():
        pytest.skip("bench/all has not run yet")
    (tmp_path / "docs").mkdir()
    page.write(results.read(bench_all.KEPT), tmp_path / "docs" / "performance.md")
    for made in (tmp_path / "docs").rglob("*.*"):
        kept = page.PAGE.parent / made.relative_to(tmp_path / "docs")
        assert kept.read_text() == made.read_text(), f"run: bench/all --from {bench_all.KEPT.name}"


def test_plots_that_the_page_no_longer_has_are_deleted(tmp_path: Path, run: Run):
    old = tmp_path / page.IMAGES / "gone.svg"
    old.parent.mkdir(parents=True)
    old.write_text("<svg/>")
    page.write(run, tmp_path / "performance.md")
    assert not old.exists()


def test_a_bench_that_fails_stops_no_other_and_keeps_what_it_had_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def says(work: str, then: str = "") -> tuple[str, ...]:
        record = f"from bench import figures; figures.record('said', figures.Figure('one', '{work}', 1, 's'))"
        return sys.executable, "-c", f"{record}; {then}"

    benches = [
        Bench("broken", says("begun", "raise ValueError('broken')"), rounds=2),
        Bench("missing", ("bench/missing",), rounds=2),
        Bench("whole", says("done"), rounds=2),
    ]
    run = execution.execute(benches, tmp_path, most_rounds=2)
    assert [(each.work, each.values) for each in run.results] == [("begun", (1,)), ("done", (1, 1))]
    assert [each.reason for each in run.failures] == ["ended with status 1: ValueError: broken", "it does not exist"]
    assert "ValueError: broken" in capsys.readouterr().out


def test_rounds_of_one_figure_are_merged_by_their_median():
    taken = [Figure("poll", "sweep", seconds, "s") for seconds in (3.0, 1.0, 2.0)]
    (merged,) = results.merge(taken)
    assert merged.value == 2.0
    assert merged.values == (3.0, 1.0, 2.0)


def test_a_peer_that_failed_is_compared_with_nothing():
    run = Run(results=results.merge([
        Figure("workshop", "files", 100, "MB/s"),
        Figure("workshop", "files", None, "MB/s", who="curl", failure="not installed"),
    ]))  # fmt: skip
    (row,) = aims.rows(run, [Aim("workshop", "files", peer="curl", ratio=">= 0.5")])
    assert row.reached == "not compared: not installed"


def test_a_run_of_one_bench_replaces_only_its_own_figures(run: Run):
    newer = Run("2026-12-01", run.machine, run.noises, results.merge([Figure("pages", "dashboard: CPU", 5, "ms")]))
    updated = results.update(run, newer)
    assert [(each.work, each.value) for each in updated.of("pages") if each.who == "left4me"] == [
        ("server list (50 of 500): CPU", 10),
        ("dashboard: CPU", 5),
    ]
    assert updated.of("workshop") == run.of("workshop")
    assert updated.failures == run.failures


def test_every_bench_of_the_plan_exists_and_every_aim_has_a_section():
    source = tomllib.loads(aims.SOURCE.read_text())
    assert [each.name for each in plan.PLAN if not each.exists] == []
    assert {each["bench"] for each in source["aims"]} <= set(source["benches"])
    assert {each.figures for each in plan.PLAN} == set(source["benches"])
