"""The figures of a run of bench/all: merged over rounds, and kept in a file that the page can be made of again."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.comparison.noise import Noise
from bench.figures import US, Figure


@dataclass(frozen=True)
class Result:
    """A figure with its value in each round."""

    bench: str
    work: str
    unit: str
    who: str = US
    values: tuple[float, ...] = ()
    aim: str = ""
    failure: str = ""

    @property
    def value(self) -> float | None:
        """The median of the rounds; None for a peer that failed."""
        return statistics.median(self.values) if self.values else None


@dataclass(frozen=True)
class Failure:
    """A bench that ended with an error, or took too long. What it had recorded by then is kept."""

    bench: str
    reason: str


@dataclass
class Run:
    """Everything that one run of bench/all has found."""

    date: str = ""
    machine: str = ""
    noises: list[Noise] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def find(self, bench: str, work: str, who: str = US) -> Result | None:
        return next((r for r in self.results if (r.bench, r.work, r.who) == (bench, work, who)), None)

    def of(self, bench: str) -> list[Result]:
        return [result for result in self.results if result.bench == bench]

    def write(self, path: Path) -> None:
        path.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in self._lines()))

    def _lines(self) -> Iterator[dict[str, object]]:
        yield {"date": self.date, "machine": self.machine, "noises": [asdict(noise) for noise in self.noises]}
        for result in self.results:
            said = {key: value for key, value in asdict(result).items() if value or key not in ("aim", "failure")}
            yield said | {"values": [float(f"{value:.6g}") for value in result.values]}
        for failure in self.failures:
            yield asdict(failure)


def start() -> Run:
    cores = os.cpu_count()
    return Run(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"{cores} cores, Python {platform.python_version()}, Linux {platform.release().partition('-')[0]}",
    )


def read(path: Path) -> Run:
    """Return the run that `Run.write` has kept."""
    first, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    run = Run(first["date"], first["machine"], [Noise(**noise) for noise in first["noises"]])
    for line in lines:
        if "reason" in line:
            run.failures.append(Failure(**line))
        else:
            run.results.append(Result(**line | {"values": tuple(line["values"])}))
    return run


def merge(figures: Iterable[Figure]) -> list[Result]:
    """One result for each figure, with its values of all rounds, in the order in which they were first recorded.

    A peer that failed in one round and not in another has both its values and the failure.
    """
    merged: dict[tuple[str, str, str, str], Result] = {}
    for figure in figures:
        key = _key(figure)
        result = merged.get(key) or Result(*key, aim=figure.aim)
        if figure.value is None:
            result = replace(result, failure=figure.failure)
        else:
            result = replace(result, values=(*result.values, figure.value))
        merged[key] = result
    return list(merged.values())


def update(kept: Run, newer: Run) -> Run:
    """The kept run with the figures that the newer one has, and without the failures of benches that it has run."""
    replaced = {_key(result) for result in newer.results}
    benches = {result.bench for result in newer.results} | {failure.bench for failure in newer.failures}
    return Run(
        newer.date,
        newer.machine,
        newer.noises,
        [result for result in kept.results if _key(result) not in replaced] + newer.results,
        [failure for failure in kept.failures if failure.bench not in benches] + newer.failures,
    )


def _key(measured: Figure | Result) -> tuple[str, str, str, str]:
    return measured.bench, measured.work, measured.unit, measured.who
