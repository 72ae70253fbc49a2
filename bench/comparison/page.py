"""Makes docs/performance.md and its plots of a run. The same run gives the same page, byte for byte."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bench.comparison import aims, noise, plots
from bench.comparison.aims import number, quantity
from bench.comparison.plots import Bar
from bench.comparison.results import Result, Run
from bench.figures import US, read_aim

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "performance.md"
IMAGES = "images/performance"


def write(run: Run, page: Path = PAGE) -> None:
    """Write the page, and its plots beside it; plots that it no longer has are deleted."""
    text, images = make(run, tomllib.loads(aims.SOURCE.read_text(encoding="utf-8")))
    folder = page.parent / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        if old.name not in images:
            old.unlink()
    for name, image in images.items():
        (folder / name).write_text(image, encoding="utf-8")
    page.write_text(text, encoding="utf-8")


def make(run: Run, source: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The text of the page, and its plots by file name."""
    images: dict[str, str] = {}
    rows = aims.rows(run, [aims.Aim(**each) for each in source["aims"]])
    parts = [
        "# Performance",
        "<!-- Made by bench/all. Texts and reasons are written in bench/comparison/performance.toml. -->",
        source["introduction"].strip(),
        f"Measured on {run.date}: {run.machine}; {noise.sentence(run.noises)}.",
        "## Aims",
        source["of_aims"].strip(),
        _table(aims.HEADS, [row.cells for row in rows]),
    ]
    if reasons := [row for row in rows if row.reason]:
        parts.append("What is missed, why, and what was tried:")
        parts.append("\n".join(f"- **{row.work}**: {' '.join(row.reason.split())}" for row in reasons))
    if run.failures:
        parts.append("Benches that failed in this run:")
        parts.append("\n".join(f"- `bench/{each.bench}`: {_cell(each.reason)}" for each in run.failures))
    for name, texts in source["benches"].items():
        if results := run.of(name):
            parts += _section(name, texts, results, images)
    return "\n\n".join(parts) + "\n", images


def _section(name: str, texts: dict[str, Any], results: list[Result], images: dict[str, str]) -> Iterator[str]:
    yield f"## {texts['title']}"
    yield texts["text"].strip()
    for plot in texts.get("plots", []):
        if groups := _groups(results, plot["works"]):
            file = f"{name}-{_slug(plot['title'])}.svg"
            images[file] = plots.bars(plot["title"], groups)
            yield f"![{plot['title']}]({IMAGES}/{file})"
    yield _table(("figure", "who", "value", "rounds"), [_figure(result) for result in results])


def _groups(results: Sequence[Result], patterns: Sequence[str]) -> list[list[Bar]]:
    """A group of bars for each work whose name fits a pattern, left4me first.

    What all works of the pattern `*: CPU` have in common is in the plot's title, and not in their labels.
    """
    works = [result.work for result in results if result.who == US]
    labels: dict[str, str] = {}
    for pattern in patterns:
        common = pattern.removeprefix("*") if pattern.startswith("*: ") and len(patterns) == 1 else ""
        labels |= {work: work.removesuffix(common) for work in works if fnmatchcase(work, pattern)}
    groups = []
    for work, label in labels.items():
        some = sorted((each for each in results if each.work == work), key=lambda each: each.who != US)
        # A peer that failed has a bar without a length, and its failure for a value.
        groups.append([_bar(each, label if each.who == US else each.who) for each in some])
    return groups


def _bar(result: Result, label: str) -> Bar:
    aim = read_aim(result.aim)[1] if result.aim and result.who == US else None
    return Bar(label, result.value or 0, quantity(result), result.who == US, aim)


def _figure(result: Result) -> tuple[str, str, str, str]:
    spread = ""
    if len(result.values) > 1:
        spread = f"{len(result.values)}: {number(min(result.values))} to {number(max(result.values))}"
    return result.work, result.who, quantity(result), spread


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
