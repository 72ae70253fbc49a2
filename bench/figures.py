"""Keep what a bench measures as figures, beside the lines that it prints for a person.

A bench prints a line and records the figures in it with one call:

    figures.record(
        f"{name:<34}{p50:>10.1f}",
        Figure("pages", "server list, p50", p50, "ms", aim="<= 6"),
        Figure("pages", "server list, p50", bare, "ms", who="minimal template"),
    )

The same `bench`, `work` and `unit` with another `who` is a peer or a floor of the figure. `work` must be the same in
each run, so that runs can be compared: no measured number stands in it. The figures go nowhere unless `BENCH_FIGURES`
names a file; then each becomes one line of JSON at its end. `bench/all` sets it for each bench that it runs.
"""

from __future__ import annotations

import json
import operator
import os
from dataclasses import asdict, dataclass
from pathlib import Path

US = "left4me"
VARIABLE = "BENCH_FIGURES"
_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq}


@dataclass(frozen=True)
class Figure:
    """One measured value.

    `who` is left4me, or the name of a peer or floor. `aim` is a comparison with a number in the figure's own unit, as
    in "<= 6". A peer that is missing or fails has no value, and `failure` says why.
    """

    bench: str
    work: str
    value: float | None
    unit: str
    who: str = US
    aim: str = ""
    failure: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.failure):
            raise ValueError(f"{self.bench}: {self.work} needs either a value or a failure")
        if self.aim:
            read_aim(self.aim)

    @property
    def is_reached(self) -> bool | None:
        """Whether the value is within the aim; None if there is no aim."""
        return is_within(self.value, self.aim) if self.aim else None

    def to_json(self) -> str:
        """Return one line without an aim or a failure that there is not."""
        said = {name: value for name, value in asdict(self).items() if value or name not in ("aim", "failure")}
        return json.dumps(said, ensure_ascii=False)


def record(line: str | None, *measured: Figure) -> None:
    """Print the line, if there is one, and append the figures to the file that `BENCH_FIGURES` names."""
    if line is not None:
        print(line, flush=True)
    name = os.environ.get(VARIABLE)
    if name and measured:
        # One write at the end of the file, since a bench may record from several processes.
        with Path(name).open("a", encoding="utf-8") as file:
            file.write("".join(f"{figure.to_json()}\n" for figure in measured))


def read(path: Path) -> list[Figure]:
    """Return the figures of a file that `record` has written."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Figure(**json.loads(line)) for line in lines if line.strip()]


def read_aim(aim: str) -> tuple[str, float]:
    """Return the comparison and the number of an aim such as "<= 6"; raise ValueError for anything else."""
    comparison, _, number = aim.partition(" ")
    if comparison not in _COMPARISONS:
        raise ValueError(f"an aim is a comparison and a number, such as '<= 6': {aim!r}")
    return comparison, float(number)


def is_within(value: float | None, aim: str) -> bool:
    """Return whether the value is within the aim; what could not be measured is not."""
    comparison, number = read_aim(aim)
    return value is not None and bool(_COMPARISONS[comparison](value, number))
