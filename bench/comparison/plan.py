"""What bench/all runs: each bench with the sizes at which all of them together take less than 15 minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Bench:
    """One command of bench/all. A bench whose figures vary has several rounds, if there is time for them.

    One that `judges` ends with status 1 when its own limits are exceeded: its figures say so, and it has not failed.
    """

    name: str
    argv: tuple[str, ...]
    rounds: int = 1
    seconds: int = 300  # beyond it the command is ended, and has failed
    environment: Mapping[str, str] = field(default_factory=dict)
    judges: bool = False
    as_bench: str = ""  # under which name it records, if not its program's

    @property
    def exists(self) -> bool:
        return (BENCH / self._program).exists()

    @property
    def figures(self) -> str:
        """The name of the bench in the figures that it records."""
        return self.as_bench or self._program

    @property
    def _program(self) -> str:
        # Also behind bin/with-postgres.
        return next((Path(word).name for word in self.argv if word.startswith("bench/")), self.argv[0])


_JOBS = ("clicks", "celery", "throughput", "costs", "claims")
_GROWTH = ("--factor", "10", "--rounds", "2")
_PEOPLE = {
    "BENCH_CLIENTS": "200",
    "BENCH_PAUSE": "5",
    "BENCH_WEBS": "2x4",
    "BENCH_SECONDS": "15",
    "BENCH_PAGES": "server list,dashboard",
}

PLAN = (
    Bench("pages-cpu", ("bench/page-costs",), rounds=3, as_bench="pages"),
    Bench("pages-calls", ("bench/pages", "--calls")),
    Bench("pages", ("bench/pages",), rounds=2, environment={"BENCH_SECONDS": "2", "BENCH_WEBS": "2x4,1x8"}),
    Bench("people", ("bench/pages",), environment=_PEOPLE),
    Bench("open-pages", ("bench/open-pages",), environment={"BENCH_SECONDS": "12"}),
    Bench("sse", ("bench/sse",), environment={"BENCH_SECONDS": "8"}),
    Bench("jobs", ("bench/jobs", *_JOBS), rounds=3),
    Bench("jobs-postgres", ("bin/with-postgres", "bench/jobs", *_JOBS), rounds=2),
    Bench("poll", ("bench/poll",), rounds=3, environment={"BENCH_SIZES": "1000"}),
    Bench("queries", ("bench/queries",), rounds=3),
    Bench("compose", ("bench/compose", "--files", "5000", "--rounds", "14")),
    Bench("workshop", ("bench/workshop",), rounds=3, environment={"BENCH_FILES": "8"}),
    Bench("fleet", ("bench/fleet", "--servers", "40", "--seconds", "5")),
    Bench("idle", ("bench/idle",)),
    Bench("start", ("bench/start",), environment={"BENCH_ROUNDS": "2"}),
    Bench("day", ("bench/day",), environment={"BENCH_SERVERS": "10", "BENCH_HOURS": "4"}),
    Bench("growth", ("bench/growth", *_GROWTH), judges=True),
    Bench("growth-postgres", ("bench/growth", *_GROWTH, "--postgres"), judges=True),
    Bench("scale", ("bench/scale", "--steps", "500,1000,2500", "--seconds", "15"), judges=True),
)


def choose(names: list[str], benches: Sequence[Bench] = PLAN) -> list[Bench]:
    """The benches of these names, or all; raise SystemExit for a name that there is not."""
    known = [each.name for each in benches]
    if unknown := set(names) - set(known):
        raise SystemExit(f"no bench {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return [each for each in benches if not names or each.name in names]
